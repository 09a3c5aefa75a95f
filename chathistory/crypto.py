"""Sealing: bytes in, bytes out; AES-256-GCM records bound to the place they belong to.

A record is ``header | ciphertext | tag`` with ``header = format, codec, key version, nonce``.
The associated data are the header and the record's context, so that a record that was changed,
moved, swapped or put back from an earlier revision does not open (AEAD: NIST SP 800-38D).
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .exceptions import Damaged
from .packed import DEFLATE as DEFLATE
from .packed import PLAIN as PLAIN
from .packed import ZSTD as ZSTD
from .packed import pack as pack

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FORMAT = 1
KEY_BYTES = 32
_HEADER = struct.Struct(">BBI12s")
_TAIL = struct.Struct(">16s16sQ")
_ZSTD_LEVEL = 19  # slow to pack, which is done once, and as fast to open as any other
#: What opens each codec. No bound on what it opens to: it is authentic, so it passed our limits.
_OPENERS: dict[int, Callable[[bytes], bytes]] = {
    PLAIN: bytes,
    DEFLATE: zlib.decompress,
    ZSTD: zstd.decompress,
}
_NIL = bytes(16)
_NONCE = 12


class Context(NamedTuple):
    """Where a record belongs; the same values must be given to open it."""

    table: str
    column: str
    row: UUID
    session: UUID | None = None
    role: str = ""
    revision: int = 0

    def bound_to(self, header: bytes) -> bytes:
        """Return the associated data: the names, then what has a fixed length."""
        session = self.session.bytes if self.session else _NIL
        names = names_of(self.table, self.column, self.role)
        return header + place(names, self.row.bytes, session, self.revision)


def names_of(table: str, column: str, role: str) -> bytes:
    """Return the names of a place; each ends at a NUL."""
    return f"{table}\0{column}\0{role}\0".encode()


def place(names: bytes, row: bytes, session: bytes, revision: int) -> bytes:
    """Return the associated data of a place, but for the record's header.

    Raises Damaged where the row has a number that none of ours has.
    """
    try:
        return names + _TAIL.pack(row, session, revision)
    except struct.error:
        raise Damaged from None


@dataclass(frozen=True, slots=True)
class Key:
    """One version of a data key. ``raw`` never shows in a repr."""

    version: int
    raw: bytes = field(repr=False)
    aead: AESGCM = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "aead", AESGCM(self.raw))


def new_key() -> bytes:
    """Return 32 random bytes."""
    return os.urandom(KEY_BYTES)


def pack_tightly(text: bytes) -> tuple[int, bytes]:
    """Return ``(codec, bytes)`` of what is seldom written: Zstandard (RFC 8878) if smaller.

    It takes about 1 ms for 5 kB, in which other threads run.
    """
    packed = zstd.compress(text, _ZSTD_LEVEL)
    return (ZSTD, packed) if len(packed) < len(text) else (PLAIN, text)


def pack_quickly(text: bytes) -> tuple[int, bytes]:
    """Return ``(codec, bytes)`` of what is large and often written: Zstandard if smaller.

    It takes about 10 ms for 2 MB.
    """
    packed = zstd.compress(text, 3)
    return (ZSTD, packed) if len(packed) < len(text) else (PLAIN, text)


def seal(key: Key, text: bytes, context: Context) -> bytes:
    """Return the sealed record of ``text``, deflated when that is smaller."""
    return seal_packed(key, *pack(text), context)


def nonces(count: int) -> Iterator[bytes]:
    """Yield so many nonces, asked of the system at once: that is what one of them costs most."""
    drawn = os.urandom(_NONCE * count)
    return (drawn[start : start + _NONCE] for start in range(0, len(drawn), _NONCE))


def seal_packed(
    key: Key, codec: int, packed: bytes, context: Context, nonce: bytes | None = None
) -> bytes:
    """Return the sealed record of what ``pack`` gave; a ``nonce`` is one of ``nonces``, once."""
    nonce = nonce or os.urandom(_NONCE)
    header = _HEADER.pack(FORMAT, codec, key.version, nonce)
    return header + key.aead.encrypt(nonce, packed, context.bound_to(header))


def unseal(key: Key, record: bytes, context: Context) -> bytes:
    """Return the text of a record. Raises Damaged when it is not the one sealed for ``context``."""
    return unseal_at({}, record, context.bound_to(b""), key)


def unseal_at(
    keys: Mapping[int, Key], record: bytes, place: bytes, key: Key | None = None
) -> bytes:
    """Return the text of a record, opened by that of ``keys`` whose version it names.

    Raises Damaged when it is not the one sealed for ``place``, and KeyError without the key.
    """
    header = record[: _HEADER.size]
    if len(header) < _HEADER.size or header[0] != FORMAT or header[1] not in _OPENERS:
        raise Damaged("The record's header is not one of ours.")
    key = key or keys[int.from_bytes(header[2:6], "big")]
    try:
        packed = key.aead.decrypt(header[6:], record[_HEADER.size :], header + place)
    except InvalidTag:
        raise Damaged from None
    return _OPENERS[header[1]](packed)


def key_version(record: bytes) -> int:
    """Return the key version that a record's header names. Raises Damaged when it has none."""
    if len(record) < _HEADER.size:
        raise Damaged("The record is shorter than its header.")
    return int.from_bytes(record[2:6], "big")


def derive(key: bytes, purpose: str) -> bytes:
    """Return 32 bytes bound to ``purpose`` by HKDF-SHA256 (RFC 5869)."""
    info = b"chathistory/" + purpose.encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)


def fingerprint(key: bytes, value: str) -> str:
    """Return the keyed hash of ``value``: 32 hex digits of BLAKE2b (RFC 7693)."""
    return hashlib.blake2b(value.encode(), digest_size=16, key=key).hexdigest()
