"""Ids and the order of messages in time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha1
from uuid import UUID

from uuid6 import uuid7

#: The account that what a site does by itself is kept under.
SYSTEM = UUID("00000000-0000-7000-8000-000000000000")
#: A place is a moment's number of 2**6 milliseconds, then which of 2**4 messages in them it is.
_MS_BITS, TIE_BITS = 6, 4
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = (1 << 42) - 1  # the year 2109; a place stays well inside a signed 64-bit integer


def new_id() -> UUID:
    """Return a new public id: a UUIDv7 (RFC 9562), so ids sort roughly by time."""
    return UUID(int=uuid7().int)


def derived_id(space: UUID, *names: str) -> UUID:
    """Return the id that what is named so always gets in ``space``, and nothing else does.

    A UUIDv5 (RFC 9562) of the names joined with colons; whatever text a file may name it by will
    do, lone surrogates too.
    """
    return derived_ids(space, *names[:-1])(names[-1])


def derived_ids(space: UUID, *names: str) -> Callable[[str], UUID]:
    """Return what gives the ids of all that is named so, up to the last name."""
    before = sha1(space.bytes + b"".join(map(_named, names)), usedforsecurity=False)

    def derive(last: str) -> UUID:
        digest = before.copy()
        digest.update(_named(last)[:-1])
        return UUID(bytes=digest.digest()[:16], version=5)

    return derive


def _named(name: str) -> bytes:
    escaped = name.replace("\\", r"\\").replace(":", r"\:")
    return escaped.encode("utf-8", "surrogatepass") + b":"


def milliseconds(moment: datetime) -> int:
    """Return milliseconds since 1970 (UTC), clamped to what a place can hold."""
    ms = int((moment - _BEGINNING).total_seconds() * 1000)
    return min(max(ms, 0), _LAST_MS)


def place(ms: int) -> int:
    """Return the first place of the moment that a millisecond is in.

    Places order messages by time, then arrival. The fewer bits they have, the smaller is the
    search index, which writes down how far each is from the one before.
    """
    return ms >> _MS_BITS << TIE_BITS
