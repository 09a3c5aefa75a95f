"""Blocks: the bodies of up to ten messages, compressed and sealed as one, and how one is read.

A block's content is the packed bodies one after the other, then of each message its uuid,
revision, the body's length and its role, column by column, which compresses best; the last byte
says how many there are. The record is bound to its block and session; within it a body is given
out only for the uuid, revision and role it was packed with.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from . import bulk, crypto, keyring
from .crypto import Context, Key
from .exceptions import Damaged
from .lru import Lru
from .models import Account, Block, Message, Session
from .text import ROLES

#: Messages of one block.
SIZE = 10
MEMORY = 16 * 2**20  # bytes of opened blocks that one process keeps
_ENTRY = 256  # about what a body weighs in memory besides its bytes

#: Reads a block's uuid and record from the database. Raises Damaged when it is gone.
Read = Callable[[], tuple[UUID, bytes]]


class Part(NamedTuple):
    """One message of a block: its packed body, and whose it is."""

    uuid: UUID
    revision: int
    role: str
    packed: bytes


class Opened:
    """A block's bodies, by message."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._parts = {part.uuid.int: part for part in parts}

    @property
    def weight(self) -> int:
        """About how many bytes it takes in memory."""
        return sum(len(part.packed) + _ENTRY for part in self._parts.values())

    def body(self, uuid: UUID, revision: int, role: str) -> bytes:
        """Return a message's packed body. Raises Damaged when it was packed as anything else."""
        part = self._parts.get(uuid.int)
        if part is None or part[:3] != (uuid, revision, role):
            raise Damaged("The message's text is not in its block.")
        return part.packed


_opened: Lru[Opened] = Lru(MEMORY, lambda block: block.weight)


def join(parts: Sequence[Part]) -> bytes:
    """Return the content of a block of 1 to 255 messages."""
    count = len(parts)
    return b"".join(
        (
            *(part.packed for part in parts),
            *(part.uuid.bytes for part in parts),
            struct.pack(f">{count}I", *(part.revision for part in parts)),
            struct.pack(f">{count}I", *(len(part.packed) for part in parts)),
            # A role's number is part of the format: new roles come after those there are.
            bytes(ROLES.index(part.role) for part in parts),
            bytes([count]),
        )
    )


def split(content: bytes) -> list[Part]:
    """Return the messages of a block's content."""
    count = content[-1]
    columns = struct.Struct(f">{16 * count}s{count}I{count}I{count}sB")
    uuids, *numbers, roles, _ = columns.unpack_from(content, len(content) - columns.size)
    parts, end = [], 0
    for at in range(count):
        start, end = end, end + numbers[count + at]
        uuid = UUID(bytes=uuids[16 * at : 16 * at + 16])
        parts.append(Part(uuid, numbers[at], ROLES[roles[at]], content[start:end]))
    return parts


def context(block: UUID, session: UUID) -> Context:
    """Return where a block's record belongs."""
    return Context("block", "body", block, session)


def seal(key: Key, block: UUID, session: UUID, codec: int, packed: bytes) -> bytes:
    """Return the record of a joined block that ``crypto.pack_tightly`` has packed."""
    return crypto.seal_packed(key, codec, packed, context(block, session))


def unseal(account: Account, session: tuple[int, UUID], block: UUID, record: bytes) -> Opened:
    """Open a record; ``session`` is its key and uuid. Raises Damaged."""
    key = keyring.key_of(account, *session, crypto.key_version(record))
    return Opened(split(crypto.unseal(key, record, context(block, session[1]))))


def obtain(account: Account, session: tuple[int, UUID], block: int, read: Read) -> Opened:
    """Return an opened block, from memory where this process has read it before.

    A block never changes: its number and what would make others of it are the name. Raises
    Damaged.
    """
    name = account.uuid.int, account.epoch, account.key_version, session[1].int, block
    return _opened.obtain(name, lambda: (unseal(account, session, *read()), True))


def body(message: Message, session: Session) -> bytes:
    """Return the packed body of a message that is in a block. Raises Damaged."""
    block = message.block_id
    assert block is not None  # noqa: S101  (for the type checker)

    def read() -> tuple[UUID, bytes]:
        row = bulk.get(Block, id=block, session=session.pk)
        if row is None:
            raise Damaged("The message's block is gone.")
        return row.uuid, row.body

    opened = obtain(session.account, (session.pk, session.uuid), block, read)
    return opened.body(message.uuid, message.revision, message.role)


def forget(session: Session) -> None:
    """Let go of a session's opened blocks."""
    uuid = session.uuid.int
    _opened.forget(lambda name: isinstance(name, tuple) and name[3] == uuid)
