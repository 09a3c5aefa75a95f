"""One account's rows, or one session's, out of a copy of the whole site's file.

SQLite asks for pages as it would ask a disk, and only the frames of the container that these are
in are fetched and opened: what is wanted is a thousandth of what is there. It is a SQLite of its
own, for Python's takes a file only from the system (apsw's virtual file systems).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

import apsw
from django.db import models, transaction
from django.db.migrations.loader import MigrationLoader

from chathistory import bulk
from chathistory.exceptions import Damaged
from chathistory.models import Account, Change, Message, Session

from . import contents
from .contents import Database
from .images import TABLES
from .store import Place

_AT_ONCE = 1000
#: What is read of a table: an account's rows in the order they stand in.
_OF_ACCOUNT = "id IN (SELECT id FROM {table} WHERE account_id = :account)"
_OF_SESSION = {
    "session": "id = :session",
    "message": "id IN (SELECT id FROM {table} WHERE session_id = :session)",
    "block": "session_id = :session",
    "share": "session_id = :session",
    "revision": "message_id IN (SELECT id FROM {message} WHERE session_id = :session)",
}


@contextmanager
def opened(at: Place, key: bytes) -> Iterator[Site]:
    """Open a container with the whole site's file. Raises Damaged naming it, and Unavailable."""
    name = f"chathistory-{secrets.token_hex(8)}"
    with contents.database(at, key) as found:
        files = _Files(name, found)
        try:
            flags = apsw.SQLITE_OPEN_READONLY
            with closing(apsw.Connection("base", flags=flags, vfs=name)) as link:
                yield Site(link, found.manifest)
        except apsw.Error as error:
            raise Damaged(f"{at}: Its database cannot be read: {error}.") from error
        finally:
            files.unregister()


@dataclass(slots=True)
class Site:
    """A site's file that is being read."""

    _link: apsw.Connection
    manifest: dict[str, Any]

    def is_of_now(self) -> bool:
        """Tell whether the tables are those of this version."""
        app = Account._meta.app_label
        sql = "SELECT name FROM django_migrations WHERE app = ?"
        known = MigrationLoader(None, ignore_no_migrations=True).disk_migrations
        now = {name for label, name in known if label == app}
        return {name for (name,) in self._link.execute(sql, (app,))} == now

    def copy(self, account: UUID, session: UUID | None, since: datetime, *, lives: bool) -> None:
        """Copy an account's rows, or one session's, to the database the models are routed to.

        All accounts come with them, for rows name them; of the journal what came after ``since``,
        and with ``lives`` also what it has of sessions themselves.
        """
        with transaction.atomic(using=bulk.connection(Account).alias):
            _Copy(self._link, account, session).run(since, lives)


class _Files(apsw.VFS):
    """A file system with one file."""

    def __init__(self, name: str, found: Database) -> None:
        self._found = found
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        flags[1] = apsw.SQLITE_OPEN_READONLY
        return _File(self._found)

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        return False  # no journal stands beside it

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name


class _File:
    """What SQLite asks of a file that nobody changes."""

    def __init__(self, found: Database) -> None:
        self._found = found

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return self._found.page(offset, amount)

    def xFileSize(self) -> int:  # noqa: N802
        return self._found.size

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return apsw.SQLITE_IOCAP_IMMUTABLE

    def xSectorSize(self) -> int:  # noqa: N802
        return 4096

    def xFileControl(self, _op: int, _pointer: int) -> bool:  # noqa: N802
        return False

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xLock(self, _level: int) -> None:  # noqa: N802
        pass

    def xUnlock(self, _level: int) -> None:  # noqa: N802
        pass

    def xClose(self) -> None:  # noqa: N802
        pass


class _Copy:
    def __init__(self, link: apsw.Connection, account: UUID, session: UUID | None) -> None:
        self._link = link
        self._is_session = session is not None
        self._known: dict[str, Any] = {
            "account": self._key(Account, account),
            "session": session and self._key(Session, session),
            "uuid": session and session.hex,
        }

    def run(self, since: datetime, lives: bool) -> None:
        for name, model in TABLES.items():
            self._copy(model, self._where(name))
        chosen = f"SELECT id FROM {_table(Session)} WHERE {self._where('session')}"  # noqa: S608
        self._copy(Session.tags.through, f"session_id IN ({chosen})")
        self._changes(since, lives)

    def _key(self, model: type[models.Model], uuid: UUID) -> int | None:
        sql = f"SELECT id FROM {_table(model)} WHERE uuid = ?"  # noqa: S608
        return next((int(key) for (key,) in self._link.execute(sql, (uuid.hex,))), None)

    def _where(self, name: str) -> str:
        if name == "account":
            return "1"
        where = _OF_SESSION.get(name) if self._is_session else None
        table = _table(TABLES[name])
        return (where or _OF_ACCOUNT).format(table=table, message=_table(Message))

    def _copy(self, model: type[models.Model], where: str) -> None:
        names = ", ".join(f'"{one.column}"' for one in model._meta.concrete_fields)
        marks = ", ".join(["%s"] * len(model._meta.concrete_fields))
        into = f"INSERT INTO {_table(model)} ({names}) VALUES ({marks})"  # noqa: S608
        rows = self._link.execute(
            f"SELECT {names} FROM {_table(model)} WHERE {where} ORDER BY id",  # noqa: S608
            self._known,
        )
        with bulk.connection(Account).cursor() as cursor:
            while some := list(islice(rows, _AT_ONCE)):
                cursor.executemany(into, some)

    def _changes(self, since: datetime, lives: bool) -> None:
        self._known["seq"] = self._seq(since)
        mine = "(session IS NULL OR session = :uuid)" if self._is_session else "1"
        lived = """ OR "table" = 'session'""" if lives else ""
        self._copy(Change, f"account_id = :account AND {mine} AND (seq > :seq{lived})")

    def _seq(self, since: datetime) -> int:
        """Return the account's last Change up to a time; time never goes back in a journal."""
        at = bulk.connection(Account).ops.adapt_datetimefield_value(since)
        sql = f"SELECT seq, at FROM {_table(Change)} WHERE account_id = ? ORDER BY seq DESC"  # noqa: S608
        newest = self._link.execute(sql, (self._known["account"],))
        return next((int(seq) for seq, then in newest if then <= at), 0)


def _table(model: type[models.Model]) -> str:
    return model._meta.db_table
