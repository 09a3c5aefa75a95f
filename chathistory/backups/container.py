"""Containers: sealed files that are written once, read as a stream and fail loudly.

A container is ``magic | length | header | frames``. The header is JSON in the clear (what kind,
which chain, which number); each frame is up to 1 MiB of plain bytes under AES-256-GCM with a key
that seals this one container. The nonce is the frame's number and whether it is the last, the
associated data are the hash of everything before the first frame: a frame that is changed, left
out, repeated, swapped or from another container does not open, and a cut end is missed. (The
STREAM construction: Hoang, Reyhanitabar, Rogaway and Vizár, 2015.)
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
from collections.abc import Iterable, Iterator
from typing import IO, Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from chathistory.exceptions import Damaged
from chathistory.lru import Lru

MAGIC = b"CHATSEAL1\n"
FRAME = 1 << 20
_LENGTH = struct.Struct(">I")
_TAG = 16
_RECORD = _LENGTH.size + FRAME + _TAG  # bytes of every frame but the last, in the file
_MOST_HEADER = 65_536
_HELD = 48  # frames that were opened


def write(file: IO[bytes], key: bytes, header: dict[str, Any], plain: Iterable[bytes]) -> str:
    """Write a container of the bytes ``plain`` yields; return the SHA-256 of the file in hex.

    ``key`` is 32 random bytes that seal nothing else.
    """
    packed = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    lead = MAGIC + _LENGTH.pack(len(packed)) + packed
    digest, bound, aead = hashlib.sha256(lead), hashlib.sha256(lead).digest(), AESGCM(key)
    file.write(lead)
    for number, (frame, is_last) in enumerate(_frames(plain)):
        sealed = aead.encrypt(_nonce(number, is_last), frame, bound)
        record = _LENGTH.pack(len(sealed)) + sealed
        digest.update(record)
        file.write(record)
    return digest.hexdigest()


def header_of(file: BinaryIO) -> dict[str, Any]:
    """Return the header of a container, not yet proved true. Raises Damaged."""
    return _lead(file)[1]


def read(file: BinaryIO, key: bytes) -> Iterator[bytes]:
    """Yield the plain bytes of a container, each frame proved before it is given.

    Raises Damaged at the first frame that does not open, and at an end that is not the end.
    """
    lead, _ = _lead(file)
    bound, aead = hashlib.sha256(lead).digest(), AESGCM(key)
    number, is_last = 0, False
    while not is_last:
        sealed = _record(file)
        frame, is_last = _open(aead, sealed, bound, number)
        yield frame
        number += 1
    if file.read(1):
        raise Damaged("Bytes follow the container's end.")


def reader(file: BinaryIO, key: bytes) -> BinaryIO:
    """Return the plain bytes as a file to read from the beginning to the end."""
    return io.BufferedReader(_Raw(read(file, key)), FRAME)


def seekable(file: BinaryIO, key: bytes) -> BinaryIO:
    """Return the plain bytes as a file to read anywhere. Raises Damaged where the end is not."""
    return io.BufferedReader(_Seekable(Frames(file, key)), FRAME)


class Frames:
    """The plain bytes of a container, to be read anywhere: frames are opened as they are needed.

    Raises Damaged where the end is not, and for each frame that does not open.
    """

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        lead, _ = _lead(file)
        self._file, self._start = file, len(lead)
        self._aead, self._bound = AESGCM(key), hashlib.sha256(lead).digest()
        sealed = max(0, file.seek(0, io.SEEK_END) - self._start - 1)
        self._last = sealed // _RECORD
        self._held: Lru[bytes] = Lru(_HELD)
        #: How many plain bytes there are.
        self.size = self._last * FRAME + len(self._frame(self._last))
        if file.read(1):
            raise Damaged("Bytes follow the container's end.")

    def read(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes from byte ``at``, fewer at the end."""
        number, skip = divmod(at, FRAME)
        found = self._frame(number)[skip : skip + size] if at < self.size else b""
        rest = size - len(found)
        return found + self.read(at + len(found), rest) if found and rest else found

    def _frame(self, number: int) -> bytes:
        return self._held.obtain(number, lambda: (self._load(number), True))

    def _load(self, number: int) -> bytes:
        self._file.seek(self._start + number * _RECORD)
        frame, is_last = _open(self._aead, _record(self._file), self._bound, number)
        if is_last != (number == self._last):
            raise Damaged("The container breaks off.")
        return frame


class _Seekable(io.RawIOBase):
    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._frames.size}[whence]
        if start + offset < 0:
            raise ValueError("before the beginning")
        self._at = start + offset
        return self._at

    def readinto(self, target: Any) -> int:
        piece = self._frames.read(self._at, len(target))
        target[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


class _Raw(io.RawIOBase):
    def __init__(self, frames: Iterator[bytes]) -> None:
        self._frames = frames
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._rest:
            frame = next(self._frames, None)
            if frame is None:
                return 0
            self._rest = frame
        size = min(len(target), len(self._rest))
        target[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _frames(plain: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Cut what comes into frames; the last, perhaps empty, is marked."""
    rest = bytearray()
    for piece in plain:
        rest += piece
        while len(rest) > FRAME:
            yield bytes(rest[:FRAME]), False
            del rest[:FRAME]
    yield bytes(rest), True


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def _open(aead: AESGCM, sealed: bytes, bound: bytes, number: int) -> tuple[bytes, bool]:
    for is_last in (False, True):
        try:
            return aead.decrypt(_nonce(number, is_last), sealed, bound), is_last
        except InvalidTag:
            continue
    raise Damaged(f"Frame {number + 1} of the container does not open.")


def _lead(file: BinaryIO) -> tuple[bytes, dict[str, Any]]:
    start = file.read(len(MAGIC) + _LENGTH.size)
    size = int.from_bytes(start[len(MAGIC) :], "big")
    if not start.startswith(MAGIC) or len(start) < len(MAGIC) + 4 or size > _MOST_HEADER:
        raise Damaged("This is not a container of ours.")
    packed = file.read(size)
    try:
        header = json.loads(packed)
    except (ValueError, RecursionError):
        header = None
    if len(packed) < size or not isinstance(header, dict):
        raise Damaged("The container's header cannot be read.")
    return start + packed, header


def _record(file: BinaryIO) -> bytes:
    length = file.read(_LENGTH.size)
    size = int.from_bytes(length, "big")
    if len(length) < _LENGTH.size or not _TAG <= size <= FRAME + _TAG:
        raise Damaged("The container breaks off, or is not one.")
    sealed = file.read(size)
    if len(sealed) < size:
        raise Damaged("The container breaks off.")
    return sealed
