"""What goes into a container, read from the database in one consistent view.

Each function is a context: what it yields is read piece by piece while the block lasts, and
nothing may be written to the database in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import OperationalError
from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from chathistory import bulk, ids
from chathistory.conf import settings
from chathistory.exceptions import Unavailable
from chathistory.models import (
    Account,
    Change,
    DataKey,
    RetentionPolicy,
    Session,
    Tag,
    Vocabulary,
)

from . import images, segments, snapshot
from .images import TABLES, Line

_PIECE = 1 << 20
_COPY = "backup-"
#: The operation of the Change with which a site's new epoch begins.
RESTORED = "site.restore"
#: Belongs to a running site: whoever changes only these has changed nothing that is kept.
_PASSING = ("job", "token", "backup")

Vector = dict[str, int]


@dataclass(slots=True)
class Content:
    """What one container is to hold, and what its header says of it (see contents.py)."""

    layout: str
    at: datetime
    epoch: int
    manifest: dict[str, Any]
    pieces: Iterator[bytes]
    since: datetime | None = None
    #: Keys of the accounts and of the sessions whose data keys a segment needs.
    accounts: Sequence[int] = ()
    sessions: Sequence[int] = ()

    def plain(self) -> Iterator[bytes]:
        """Yield the manifest's line and what follows it."""
        yield _line(self.manifest)
        yield from self.pieces

    @property
    def vector(self) -> Vector:
        """Return the newest Change in it by account's uuid."""
        return dict(self.manifest["vector"])


def whole_site() -> contextlib.AbstractContextManager[Content]:
    """Yield everything: as a copy of the file on SQLite, else as rows."""
    return _file() if bulk.connection(Account).vendor == "sqlite" else rows()


@contextmanager
def rows(account: Account | None = None, session: Session | None = None) -> Iterator[Content]:
    """Yield the rows of one account or one session, or of the whole site with its Changes."""
    now = timezone.now()
    with snapshot.consistent():
        queries = _of_site() if account is None else _of_account(account, session)
        counts = {images.name(one): count for one in queries if (count := one.count())}
        mine = Account.objects.all() if account is None else Account.objects.filter(pk=account.pk)
        manifest = {"vector": _vector(mine), "counts": counts}
        yield Content("rows", _at(now, mine), epoch(), manifest, _lines(queries))


@contextmanager
def segment() -> Iterator[Content | None]:
    """Yield the Changes that no segment has yet and the rows they left, or None without any."""
    now = timezone.now()
    with snapshot.consistent():
        if not anything_new():
            yield None
            return
        new = segments.New()
        manifest = {"vector_before": new.before, "vector": new.vector, "counts": new.counts}
        pieces = map(_line, new.lines())
        at, mine = _at(now, Account.objects.all()), (new.accounts, new.sessions)
        yield Content("segment", at, epoch(), manifest, pieces, new.since, *mine)


def anything_new() -> bool:
    """Tell whether there are Changes that no segment has, of rows that backups keep."""
    return any(
        Change.objects.filter(account=one.pk, seq__gt=one.shipped)
        .exclude(table__in=_PASSING)
        .exists()
        for one in segments.unshipped()
    )


def epoch() -> int:
    """Return the epoch of the site: moved by each restore of the whole."""
    return Account.objects.aggregate(epoch=Max("epoch"))["epoch"] or 1


def began() -> str | None:
    """Return when the site was last written over by a restore, if it ever was."""
    mine = Change.objects.filter(account__uuid=ids.SYSTEM, op=RESTORED).order_by("-seq")
    at = mine.values_list("at", flat=True).first()
    return at.isoformat() if at else None


def site() -> str:
    """Return what tells this site from one that was made anew: its own policy, as old as it."""
    mine = RetentionPolicy.objects.filter(account=None, workflow="")
    return str(mine.values_list("uuid", flat=True).first() or "")


def tidy() -> None:
    """Remove the copies that processes left when they died; no other may be alive."""
    with _told():
        for left in _folder().glob(f"{_COPY}*"):
            left.unlink(missing_ok=True)


# A copy of the file


@contextmanager
def _file() -> Iterator[Content]:
    now = timezone.now()
    with _copied() as path:
        with _told(), closing(sqlite3.connect(path, isolation_level=None)) as copy:
            _without_keys(copy)
            content = _about(copy, now)
        content.manifest["bytes"] = path.stat().st_size
        with path.open("rb") as file:
            content.pieces = iter(lambda: file.read(_PIECE), b"")
            yield content


@contextmanager
def _copied() -> Iterator[Path]:
    with _told():
        path = _folder() / f"{_COPY}{secrets.token_hex(8)}.sqlite3"
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        # One step: a copy made in many would begin again with every write.
        with _told(), bulk.connection(Account).cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(path)])
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error, OperationalError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise Unavailable(f"The copy of the database cannot be made: {why}.") from error


def _without_keys(copy: sqlite3.Connection) -> None:
    """Take the wrapped keys out, and out of the pages they stood on.

    Vocabularies too: they are made anew, and hold words of what is purged later.
    """
    copy.execute("PRAGMA journal_mode=MEMORY")
    copy.execute("PRAGMA synchronous=OFF")
    copy.execute("PRAGMA secure_delete=ON")
    for model in (DataKey, Vocabulary):
        copy.execute(f"DELETE FROM {model._meta.db_table}")  # noqa: S608


def _about(copy: sqlite3.Connection, now: datetime) -> Content:
    accounts = f"FROM {Account._meta.db_table}"
    vector = copy.execute(f"SELECT uuid, seq {accounts} WHERE seq > 0")
    manifest = {"vector": {str(UUID(uuid)): seq for uuid, seq in vector}}
    (last,) = copy.execute(f"SELECT max(at) {accounts} WHERE seq > 0").fetchone()
    at = min(now, datetime.fromisoformat(last).replace(tzinfo=UTC)) if last else now
    (newest,) = copy.execute(f"SELECT max(epoch) {accounts}").fetchone()
    tables: dict[str, Any] = {**TABLES, "change": Change}
    counts = {name: _count(copy, model._meta.db_table) for name, model in tables.items()}
    manifest["counts"] = {name: count for name, count in counts.items() if count}
    return Content("file", at, newest or 1, manifest, iter(()))


def _count(copy: sqlite3.Connection, table: str) -> int:
    (count,) = copy.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    return int(count)


def _folder() -> Path:
    folder = Path(settings.HOME) / "tmp"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


# Rows


def _of_site() -> list[QuerySet[Any, Any]]:
    every = [model._base_manager.all() for model in TABLES.values()]
    return [*every, Change.objects.all()]


def _of_account(account: Account, session: Session | None) -> list[QuerySet[Any, Any]]:
    """Return what an account or one of its sessions owns, and the accounts that it names."""
    found = {
        name: model._base_manager.filter(account=account)
        for name, model in TABLES.items()
        if name != "account"
    }
    if session is not None:
        del found["policy"]
        found["tag"] = Tag.objects.filter(pk__in=session.tags.values("pk"))
        found["session"] = Session._base_manager.filter(pk=session.pk)
        found["revision"] = found["revision"].filter(message__session=session)
        found |= {
            name: found[name].filter(session=session) for name in ("block", "message", "share")
        }
    grantees = found["share"].exclude(grantee=None).values("grantee")
    people = Account.objects.filter(Q(pk=account.pk) | Q(pk__in=grantees))
    return [people, *found.values()]


def _lines(queries: Iterable[QuerySet[Any, Any]]) -> Iterator[bytes]:
    for one in queries:
        yield from map(_line, images.images(one))


def _line(said: Line) -> bytes:
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _vector(accounts: QuerySet[Account, Account]) -> Vector:
    found = accounts.filter(seq__gt=0).values_list("uuid", "seq")
    return {str(uuid): seq for uuid, seq in found}


def _at(now: datetime, accounts: QuerySet[Account, Account]) -> datetime:
    """Return the latest time an account knows; never one ahead of the clock."""
    last = accounts.filter(seq__gt=0).aggregate(last=Max("at"))["last"]
    return min(now, last) if last else now
