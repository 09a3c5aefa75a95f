"""Files of jobs on their way in or out: sealed under ``HOME/tmp``, one for each job.

A file is a row of records of 256 KiB of plain bytes, each sealed with a key of this file alone
and bound to its number and to whether it is the last: what is changed, swapped or cut off does
not open. All but the last are of one length, so that a reader may seek. The key is kept, sealed,
in the job's row.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from django.utils.translation import gettext as _

from . import crypto
from .conf import settings
from .crypto import PLAIN, Context, Key
from .exceptions import NotFound, Unavailable

CHUNK = 1 << 18
#: Seconds that a file is kept.
KEPT = 24 * 3600
_VERSION = 1


class Writer:
    """A file that is being written. Use as a context: what is not finished is removed.

    A disk that is full, or any other of its failures, raises Unavailable.
    """

    def __init__(self, uuid: UUID) -> None:
        self.uuid = uuid
        self.raw_key = crypto.new_key()
        #: Plain bytes so far.
        self.size = 0
        self._key = Key(_VERSION, self.raw_key)
        self._rest = bytearray()
        self._number = 0
        self._path = _path(uuid)
        self._part = self._path.with_suffix(".part")
        self._file = _create(self._part)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_problem: object) -> None:
        self.discard()

    def write(self, data: bytes) -> int:
        """Add plain bytes; return how many."""
        self.size += len(data)
        self._rest += data
        while len(self._rest) > CHUNK:
            self._seal(bytes(self._rest[:CHUNK]), is_last=False)
            del self._rest[:CHUNK]
        return len(data)

    def finish(self) -> None:
        """Write the end; from now on the file is there, also after a power cut."""
        self._seal(bytes(self._rest), is_last=True)
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._path)
            _sync(self._path.parent)
        except OSError as error:
            self.discard()
            raise _full(error) from error

    def discard(self) -> None:
        """Remove what was written, unless it is finished."""
        with suppress(OSError):  # what a full disk still owes when it closes
            self._file.close()
        self._part.unlink(missing_ok=True)

    def _seal(self, plain: bytes, *, is_last: bool) -> None:
        context = _context(self.uuid, self._number, is_last=is_last)
        self._number += 1
        try:
            self._file.write(crypto.seal_packed(self._key, PLAIN, plain, context))
        except OSError as error:
            self.discard()
            raise _full(error) from error


def open_file(uuid: UUID, key: bytes) -> BinaryIO:
    """Return the plain bytes of a job's file, to be read and sought in.

    Raises NotFound when there is none, and Damaged, also later, for what does not open.
    """
    try:
        file = _path(uuid).open("rb")
    except FileNotFoundError:
        raise NotFound(_("The file is gone: it is kept for 24 hours.")) from None
    try:
        return io.BufferedReader(_Reader(file, uuid, Key(_VERSION, key)), CHUNK)
    except BaseException:
        file.close()
        raise


def delete(uuid: UUID) -> None:
    """Remove a job's file, if there is one."""
    for suffix in (".spool", ".part"):
        _path(uuid).with_suffix(suffix).unlink(missing_ok=True)


def left_over() -> Iterator[tuple[Path, UUID | None]]:
    """Yield what has been in the folder for 24 hours, with the job it is named after."""
    oldest = time.time() - KEPT
    for path in folder().iterdir():
        with suppress(FileNotFoundError):  # somebody was faster
            if path.is_file() and path.stat().st_mtime < oldest:
                yield path, _uuid(path.stem)


def folder() -> Path:
    """Return the folder, which only the site's own user may enter."""
    path = settings.HOME / "tmp"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


class _Reader(io.RawIOBase):
    def __init__(self, file: BinaryIO, uuid: UUID, key: Key) -> None:
        self._file, self._uuid, self._key = file, uuid, key
        sealed = file.seek(0, io.SEEK_END)
        self._last, rest = divmod(max(sealed - 1, 0), _RECORD)
        self._size = self._last * CHUNK + max(rest + 1 - _EXTRA, 0)
        self._at = 0
        self._number, self._chunk = self._last, self._open(self._last)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise ValueError("a place before the file's beginning")
        self._at = start + offset
        return self._at

    def readinto(self, target: Any) -> int:
        number, start = divmod(self._at, CHUNK)
        if self._at >= self._size:
            return 0
        if number != self._number:
            self._chunk, self._number = self._open(number), number
        piece = self._chunk[start : start + len(target)]
        target[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _open(self, number: int) -> bytes:
        self._file.seek(number * _RECORD)
        record = self._file.read(_RECORD)
        context = _context(self._uuid, number, is_last=number == self._last)
        return crypto.unseal(self._key, record, context)


def _context(uuid: UUID, number: int, *, is_last: bool) -> Context:
    return Context("spool", "chunk", uuid, None, "", 2 * number + is_last)


#: Bytes that a record has beside its plain ones.
_EXTRA = len(crypto.seal(Key(_VERSION, bytes(32)), b"", _context(UUID(int=0), 0, is_last=True)))
_RECORD = CHUNK + _EXTRA


def _path(uuid: UUID) -> Path:
    return folder() / f"{uuid}.spool"


def _uuid(stem: str) -> UUID | None:
    try:
        return UUID(stem)
    except ValueError:
        return None


def _create(path: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
    except OSError as error:
        raise _full(error) from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _full(error: OSError) -> Unavailable:
    return Unavailable(_("The file could not be kept: %(why)s.") % {"why": error.strerror})
