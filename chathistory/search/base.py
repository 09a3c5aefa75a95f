"""The contract of a search index, and the choice of one by the database in use.

An index maps a message's place to its keyed tokens. A text's tokens go in once and come out
once, exactly as they went in; ``Message.indexed`` says which, within the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from chathistory import bulk
from chathistory.models import Message

if TYPE_CHECKING:
    from .generations import Generations

#: Raised when words are cut or keyed otherwise; a new version is a new index beside the old.
VERSION = 1


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


class Index(Protocol):
    """Where keyed tokens are kept."""

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

    def join(self, match: Match, *, titles: bool = False) -> tuple[str, str, list[object]]:
        """Return ``(from clause, where clause, parameters)`` with the place as ``hit.place``."""

    def count(self, token: str, cap: int) -> int:
        """Return how many texts hold ``token``, counting no further than ``cap``."""


def index() -> Index:
    """Return the index of the database that messages are written to."""
    if bulk.connection(Message).vendor == "postgresql":
        from .postgres import PostgresIndex  # only one of the two is needed

        return PostgresIndex()
    from .sqlite import SqliteIndex  # only one of the two is needed

    return SqliteIndex()
