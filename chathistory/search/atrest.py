"""An index at rest as a query reads it: in the same statement as the rows it tells of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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

    def counts(
        self, owner: int, tokens: Sequence[str], cap: int, *, titles: bool = False
    ) -> list[int]:
        """Return of each token how many texts hold it: no other account has the same."""
        return self._index.counts(tokens, cap, titles=titles)

    def seen(self, owner: int) -> int:
        """Return that no Change was missed."""
        return _ALL
