"""One message for each session, and how many more of it were found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from .asked import Asked, Found
from .sources import Position

#: Messages opened to count how many more there are.
COUNTED = 1_000


class PerSession:
    """Lets the first message of each session through; sessions of earlier pages are left out."""

    def __init__(self, asked: Asked, ended: Position | None, *, oldest: bool = False) -> None:
        """``ended`` is where the page before this one ended."""
        self._asked = asked
        self._ended = ended
        self._oldest = oldest
        self._seen: set[int] = set()

    def first(self, found: Iterable[Found]) -> Iterator[Found]:
        """Yield of what was found the first of each session not met before."""
        block = list(found)
        new = {one.candidate.session for one in block} - self._seen
        self._seen |= self._shown(new) if self._ended is not None else set()
        for one in block:
            if one.candidate.session not in self._seen:
                self._seen.add(one.candidate.session)
                yield one

    def _shown(self, sessions: set[int]) -> set[int]:
        """Return the sessions that had a message on an earlier page."""
        shown: set[int] = set()
        last: Position | None = None
        while left := sessions - shown:
            block = self._asked.candidates(
                last, COUNTED, until=self._ended, sessions=left, oldest=self._oldest
            )
            shown |= {one.candidate.session for one in self._asked.opened(block)}
            if len(block) < COUNTED:
                break
            last = block[-1].position
        return shown

    def tally(self, sessions: Collection[int]) -> tuple[Counter[int], bool]:
        """Return how many messages each session has, and whether all were counted."""
        if not sessions:
            return Counter(), True
        block = self._asked.candidates(None, COUNTED, sessions=sessions)
        found = Counter(one.candidate.session for one in self._asked.opened(block))
        return found, len(block) < COUNTED
