"""What SQLite keeps in its files of rows that are gone: old places of moved rows, and the log."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from django.apps import apps
from django.db import transaction

from . import bulk, dirtypages
from .dirtypages import Dirty
from .fields import SealedField
from .models import Message
from .search.sqlite import SqliteIndex

_ROUNDS = 5
_AT_ONCE = 50  # pages of one transaction
_TRIES, _PAUSE = 20, 0.1  # for the moment when nobody reads


class _Table(NamedTuple):
    """A table with content, and the blob by which its rows are made to fill a page."""

    name: str
    root: int
    blob: str
    column: int
    columns: int


def truncate_log() -> bool:
    """Write the log into the file and cut it to nothing; return whether it was.

    That takes a moment when nobody reads what is in it; whoever wants to write never waits.
    """
    link = bulk.connection(Message)
    if link.in_atomic_block:
        return False
    with link.cursor() as cursor:
        (timeout,) = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute("PRAGMA busy_timeout = 0")
        try:
            for _try in range(_TRIES):
                cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                (busy, *_) = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if not busy:
                    return True
                time.sleep(_PAUSE)
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {timeout}")
    return False


def wipe(step: Callable[[], None]) -> bool:
    """Overwrite the old places of moved rows, and cut the log; return whether none is left.

    ``step`` is called after each transaction. Places that come to be meanwhile are of rows that
    are there.
    """
    first: set[tuple[str, int]] | None = None
    for _round in range(_ROUNDS):
        if not truncate_log():
            return False
        found = {table: list(_dirty(table)) for table in _tables()}
        seen = {(table.name, one.page) for table, dirty in found.items() for one in dirty}
        first = seen if first is None else first & seen
        if not first:
            return True
        for table, dirty in found.items():
            if any(one.length < 0 for one in dirty):
                _clear(table)
            for some in _batches(one for one in dirty if (table.name, one.page) in first):
                _fill(table, some)
                step()
    return False


def _tables() -> list[_Table]:
    """Return the tables that hold records or tokens."""
    blobs: dict[str, str] = dict.fromkeys(SqliteIndex().data_tables(), "block")
    for model in apps.get_app_config("chathistory").get_models():
        sealed = [one for one in model._meta.local_fields if isinstance(one, SealedField)]
        if sealed:
            blobs[model._meta.db_table] = str(sealed[0].column)
    with bulk.connection(Message).cursor() as cursor:
        cursor.execute("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'")
        roots = dict(cursor.fetchall())
        return [_table(cursor, name, roots[name], blob) for name, blob in blobs.items()]


def _table(cursor: Any, name: str, root: int, blob: str) -> _Table:
    columns = [row[1] for row in cursor.execute(f"PRAGMA table_info({name})").fetchall()]
    return _Table(name, root, blob, columns.index(blob), len(columns))


def _dirty(table: _Table) -> Iterator[Dirty]:
    """Read the file in another process: this one would lose its locks when it closes it."""
    asked = (_file(), table.root, table.column, table.columns)
    command = [sys.executable, "-I", dirtypages.__file__, *map(str, asked)]
    answer = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return (Dirty(*map(int, line.split())) for line in answer.splitlines())


def _file() -> str:
    with bulk.connection(Message).cursor() as cursor:
        found = cursor.execute("PRAGMA database_list").fetchall()
    return str(next(file for _number, name, file in found if name == "main"))


def _batches(found: Iterator[Dirty]) -> Iterator[list[Dirty]]:
    while some := list(islice(found, _AT_ONCE)):
        yield some


def _fill(table: _Table, dirty: list[Dirty]) -> None:
    """Let one row of each page fill it and shrink again: what it leaves SQLite wipes."""
    name, blob = table.name, table.blob
    link = bulk.connection(Message)
    with transaction.atomic(using=link.alias), link.cursor() as cursor:
        for one in dirty:
            cursor.execute(f"SELECT {blob} FROM {name} WHERE rowid = %s", [one.row])  # noqa: S608
            found = cursor.fetchone()
            if found is not None and one.length >= 0:
                sql = f"UPDATE {name} SET {blob} = %s WHERE rowid = %s"  # noqa: S608
                cursor.execute(sql, [bytes(one.length), one.row])
                cursor.execute(sql, [found[0], one.row])


def _clear(table: _Table) -> None:
    """Wipe the page that an empty table keeps: SQLite does where no key refers to its rows."""
    link = bulk.connection(Message)
    alone = transaction.atomic(using=link.alias)
    with link.constraint_checks_disabled(), alone, link.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {table.name})")  # noqa: S608
        if not cursor.fetchone()[0]:
            cursor.execute(f"DELETE FROM {table.name}")  # noqa: S608
