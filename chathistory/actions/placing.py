"""Free places for new messages: by time, then by arrival.

Writers are serial on SQLite, whose index needs distinct places; on PostgreSQL two accounts may
share one, and its index does not mind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from chathistory import bulk, ids
from chathistory.models import Message

_AT_ONCE = 500  # SQLite takes so many VALUES and parameters
_ROOM = 1 << ids.TIE_BITS  # places of one moment
_AHEAD = 128  # moments looked at where one is full


def places(now: datetime, times: Sequence[datetime | None]) -> Iterator[int]:
    """Yield a free place for each of ``times``; of None for ``now``.

    Where more was said at once than a moment has places, the rest goes to those after it.
    """
    return Places().of(now, times)


class Places:
    """Gives out places; of a long row of full moments it remembers where that ends."""

    def __init__(self) -> None:
        self._next: dict[int, int] = {}
        self._full: dict[int, int] = {}
        self._row = range(0)

    def of(self, now: datetime, times: Sequence[datetime | None]) -> Iterator[int]:
        """Yield a free place for each of ``times``, as the tables are by now."""
        wanted = [ids.place(ids.milliseconds(time or now)) for time in times]
        moments = list(dict.fromkeys(map(self._behind, wanted)))
        self._next, self._full = {}, {}
        for start in range(0, len(moments), _AT_ONCE):
            self._read(moments[start : start + _AT_ONCE])
        yield from map(self._take, wanted)

    def _take(self, moment: int) -> int:
        """Return a place that nobody has, of this moment or the next that has one."""
        at = self._full.get(moment) or self._behind(moment)
        while self._first(at) == at + _ROOM:
            at = self._behind(at + _ROOM)
        self._full[moment] = at
        self._note(range(moment, at))
        self._next[at] += 1
        return self._next[at] - 1

    def _behind(self, moment: int) -> int:
        return self._row.stop if moment in self._row else moment

    def _note(self, full: range) -> None:
        """Remember the longest row of full moments: what is full stays so."""
        row = self._row
        if row.start <= full.start <= row.stop < full.stop:
            full = range(row.start, full.stop)
        if full.stop - full.start > row.stop - row.start:
            self._row = full

    def _first(self, moment: int) -> int:
        if moment not in self._next:
            ahead = range(moment, moment + _AHEAD * _ROOM, _ROOM)
            self._read([one for one in ahead if one not in self._next][:_AT_ONCE])
        return self._next[moment]

    def _read(self, moments: Sequence[int]) -> None:
        table = Message._meta.db_table
        last = f"SELECT max(place) FROM {table} WHERE place >= at.p AND place < at.p + {_ROOM}"  # noqa: S608
        values = ", ".join(["(%s)"] * len(moments))
        with bulk.connection(Message).cursor() as cursor:
            cursor.execute(f"WITH at(p) AS (VALUES {values}) SELECT p, ({last}) FROM at", moments)  # noqa: S608
            found = cursor.fetchall()
        self._next |= {p: p if top is None else int(top) + 1 for p, top in found}
