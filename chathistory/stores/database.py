"""A database file that anyone may have written, opened so that it can do nothing but be read.

Only tables are read that are just tables, by their row numbers: no view, trigger, virtual table,
generated column or index of the file is ever asked, and no SQL comes from it. What the file holds
in its write-ahead log counts as part of it; it is put in place in memory, so that nothing is
written beside it (https://sqlite.org/fileformat2.html; https://sqlite.org/security.html).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from chathistory.stores import wal
from chathistory.stores.shape import Refused, Wrong

MAGIC = b"SQLite format 3\0"
MAX_ROWS = 5_000_000  # of one table: what is known of each is held in memory
MAX_CELL = 32 << 20  # bytes
MAX_TABLES = 2_000
_MAX_SCHEMA = 1 << 20  # bytes of one statement
_HEADER = 100  # bytes
_STEPS = 10_000  # of SQLite's machine between two looks at the clock
Row = tuple[Any, ...]
_BROKEN = (sqlite3.Error, UnicodeError)  # which a message raises that repeats a damaged name

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: MAX_CELL,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: _MAX_SCHEMA,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 10,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_SETTINGS = (
    *("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON", "temp_store = MEMORY"),
    *("mmap_size = 0", "cache_size = -8192", "busy_timeout = 5000"),
)


class Database:
    """What may be read of a file. ``seconds`` of this process's time are given to it."""

    def __init__(self, path: Path, seconds: float) -> None:
        """Open a file and look at its tables. Raises Refused."""
        self._deadline = time.process_time() + seconds
        self._open: frozenset[str] = frozenset({"sqlite_master"})
        try:
            self._link = _connect(path)
            self._harden()
            self.tables = {name: columns for name, columns in self._plain_tables() if columns}
        except _BROKEN as error:
            self._check_time()
            raise Refused(f"The database cannot be read: {error}.") from None

    def _harden(self) -> None:
        for limit, value in _LIMITS.items():
            self._link.setlimit(limit, value)
        for setting in _SETTINGS:
            self._link.execute(f"PRAGMA {setting}")
        self._link.text_factory = _text
        self._link.set_progress_handler(self._is_late, _STEPS)
        self._link.set_authorizer(self._may)

    def _is_late(self) -> bool:
        return time.process_time() > self._deadline

    def _may(
        self, action: int, first: str | None, second: str | None, _base: str | None, by: str | None
    ) -> int:
        """Allow reading the tables that are meant, from no view and no trigger; nothing else."""
        allowed = action == sqlite3.SQLITE_SELECT or (
            action == sqlite3.SQLITE_READ and first in self._open and by is None
        )
        columns = action == sqlite3.SQLITE_PRAGMA and first == "table_xinfo"
        return sqlite3.SQLITE_OK if allowed or columns else sqlite3.SQLITE_DENY

    def _plain_tables(self) -> Iterator[tuple[str, frozenset[str]]]:
        """Yield the tables that are stored as such, each with its columns."""
        sql = "SELECT type, name, rootpage, sql FROM sqlite_master NOT INDEXED ORDER BY rowid"
        found = self._link.execute(sql).fetchmany(MAX_TABLES * 10)
        names = [
            name
            for kind, name, page, text in found
            if kind == "table"
            and isinstance(page, int)
            and page > 1
            and isinstance(name, str)
            and isinstance(text, str)
            and text.lstrip().upper().startswith("CREATE TABLE")
        ]
        if len(names) > MAX_TABLES:
            raise Refused(f"The database has more than {MAX_TABLES:,} tables.")
        for name in names:
            yield name, self._columns(name)

    def _columns(self, table: str) -> frozenset[str]:
        """Return a table's columns; none where one is computed, for that would run what it says.

        None either where one hides the number of a row.
        """
        rows = self._link.execute(f"PRAGMA table_xinfo({_quoted(table)})").fetchall()
        found = frozenset(row[1] for row in rows if isinstance(row[1], str))
        is_plain = not any(row[-1] for row in rows) and "rowid" not in map(str.lower, found)
        return found if is_plain else frozenset()

    def having(self, columns: Iterable[str]) -> list[str]:
        """Return the tables that have all of these columns."""
        wanted = frozenset(columns)
        return [table for table, held in self.tables.items() if wanted <= held]

    def has(self, table: str, columns: Iterable[str]) -> bool:
        """Tell whether there is this table with these columns, or more."""
        return frozenset(columns) <= self.tables.get(table, frozenset())

    def rows(self, table: str, *columns: str) -> Iterator[Row]:
        """Yield a table's rows in the order of their numbers, which come first.

        Raises Refused.
        """
        sql = f"SELECT rowid, {_names(columns)} FROM {_quoted(table)} NOT INDEXED ORDER BY rowid"  # noqa: S608
        for count, row in enumerate(self._ask(table, sql)):
            if count >= MAX_ROWS:
                raise Refused(f"Its table {table} has more than {MAX_ROWS:,} rows.")
            yield row

    def row(self, table: str, number: int, *columns: str) -> Row:
        """Return one row by its number. Raises Wrong, or Refused when it takes too long."""
        sql = f"SELECT {_names(columns)} FROM {_quoted(table)} NOT INDEXED WHERE rowid = ?"  # noqa: S608
        self._open = frozenset({table})
        where = f"{table}[{number}]"
        try:
            found: Row | None = self._link.execute(sql, (number,)).fetchone()
        except _BROKEN as error:
            self._check_time()
            raise Wrong(where, f"cannot be read ({error})") from None
        if found is None:
            raise Wrong(where, "is not where it was: the database is damaged")
        return found

    def _ask(self, table: str, sql: str) -> Iterator[Row]:
        self._open = frozenset({table})
        try:
            yield from self._link.execute(sql)
        except _BROKEN as error:
            self._check_time()
            raise Refused(f"Its table {table} cannot be read: {error}.") from None

    def _check_time(self) -> None:
        if self._is_late():
            raise Refused("The database takes too long to read.")


def _text(data: bytes) -> str | bytes:
    """Return text; what is not UTF-8 stays bytes, so that its row can be told."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _names(columns: Iterable[str]) -> str:
    return ", ".join(map(_quoted, columns))


def _connect(path: Path) -> sqlite3.Connection:
    """Open a file for reading only. Raises Refused or sqlite3.Error."""
    with path.open("rb") as file:
        head = file.read(_HEADER)
    if not head.startswith(MAGIC) or len(head) < _HEADER:
        raise Refused("The file is not an SQLite database.")
    log = path.with_name(f"{path.name}-wal")
    if _size(path.with_name(f"{path.name}-journal")):
        raise Refused("The database was left in the middle of a change: open it once where it is.")
    if _size(log):
        link = sqlite3.connect(":memory:", isolation_level=None)
        link.deserialize(wal.merged(path, log))
        return link
    # A file that says it has a log would be given one, were it not said to be at rest.
    how = "mode=ro&immutable=1" if wal.is_logged(head) else "mode=ro"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, isolation_level=None)


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
