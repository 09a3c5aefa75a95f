"""One account's keyed tokens in a SQLite database that is nowhere but in memory.

A text's tokens are not kept beside the index, and FTS5 forgets a text only when told them all. So
what has changed since it was built is passed over where it stood, and stands among the fresh ones,
which are few and whose tokens are kept.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import RLock

from .base import Match
from .sqlite import OPTIONS, expression

#: Place, last Change, and tokens: none where there is nothing to be found any more.
Text = tuple[int, int, str | None]

_KINDS = ("text", "title")
_MAKE = """
CREATE VIRTUAL TABLE {0} USING fts5(t, {1});
CREATE VIRTUAL TABLE {0}_fresh USING fts5(t, {1});
CREATE TABLE {0}_known (place INTEGER PRIMARY KEY, changed INTEGER, tokens TEXT);
CREATE TABLE {0}_over (place INTEGER PRIMARY KEY);
"""
_OLD = "SELECT rowid FROM {0} WHERE {0} MATCH ? AND rowid NOT IN (SELECT place FROM {0}_over)"
_FRESH = "SELECT rowid FROM {0}_fresh WHERE {0}_fresh MATCH ?"


class Shelf:
    """Texts and titles by their tokens. Used by one thread at a time: whoever has ``lock``."""

    def __init__(self) -> None:
        self.lock = RLock()
        self._link = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        for kind in _KINDS:
            self._link.executescript(_MAKE.format(kind, OPTIONS))

    @property
    def weight(self) -> int:
        """Bytes in memory."""
        (pages,) = self._link.execute("PRAGMA page_count").fetchone()
        (size,) = self._link.execute("PRAGMA page_size").fetchone()
        return int(pages) * int(size)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep others out, and all of the block or nothing."""
        with self.lock:
            self._link.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._link.execute("ROLLBACK")
                raise
            self._link.execute("COMMIT")

    def put(self, texts: Iterable[Text], *, titles: bool = False) -> None:
        """Take texts in as they are after their last Change; what is known already is passed."""
        kind = _KINDS[titles]
        known = f"SELECT changed, tokens FROM {kind}_known WHERE place = ?"  # noqa: S608
        for place, changed, tokens in texts:
            before = self._link.execute(known, [place]).fetchone()
            if before is None or before[0] != changed:
                self._take_out(kind, place, before)
                self._put_in(kind, place, changed, tokens)

    def places(
        self,
        match: Match,
        first: int,
        last: int,
        count: int,
        *,
        titles: bool = False,
        oldest: bool = False,
    ) -> list[int]:
        """Return the newest, or ``oldest``, ``count`` places from ``first`` to ``last`` that match.

        In that order.
        """
        kind, asked = _KINDS[titles], expression(match)
        some = f" AND rowid BETWEEN ? AND ? ORDER BY rowid {'ASC' if oldest else 'DESC'} LIMIT ?"
        values = [asked, first, last, count]
        with self.lock:
            found = [
                place
                for sql in (_OLD, _FRESH)
                for (place,) in self._link.execute(sql.format(kind) + some, values)
            ]
        return sorted(found, reverse=not oldest)[:count]

    def count(self, token: str, cap: int, *, titles: bool = False) -> int:
        """Return how many texts hold ``token``, counting no further than ``cap``."""
        both = f"{_OLD} UNION ALL {_FRESH} LIMIT ?".format(_KINDS[titles])
        sql = f"SELECT count(*) FROM ({both})"  # noqa: S608
        with self.lock:
            found: int = self._link.execute(sql, [f'"{token}"', f'"{token}"', cap]).fetchone()[0]
        return found

    def _take_out(self, kind: str, place: int, before: tuple[int, str | None] | None) -> None:
        """Let go of an earlier text: by its tokens, or by passing over where it stands."""
        if before is None:
            return
        if before[1] is None:
            self._link.execute(f"INSERT OR IGNORE INTO {kind}_over VALUES (?)", [place])  # noqa: S608
            return
        sql = f"INSERT INTO {kind}_fresh({kind}_fresh, rowid, t) VALUES ('delete', ?, ?)"  # noqa: S608
        self._link.execute(sql, [place, before[1]])

    def _put_in(self, kind: str, place: int, changed: int, tokens: str | None) -> None:
        over = f"SELECT 1 FROM {kind}_over WHERE place = ?"  # noqa: S608
        is_fresh = self._link.execute(over, [place]).fetchone() is not None
        if tokens is not None:
            table = f"{kind}_fresh" if is_fresh else kind
            self._link.execute(f"INSERT INTO {table}(rowid, t) VALUES (?, ?)", [place, tokens])  # noqa: S608
        kept = [place, changed, tokens if is_fresh else None]
        self._link.execute(f"INSERT OR REPLACE INTO {kind}_known VALUES (?, ?, ?)", kept)  # noqa: S608
