"""A restored copy written over the live database, in one transaction that SQLite's backup makes.

Whoever has the file open goes on: with the old rows until the moment it is done, with the new
ones from then on. A process that dies in the middle leaves the old ones.

Chats go back in time; a running site does not. Where the live database is the same site's, what
is the host's own (users, permissions, sign-ins) and what belongs to the running site (jobs, API
tokens, leases, the list of backups) is kept as it is now: a token that was revoked stays so.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import models

from chathistory.exceptions import Unavailable
from chathistory.models import Account, Backup, Job, Lease, Seeded, Share, Token

_OURS = Account._meta.db_table.removesuffix("account")
_ACCOUNT = Account._meta.db_table
#: Ours, but the running site's.
_PASSING: tuple[type[models.Model], ...] = (Job, Token, Lease, Seeded, Backup)
_PATIENCE = 60.0  # seconds for which others may hold the file


def carry(scratch: Path, live: Path) -> None:
    """Bring into the copy what the live database keeps."""
    with _both(scratch, live) as link:
        link.execute("BEGIN IMMEDIATE")
        _relink(link, Account, "user_id", get_user_model(), get_user_model().USERNAME_FIELD)
        _relink(link, Share, "group_id", Group, "name")
        for name in list(_tables(link, "live")):
            if not name.startswith(_OURS):
                _copy_table(link, name)
        for model in _PASSING:
            _copy_rows(link, model)
        link.execute("COMMIT")


def write_over(scratch: Path, live: Path) -> None:
    """Make the live database what the copy is. Raises Unavailable where others do not let go."""
    end = time.monotonic() + _PATIENCE

    def watch(status: int, _left: int, _total: int) -> None:
        if status != sqlite3.SQLITE_DONE and time.monotonic() > end:
            raise Unavailable("The database is in use: it could not be written over.")

    with closing(sqlite3.connect(scratch)) as source, closing(sqlite3.connect(live)) as target:
        target.execute("PRAGMA journal_mode=WAL")
        target.execute("PRAGMA synchronous=FULL")
        source.backup(target, pages=-1, progress=watch)
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def _both(scratch: Path, live: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(scratch, isolation_level=None)) as link:
        link.execute("PRAGMA foreign_keys=OFF")
        link.execute("PRAGMA ignore_check_constraints=ON")
        link.execute("PRAGMA secure_delete=ON")
        link.execute("PRAGMA busy_timeout=30000")
        link.execute("ATTACH DATABASE ? AS live", [f"{live}"])
        yield link


def _has(link: sqlite3.Connection, schema: str, table: str) -> bool:
    sql = f"SELECT 1 FROM {schema}.sqlite_master WHERE type = 'table' AND name = ?"  # noqa: S608
    return link.execute(sql, [table]).fetchone() is not None


def _tables(link: sqlite3.Connection, schema: str) -> Iterator[str]:
    """Yield plain tables: a virtual one and its shadows cannot be copied row by row."""
    for _schema, name, kind, *_ in link.execute(f"PRAGMA {schema}.table_list").fetchall():
        if kind == "table" and not name.startswith("sqlite_"):
            yield name


def _relink(
    link: sqlite3.Connection, model: Any, column: str, whom: type[Any], called: str
) -> None:
    """Let rows refer to the live user or group of the same name; to none where there is none."""
    table, other = model._meta.db_table, whom._meta.db_table
    if not (_has(link, "main", other) and _has(link, "live", other)):
        return  # the host keeps them elsewhere
    key = whom._meta.pk.column
    now = (
        f"SELECT l.{key} FROM live.{other} l JOIN main.{other} m ON l.{called} = m.{called}"  # noqa: S608
        f" WHERE m.{key} = t.{column}"
    )
    link.execute(
        f"CREATE TEMP TABLE linked AS SELECT t.id AS row, ({now}) AS whom"  # noqa: S608
        f" FROM main.{table} t WHERE {column} IS NOT NULL"
    )
    if model is Share:  # which must have somebody
        link.execute(f"DELETE FROM {table} WHERE id IN (SELECT row FROM linked WHERE whom IS NULL)")  # noqa: S608
    # Nobody first, for two may have changed places.
    link.execute(f"UPDATE {table} SET {column} = NULL WHERE id IN (SELECT row FROM linked)")  # noqa: S608
    link.execute(
        f"UPDATE {table} SET {column} = whom FROM temp.linked WHERE row = {table}.id"  # noqa: S608
    )
    link.execute("DROP TABLE temp.linked")


def _copy_table(link: sqlite3.Connection, name: str) -> None:
    made = "SELECT sql FROM live.sqlite_master WHERE tbl_name = ? AND sql NOT NULL ORDER BY rowid"
    link.execute(f'DROP TABLE IF EXISTS main."{name}"')
    for (sql,) in link.execute(made, [name]).fetchall():
        link.execute(sql)
        if sql.startswith("CREATE TABLE"):
            link.execute(f'INSERT INTO main."{name}" SELECT * FROM live."{name}"')  # noqa: S608
    _copy_sequence(link, name)


def _copy_rows(link: sqlite3.Connection, model: type[models.Model]) -> None:
    """Take a table's live rows, under the keys that their accounts have in the copy."""
    table = model._meta.db_table
    here = f"SELECT m.id FROM main.{_ACCOUNT} m JOIN live.{_ACCOUNT} l USING (uuid)"  # noqa: S608
    columns, values, wanted = [], [], "1"
    for one in model._meta.concrete_fields:
        columns.append(f'"{one.column}"')
        is_account = one.related_model is Account
        values.append(f"({here} WHERE l.id = t.{one.column})" if is_account else columns[-1])
        if is_account and not one.null:
            wanted = f"{values[-1]} IS NOT NULL"
    link.execute(f"DELETE FROM main.{table}")  # noqa: S608
    link.execute(
        f"INSERT INTO main.{table} ({', '.join(columns)})"  # noqa: S608
        f" SELECT {', '.join(values)} FROM live.{table} t WHERE {wanted}"
    )
    _copy_sequence(link, table)


def _copy_sequence(link: sqlite3.Connection, table: str) -> None:
    if _has(link, "live", "sqlite_sequence") and _has(link, "main", "sqlite_sequence"):
        link.execute("DELETE FROM main.sqlite_sequence WHERE name = ?", [table])
        link.execute(
            "INSERT INTO main.sqlite_sequence SELECT * FROM live.sqlite_sequence WHERE name = ?",
            [table],
        )
