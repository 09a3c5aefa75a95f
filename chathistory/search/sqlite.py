"""The index on SQLite: contentless FTS5 over keyed tokens, ``detail=none``.

The row number of a text is its place, so that newest first is the order FTS5 walks in.
"""

from __future__ import annotations

from collections.abc import Sequence

from chathistory import bulk
from chathistory.models import Message

from .base import Doc, Match

_OPTIONS = "content='', detail=none, columnsize=0, tokenize='ascii'"
_AUTOMERGE = (
    8  # segments of a level before they merge: 4 costs an import 7 % more, 16 gains nothing
)


class SqliteIndex:
    """Contentless FTS5. Deleting hands the same tokens in again (SQLite 3.40 has no other way)."""

    def create(self) -> None:
        """Make the tables where they are missing."""
        for table in _tables():
            self._run(f"CREATE VIRTUAL TABLE IF NOT EXISTS {table} USING fts5(t, {_OPTIONS})")
            self._run(f"INSERT INTO {table}({table}, rank) VALUES ('automerge', {_AUTOMERGE})")  # noqa: S608

    def clear(self) -> None:
        """Forget everything."""
        for table in _tables():
            self._run(f"INSERT INTO {table}({table}) VALUES ('delete-all')")  # noqa: S608

    def add(self, docs: Sequence[Doc], *, titles: bool = False) -> None:
        """Add texts that are not in the index."""
        table = _tables()[titles]
        self._many(f"INSERT INTO {table}(rowid, t) VALUES (%s, %s)", docs)  # noqa: S608

    def remove(self, docs: Sequence[Doc], *, titles: bool = False) -> None:
        """Remove texts by exactly the tokens that went in."""
        table = _tables()[titles]
        sql = f"INSERT INTO {table}({table}, rowid, t) VALUES ('delete', %s, %s)"  # noqa: S608
        self._many(sql, docs)

    def join(self, match: Match, *, titles: bool = False) -> tuple[str, str, list[object]]:
        """Return ``(from clause, where clause, parameters)`` with the place as ``hit.place``."""
        table = _tables()[titles]
        source = f"(SELECT rowid AS place FROM {table} WHERE {table} MATCH %s) AS hit"  # noqa: S608
        return source, "1=1", [_expression(match)]

    def count(self, token: str, cap: int) -> int:
        """Return how many texts hold ``token``, counting no further than ``cap``."""
        table = _tables()[0]
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {table} MATCH %s LIMIT %s)"  # noqa: S608
        with bulk.connection(Message).cursor() as cursor:
            cursor.execute(sql, [f'"{token}"', cap])
            return int(cursor.fetchone()[0])

    def _run(self, sql: str) -> None:
        with bulk.connection(Message).cursor() as cursor:
            cursor.execute(sql)

    def _many(self, sql: str, docs: Sequence[Doc]) -> None:
        with bulk.connection(Message).cursor() as cursor:
            cursor.executemany(sql, docs)


def _tables() -> tuple[str, str]:
    return "chathistory_fts", "chathistory_fts_title"


def _expression(match: Match) -> str:
    """Return an FTS5 expression. Tokens are hex digits, so nothing in it needs escaping."""
    owners = " OR ".join(
        "(" + " AND ".join(f'"{token}"' for token in tokens) + ")" for tokens in match.wanted
    )
    if not match.unwanted:
        return owners
    return f"({owners}) NOT (" + " OR ".join(f'"{token}"' for token in match.unwanted) + ")"
