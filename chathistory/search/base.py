"""The contract of a search index, and the choice of one by the database in use.

An index maps a message's place to its keyed tokens. A text's tokens go in once and come out
once, exactly as they went in; ``Message.indexed`` says which, within the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from chathistory import bulk
from chathistory.models import Message

#: Raised when words are cut or keyed otherwise; a new version is a new index beside the old.
VERSION = 1
#: The same of titles: 1 holds the title alone, 2 also the texts in the session's metadata.
TITLE_VERSION = 2


class Doc(NamedTuple):
    """One indexed text: ``place`` of a message (or key of a session), tokens by spaces."""

    place: int
    tokens: str


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

    def create(self) -> None:
        """Make the tables where they are missing."""

    def clear(self) -> None:
        """Forget everything."""

    def add(self, docs: Sequence[Doc], *, titles: bool = False) -> None:
        """Add texts that are not in the index."""

    def remove(self, docs: Sequence[Doc], *, titles: bool = False) -> None:
        """Remove texts by exactly the tokens that went in."""

    def read(self, places: Sequence[int], *, titles: bool = False) -> list[Doc]:
        """Return what is indexed under these places, for texts that no longer open.

        On SQLite it walks the whole index; on PostgreSQL a place may have two texts.
        """

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

    def counts(self, tokens: Sequence[str], cap: int, *, titles: bool = False) -> list[int]:
        """Return of each token how many texts hold it, counting no further than ``cap``."""


def index() -> Index:
    """Return the index of the database that messages are written to."""
    if bulk.connection(Message).vendor == "postgresql":
        from .postgres import PostgresIndex  # only one of the two is needed

        return PostgresIndex()
    from .sqlite import SqliteIndex  # only one of the two is needed

    return SqliteIndex()
