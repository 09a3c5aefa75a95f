"""The contract of a search index, and the choice of one by the database in use or by the site.

An index maps a message's place to its keyed tokens. A text's tokens go in once and come out
once, exactly as they went in; ``Message.indexed`` says which, within the same transaction. An
index that keeps nothing at rest takes nothing in: ``indexed`` stays 0, and its ``reader`` looks at
the rows themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from chathistory import bulk
from chathistory.conf import settings
from chathistory.models import Account, Message

if TYPE_CHECKING:
    from .generations import Generations

#: What a site may choose from: an index in its database, or one in each process's memory.
BACKENDS = ("auto", "memory")
#: Raised when words are cut or keyed otherwise; a new version is a new index beside the old.
VERSION = 2


class Doc(NamedTuple):
    """One indexed text: ``place`` of a message (or key of a session), tokens by spaces.

    ``generation`` is the number of the newest index that it is in; without one it is meant
    whatever index is written to.
    """

    place: int
    tokens: str
    generation: int | None = None


class Either(NamedTuple):
    """Any of these, each of which is as much as must all be there."""

    branches: Sequence[Wanted]


Wanted = Sequence["str | Either"]


class Match(NamedTuple):
    """What candidates must hold: for each owner the tokens wanted; and the tokens unwanted.

    ``owners`` are the accounts' keys, in the order of ``wanted``.
    """

    wanted: Sequence[Wanted]
    unwanted: Sequence[str]
    owners: Sequence[int] = ()


class Piece(NamedTuple):
    """Part of what matches, as SQL that gives ``hit.place``; of messages, joined to them as ``m``.

    Pieces come newest first, or oldest first, and no place is in two of them.
    """

    source: str
    where: str
    parameters: list[object]


class Reader(Protocol):
    """An index as one query reads it."""

    @property
    def is_current(self) -> bool:
        """Whether it holds what this release would put in; else it may hold what is gone."""

    def pieces(
        self, match: Match, first: int, last: int, *, titles: bool = False, oldest: bool = False
    ) -> Iterator[Piece]:
        """Yield at least what matches from the place ``first`` up to ``last``, in that order.

        That is if ``oldest``; else the other way around.
        """

    def counts(
        self, owner: int, tokens: Sequence[str], cap: int, *, titles: bool = False
    ) -> list[int]:
        """Return of each token how many texts of an account hold it, up to ``cap``."""

    def seen(self, owner: int) -> int:
        """Return the last Change of an account's that was read; what changed later is unsure."""


class Index(Protocol):
    """Where keyed tokens are kept."""

    #: Whether tokens stand in the database; if not, adding does nothing.
    at_rest: bool

    def reader(self, owners: Sequence[Account]) -> Reader | None:
        """Return what tells of these accounts' texts, as they are now or later.

        None where only the texts themselves can.
        """

    @property
    def one_text(self) -> bool:
        """Whether all that stands under one place is as one text."""

    @property
    def generations(self) -> Generations:
        """The indexes there are: one in use, and perhaps one that is filled beside it."""

    def create(self) -> None:
        """Make the tables where they are missing."""

    def clear(self) -> None:
        """Forget everything."""

    def add(self, docs: Sequence[Doc], *, titles: bool = False) -> None:
        """Add texts to those indexes that they are not in."""

    def remove(self, docs: Sequence[Doc], *, titles: bool = False) -> None:
        """Remove texts from those indexes that they are in, by exactly the tokens that went in."""

    def read(self, places: Sequence[int], *, titles: bool = False) -> list[Doc]:
        """Return what is indexed under these places, for texts that no longer open.

        On SQLite it walks the whole index; on PostgreSQL a place may have two texts.
        """

    def is_sound(self) -> bool | None:
        """Tell whether the index holds together; None where finding out would take too long."""

    def postings(self, *, titles: bool = False) -> Iterator[list[tuple[int, str]]]:
        """Yield each place with each of its tokens, many at a time; writers go on meanwhile."""

    def held(self, place: int, tokens: Iterable[str], *, titles: bool = False) -> list[str]:
        """Return the texts of one place: on SQLite as one, and as far as made of ``tokens``."""

    def mend(self, place: int, found: list[str], wanted: list[str], *, titles: bool) -> None:
        """Replace the texts of one place in the index in use by others."""

    def begin(self) -> None:
        """Make an index beside the one in use, or go on with the one there is. Raises Conflict."""

    def switch(self) -> None:
        """Take the one beside into use."""

    def drop(self, step: Callable[[], None]) -> bool:
        """Remove those out of use, in bounded steps; return whether none is left."""

    def tend(self, step: Callable[[], None]) -> None:
        """Merge what is due, in bounded steps, so that nobody who writes has to."""

    def mark(self) -> None:
        """Note, within the removing transaction, that what was removed must leave the files."""

    def marked(self) -> int | None:
        """Return the newest mark, or None where nothing removed is left in the files."""

    def unmark(self, mark: int) -> None:
        """Take away this mark and older ones."""

    def merge(self, step: Callable[[], None]) -> bool:
        """Rewrite the index until nothing removed before now is left in it; return whether it is.

        ``step`` is called after each transaction, of some milliseconds. Stopped in between,
        another call goes on.
        """

    def join(self, match: Match, *, titles: bool = False) -> Piece:
        """Return all that matches of what is at rest."""

    def counts(self, tokens: Sequence[str], cap: int, *, titles: bool = False) -> list[int]:
        """Return of each token how many texts at rest hold it, up to ``cap``."""


def index() -> Index:
    """Return the index of the site."""
    if settings.SEARCH_BACKEND == "memory":
        from .memory import MemoryIndex  # it stands on what stands on this

        return MemoryIndex(stored())
    return stored()


def stored() -> Index:
    """Return what holds tokens at rest in the database that messages are written to."""
    if bulk.connection(Message).vendor == "postgresql":
        from .postgres import PostgresIndex  # only one of the two is needed

        return PostgresIndex()
    from .sqlite import SqliteIndex  # only one of the two is needed

    return SqliteIndex()
