"""One key set's file: a container of keys, under a key that its header carries wrapped.

Each line is one key: of a container, or a data key as its row has it. A file is named by its hash.
"""

from __future__ import annotations

import hashlib
import io
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple
from uuid import UUID

from chathistory import crypto, master
from chathistory.exceptions import Damaged, MasterKeyError, Unavailable

from . import container

#: Tells which lines are worth reading.
Wanted = Callable[[bytes], bool]
#: How a container's line begins, and what is in that of a key which is no session's.
_CONTAINER, _NO_SESSION = b'{"t":"container"', b'"session":null'


class Name(NamedTuple):
    """Which data key: whose, what for, of which session, in which version."""

    account: UUID
    purpose: str
    session: UUID | None
    version: int


class Wrapped(NamedTuple):
    """The other columns of a data key."""

    master_wrapped: bytes | None
    wrapped: bytes | None
    created_at: datetime
    retired_at: datetime | None


@dataclass(slots=True)
class Keys:
    """What key sets hold."""

    #: The key of each container, by the hash that is its name.
    containers: dict[str, bytes] = field(default_factory=dict)
    data: dict[Name, Wrapped] = field(default_factory=dict)


def is_any(_line: bytes) -> bool:
    """Want all lines."""
    return True


def is_container(line: bytes) -> bool:
    """Want the keys of containers."""
    return line.startswith(_CONTAINER)


def is_of(account: UUID | None, session: UUID | None, line: bytes) -> bool:
    """Want the keys of containers, and data keys of an account, or what one session of it needs."""
    if account is None or is_container(line):
        return True
    if str(account).encode() not in line:
        return False
    return session is None or _NO_SESSION in line or str(session).encode() in line


def write(file: IO[bytes], keys: Keys, about: dict[str, Any]) -> str:
    """Write a set, with ``about`` in its header; return the SHA-256 of the file in hex."""
    key = crypto.new_key()
    wrapped = master.wrap({"purpose": "keyset", "key": b64encode(key).decode()})
    header = {"format": 1, "key_id": master.key_id(wrapped), "wrapped": b64encode(wrapped).decode()}
    return container.write(file, key, header | about, _lines(keys))


def _lines(keys: Keys) -> Iterator[bytes]:
    for name, key in keys.containers.items():
        yield _line({"t": "container", "name": name, "key": b64encode(key).decode()})
    for whose, row in keys.data.items():
        yield _line(
            {
                "t": "data",
                "account": str(whose.account),
                "purpose": whose.purpose,
                "session": str(whose.session) if whose.session else None,
                "version": whose.version,
                "master_wrapped": _text(row.master_wrapped),
                "wrapped": _text(row.wrapped),
                "created_at": row.created_at.isoformat(),
                "retired_at": row.retired_at.isoformat() if row.retired_at else None,
            }
        )


def _line(said: dict[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def _text(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def read(path: Path, wanted: Wanted = is_any) -> Keys:
    """Return what one set holds, of the lines that are ``wanted``.

    Raises FileNotFoundError, Damaged or MasterKeyError naming the file, and Unavailable.
    """
    try:
        raw = path.read_bytes()
        if not path.name.endswith(f"-{hashlib.sha256(raw).hexdigest()}.keys"):
            raise Damaged("It is not what its name says.")
        key = _key(container.header_of(io.BytesIO(raw)))
        return _parsed(filter(wanted, container.reader(io.BytesIO(raw), key)))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unavailable(f"The key set {path} cannot be read: {error.strerror}.") from error
    except (Damaged, MasterKeyError) as error:
        raise type(error)(f"The key set {path} does not open: {error}") from None


def _key(header: dict[str, Any]) -> bytes:
    try:
        payload = master.unwrap(b64decode(header["wrapped"]))
    except (KeyError, ValueError, TypeError):
        raise Damaged("It has no key.") from None
    if payload.get("purpose") != "keyset":
        raise Damaged("Its key is another's.")
    return b64decode(payload["key"])


def _parsed(lines: Iterable[bytes]) -> Keys:
    keys = Keys()
    for line in map(json.loads, lines):
        if line["t"] == "container":
            keys.containers[line["name"]] = b64decode(line["key"])
            continue
        session, retired = line["session"], line["retired_at"]
        name = Name(
            UUID(line["account"]),
            line["purpose"],
            UUID(session) if session else None,
            line["version"],
        )
        keys.data[name] = Wrapped(
            _bytes(line["master_wrapped"]),
            _bytes(line["wrapped"]),
            datetime.fromisoformat(line["created_at"]),
            datetime.fromisoformat(retired) if retired else None,
        )
    return keys


def _bytes(said: str | None) -> bytes | None:
    return None if said is None else b64decode(said)
