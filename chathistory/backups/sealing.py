"""Sealing: a container is written into a file and proved before anybody hears of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any
from uuid import UUID, uuid4

from django.utils import timezone

from chathistory import bulk, crypto, master
from chathistory.models import Account, Backup, Session

from . import capture, container, contents, keysets
from .capture import Content, Vector
from .store import Place

Kind = Backup.Kind
Step = Callable[..., None]


@dataclass(slots=True)
class Written:
    """A container that is written and not yet proved."""

    at: Place
    key: bytes
    account: Account | None


@dataclass(slots=True)
class Made:
    """A container that was proved, and its row, not yet stored."""

    row: Backup
    at: Place
    key: bytes
    vector: Vector
    #: Which site made it (``capture.site``).
    site: str


def quiet(_done: int, _total: int | None = None) -> None:
    """Tell nobody how far it is."""


def write(
    file: IO[bytes],
    content: Content,
    *,
    account: Account | None = None,
    session: Session | None = None,
    after: Backup | None = None,
    step: Step = quiet,
) -> Written:
    """Write a container into ``file``: of a new chain, or the one that comes ``after`` another."""
    key = crypto.new_key()
    header = _header(content, after)
    header |= {"account": str(account.uuid)} if account else {}
    header |= {"session": str(session.uuid)} if session else {}
    # Within a view of rows nothing may be written, not even how far this is.
    plain = _told(content, step) if content.layout == "file" else content.plain()
    digest = container.write(file, key, header, plain)
    return Written(Place(UUID(header["chain"]), header["number"], digest), key, account)


def prove(file: IO[bytes], written: Written) -> Made:
    """Read back what was written. Raises Damaged where it is not what it should be."""
    file.seek(0)
    found = made(contents.prove(file, written.key, written.at), written.key, written.account)
    found.row.verified_at = timezone.now()
    return found


def made(found: contents.Opened, key: bytes, account: Account | None) -> Made:
    """Return a container that was read to its end, with the row that lists it."""
    header, at = found.header, found.at
    row = Backup(
        account=account,
        session=UUID(header["session"]) if "session" in header else None,
        kind=header["kind"],
        chain=at.chain,
        number=at.number,
        name=at.digest,
        previous=header["previous"],
        at=found.moment,
        size=found.size,
        counts=found.manifest["counts"],
        key=keysets.wrap(at.digest, key),
        created_at=datetime.fromisoformat(header["created"]),
    )
    return Made(row, at, key, dict(found.manifest["vector"]), header["site"])


def _header(content: Content, after: Backup | None) -> dict[str, Any]:
    return {
        "format": contents.FORMAT,
        "layout": content.layout,
        "kind": (Kind.SEGMENT if after else Kind.FULL).value,
        "chain": str(after.chain if after else uuid4()),
        "number": after.number + 1 if after else 0,
        "previous": after.name if after else "",
        "at": content.at.isoformat(),
        "since": content.since.isoformat() if content.since else None,
        "epoch": content.epoch,
        "began": None if after else capture.began(),
        "site": capture.site(),
        "database": bulk.connection(Account).vendor,
        "key_id": next(iter(master.keys())),
        "created": timezone.now().isoformat(),
    }


def _told(content: Content, step: Step) -> Iterator[bytes]:
    done = 0
    for piece in content.plain():
        yield piece
        done += len(piece)
        step(done, content.manifest["bytes"])
