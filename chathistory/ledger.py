"""The erasure ledger: what was removed for good, so that no restore brings it back.

One JSON line for each purge, beside the keys and never in a backup: uuids, and why a hold was
passed over, no words anybody said. A line is on the disk before the first row goes; a process
that dies while writing one leaves a torn end, which the next writer cuts off.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.utils import timezone

from .conf import settings
from .exceptions import Damaged, Unavailable


@dataclass(frozen=True, slots=True)
class Entry:
    """One removal: of whole accounts (no session), whole sessions (no messages), or messages."""

    at: datetime
    account: UUID
    session: UUID | None = None
    messages: tuple[UUID, ...] = ()
    #: Why a hold was passed over; empty where there was none.
    override: str = ""


def path() -> Path:
    """Return where the ledger is kept."""
    return Path(settings.HOME) / "keys" / "erasures.jsonl"


def note(
    account: UUID,
    session: UUID | None = None,
    messages: Sequence[UUID] = (),
    *,
    override: str = "",
) -> None:
    """Write one entry, and wait until the disk has it. Raises Unavailable."""
    line: dict[str, Any] = {"at": timezone.now().isoformat(), "account": str(account)}
    line |= {"session": str(session)} if session else {}
    line |= {"messages": [str(uuid) for uuid in messages]} if messages else {}
    line |= {"override": override} if override else {}
    try:
        with _opened() as file:
            _write(file, json.dumps(line).encode() + b"\n")
    except OSError as error:
        raise Unavailable(f"The erasure ledger cannot be written: {error.strerror}.") from error


def read() -> list[Entry]:
    """Return every entry, oldest first; a torn end is left out.

    Raises Damaged where another line cannot be read, and Unavailable where the file cannot.
    """
    try:
        raw = path().read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Unavailable(f"The erasure ledger cannot be read: {error.strerror}.") from error
    *lines, _torn = raw.split(b"\n")
    return [_entry(number, line) for number, line in enumerate(lines, 1)]


def _entry(number: int, line: bytes) -> Entry:
    try:
        found = json.loads(line)
        return Entry(
            at=datetime.fromisoformat(found["at"]),
            account=UUID(found["account"]),
            session=UUID(found["session"]) if "session" in found else None,
            messages=tuple(UUID(uuid) for uuid in found.get("messages", ())),
            override=found.get("override", ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Damaged(f"Line {number} of the erasure ledger cannot be read.") from None


@contextlib.contextmanager
def _opened() -> Iterator[int]:
    folder = path().parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    is_new = not path().exists()
    file = os.open(path(), os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        if is_new:
            _sync_folder(folder)
        yield file
    finally:
        os.close(file)


def _write(file: int, line: bytes) -> None:
    _cut_torn_end(file)
    if os.write(file, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # it took only a part
    os.fsync(file)


def _cut_torn_end(file: int) -> None:
    """Cut off what a writer left that died: it removed nothing, for it had not come so far."""
    size = end = os.fstat(file).st_size
    while end and os.pread(file, 1, end - 1) != b"\n":
        end -= 1
    if end != size:
        os.ftruncate(file, end)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
