"""An index at rest as a query reads it: in the same statement as the rows it tells of."""

from __future__ import annotations

from collections.abc import Iterator

from .base import Index, Match, Piece

_ALL = 2**63 - 1


class AtRest:
    """Reads an index in the database, which is always as new as the rows."""

    def __init__(self, index: Index) -> None:
        self._index = index

    @property
    def is_current(self) -> bool:
        """Whether its tokens are cut as in this release."""
        return self._index.generations.is_current

    def pieces(
        self, match: Match, first: int, last: int, *, titles: bool = False, oldest: bool = False
    ) -> Iterator[Piece]:
        """Yield all that matches."""
        yield self._index.join(match, titles=titles)

    def count(self, owner: int, token: str, cap: int) -> int:
        """Return how many texts hold ``token``: no other account has the same."""
        return self._index.count(token, cap)

    def seen(self, owner: int) -> int:
        """Return that no Change was missed."""
        return _ALL
