"""The index on SQLite: contentless FTS5 over keyed tokens, ``detail=none``.

The row number of a text is its place, so that newest first is the order FTS5 walks in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chathistory import bulk
from chathistory.models import Message

from .base import Doc, Either, Match, Wanted

#: The tables in which FTS5 keeps the tokens, as blobs named ``block``.
DATA = ("chathistory_fts_data", "chathistory_fts_title_data")
#: A row for each removal whose tokens have not left the files yet.
_DUE = "chathistory_fts_due"
_PAGES = 200  # of 4 kB, written by one step of a merge: some 20 ms
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
        self._run(f"CREATE TABLE IF NOT EXISTS {_DUE} (id INTEGER PRIMARY KEY)")

    def clear(self) -> None:
        """Forget everything."""
        for table in _tables():
            self._run(f"INSERT INTO {table}({table}) VALUES ('delete-all')")  # noqa: S608
        self._run(f"DELETE FROM {_DUE}")  # noqa: S608

    def add(self, docs: Sequence[Doc], *, titles: bool = False) -> None:
        """Add texts that are not in the index."""
        table = _tables()[titles]
        self._many(f"INSERT INTO {table}(rowid, t) VALUES (%s, %s)", docs)  # noqa: S608

    def remove(self, docs: Sequence[Doc], *, titles: bool = False) -> None:
        """Remove texts by exactly the tokens that went in."""
        table = _tables()[titles]
        sql = f"INSERT INTO {table}({table}, rowid, t) VALUES ('delete', %s, %s)"  # noqa: S608
        self._many(sql, docs)

    def read(self, places: Sequence[int], *, titles: bool = False) -> list[Doc]:
        """Return what is indexed under these places, by a walk over the whole index."""
        table = _tables()[titles]
        walk = f"{table}_walk"
        what = f"USING fts5vocab(main, {table}, instance)"
        self._run(f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.{walk} {what}")
        found: dict[int, list[str]] = {place: [] for place in places}
        marks = ", ".join(["%s"] * len(found))
        sql = f"SELECT doc, term FROM temp.{walk} WHERE doc IN ({marks}) ORDER BY term"  # noqa: S608
        with bulk.connection(Message).cursor() as cursor:
            cursor.execute(sql, list(found))
            for place, token in cursor.fetchall():
                found[place].append(token)
        return [Doc(place, " ".join(tokens)) for place, tokens in found.items() if tokens]

    def mark(self) -> None:
        """Note, within the removing transaction, that what was removed must leave the files."""
        self._run(f"INSERT INTO {_DUE} DEFAULT VALUES")

    def marked(self) -> int | None:
        """Return the newest mark, or None where nothing removed is left in the files."""
        with bulk.connection(Message).cursor() as cursor:
            cursor.execute(f"SELECT max(id) FROM {_DUE}")  # noqa: S608
            found: int | None = cursor.fetchone()[0]
        return found

    def unmark(self, mark: int) -> None:
        """Take away this mark and older ones."""
        self._run(f"DELETE FROM {_DUE} WHERE id <= {mark}")  # noqa: S608

    def merge(self, step: Callable[[], None]) -> bool:
        """Rewrite the index step by step: a negative number begins with all there is by now."""
        return all(self._merge(table, step) for table in _tables())

    def join(self, match: Match, *, titles: bool = False) -> tuple[str, str, list[object]]:
        """Return ``(from clause, where clause, parameters)`` with the place as ``hit.place``."""
        table = _tables()[titles]
        source = f"(SELECT rowid AS place FROM {table} WHERE {table} MATCH %s) AS hit"  # noqa: S608
        return source, "1=1", [_expression(match)]

    def count(self, token: str, cap: int) -> int:
        """Return how many texts hold ``token``, counting no further than ``cap``."""
        return self.counts([token], cap)[0]

    def counts(self, tokens: Sequence[str], cap: int, *, titles: bool = False) -> list[int]:
        """Return of each token how many texts hold it, counting no further than ``cap``."""
        table = _tables()[titles]
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {table} MATCH %s LIMIT %s)"  # noqa: S608
        found = []
        with bulk.connection(Message).cursor() as cursor:
            for token in tokens:
                cursor.execute(sql, [f'"{token}"', cap])
                found.append(int(cursor.fetchone()[0]))
        return found

    def _merge(self, table: str, step: Callable[[], None]) -> bool:
        pages = -_PAGES
        for _ in range(self._steps(table)):
            if not self._step(table, pages):
                return True
            pages = _PAGES
            step()
        return False  # writers are quicker

    def _steps(self, table: str) -> int:
        """Return how many steps write the whole index twice; a page has a row here."""
        with bulk.connection(Message).cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}_idx")  # noqa: S608
            return 10 + 2 * int(cursor.fetchone()[0]) // _PAGES

    def _step(self, table: str, pages: int) -> bool:
        """Merge so many pages; return whether there was anything to do (FTS5 6.7, 'merge')."""
        link = bulk.connection(Message)
        with link.cursor() as cursor:
            before = link.connection.total_changes
            cursor.execute(f"INSERT INTO {table}({table}, rank) VALUES ('merge', %s)", [pages])  # noqa: S608
        return bool(link.connection.total_changes - before >= 2)

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
    owners = " OR ".join(map(_all, match.wanted))
    if not match.unwanted:
        return owners
    return f"({owners}) NOT (" + " OR ".join(f'"{token}"' for token in match.unwanted) + ")"


def _all(wanted: Wanted) -> str:
    return "(" + " AND ".join(map(_one, wanted)) + ")"


def _one(wanted: str | Either) -> str:
    if isinstance(wanted, Either):
        return "(" + " OR ".join(map(_all, wanted.branches)) + ")"
    return f'"{wanted}"'
