"""On which branch of its chat a message stands, without reading the chat."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from django.db.models import F

from chathistory.models import Message

#: Numbers from the first message of a chat to one of its last, as runs ``(first, last)``.
Path = list[tuple[int, int]]


class Branches:
    """Where the messages of some sessions do not simply follow the one before them."""

    def __init__(self, sessions: Iterable[int]) -> None:
        rows = Message.objects.filter(session__in=list(sessions)).exclude(parent_seq=F("seq") - 1)
        self._starts: dict[int, list[int]] = {}
        self._parents: dict[tuple[int, int], int | None] = {}
        found = rows.order_by("session", "seq").values_list("session", "seq", "parent_seq")
        for session, seq, parent in found:
            self._starts.setdefault(session, []).append(seq)
            self._parents[session, seq] = parent

    def path(self, session: int, seq: int) -> Path:
        """Return the runs of numbers that lead from a root to a message, deleted ones among them.

        A chat without branches has one run.
        """
        starts = self._starts.get(session, [])
        path: Path = []
        last: int | None = seq
        while last is not None and (at := bisect_right(starts, last)):
            path.append((starts[at - 1], last))
            last = self._parents[session, starts[at - 1]]
        return path[::-1]
