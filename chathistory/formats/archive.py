"""What was uploaded, as a row of readable files: the file itself, or the chats of a zip.

A zip is somebody else's claim. Its directory is counted before it is parsed, bytes are counted
as they come out and never as declared, and the names in it only choose what to read.
"""

from __future__ import annotations

import io
import json
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO

from chathistory.formats.base import FormatError
from chathistory.formats.window import Readable

MAX_ENTRIES = 10_000
MAX_RATIO = 200  # bytes out for one byte in
MAX_TOTAL = 2 << 30  # bytes out of one archive
_MAX_DIRECTORY = MAX_ENTRIES * 256  # bytes
_MAX_METADATA = 1 << 16  # bytes
_FREE = 1 << 20  # bytes that may come out before the ratio is asked
_OURS = re.compile(r"(?:.*/)?sessions/[^/]+\.json")
_WANTED = (  # the first that matches anything is read, in the order of the names
    re.compile(r"(?:.*/)?conversations\.json"),
    re.compile(r"(?:.*/)?conversations-\d{1,6}\.json"),
    _OURS,
    re.compile(r"(?:.*/)?My ?Activity\.json"),
    re.compile(r"(?!__MACOSX/).*\.jsonl?"),
)
_KINDS = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "packed with gzip",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"<": "HTML or XML",
}
_PLAIN = (0, stat.S_IFREG, stat.S_IFDIR)  # kinds of files, where one is told
_DATABASE = b"SQLite format 3\0"
_END = b"PK\x05\x06"
_ZIP = (b"PK\x03\x04", _END)
_IN_ZIP64 = 0xFFFFFFFF
_PIECE = 1 << 16  # bytes unpacked at a time: what damage costs, and memory before counting


class TooMuch(FormatError):
    """The archive holds more than may be read from it."""


@dataclass(slots=True)
class Source:
    """One file to read. `name` is for people, and empty unless the file is one of several."""

    name: str
    file: Readable

    @property
    def damage(self) -> str:
        """What was found wrong with the bytes themselves while reading; mostly empty."""
        return self.file.damage if isinstance(self.file, _Member) else ""


def sources(file: BinaryIO) -> Iterator[Source]:
    """Yield what is to be read in `file` (seekable, from its beginning); FormatError if nothing.

    Each must be read before the next is asked for. Reading one may raise TooMuch.
    """
    file.seek(0)
    start = file.read(16)
    file.seek(0)
    if start.startswith(_ZIP):
        yield from _zipped(file)
        return
    if start == _DATABASE:
        raise FormatError(
            "The file is an SQLite database, which is not taken from an upload: who runs the site"
            " can bring its chats in with the command chat_import FILE --user NAME."
        )
    for magic, kind in _KINDS.items():
        if start.startswith(magic):
            raise FormatError(f"The file is {kind}, not an export of chats.")
    yield Source("", file)


def sessions(file: BinaryIO) -> tuple[int, int]:
    """Return how many sessions an archive says it holds, and how many files of them are in it.

    `file` was read by `sources` before. What says nothing of the kind says 0.
    """
    file.seek(0)
    if not file.read(4).startswith(_ZIP):
        return 0, 0
    with zipfile.ZipFile(file) as archive:
        held = sum(_OURS.fullmatch(info.filename) is not None for info in archive.infolist())
        return _said(archive), held


def _said(archive: zipfile.ZipFile) -> int:
    try:
        with archive.open("metadata.json") as file:
            about = json.loads(file.read(_MAX_METADATA))
    except (KeyError, ValueError, RecursionError, zipfile.BadZipFile, zlib.error, EOFError):
        return 0
    if not isinstance(about, dict):
        return 0
    # Of an incremental archive the total is that of the account.
    said = about.get("sessions_backed_up", about.get("total_sessions"))
    return said if type(said) is int else 0


def _zipped(file: BinaryIO) -> Iterator[Source]:
    _check_directory(file)
    try:
        with zipfile.ZipFile(file) as archive:
            meter = _Meter(file.seek(0, io.SEEK_END))
            chats = _chats(archive.infolist())
            meter.promise(sum(info.file_size for info in chats))
            for info in chats:
                name = _printable(info.filename) if len(chats) > 1 else ""
                crc = info.CRC
                del info.CRC  # zipfile would keep the last piece back where the sum is wrong
                with archive.open(info) as inner:
                    yield Source(name, _Member(inner, crc, info.compress_size, meter))
    except FormatError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OSError) as error:
        raise FormatError(f"The zip archive is damaged: {error}.") from error


def _check_directory(file: BinaryIO) -> None:
    """Judge the directory by its bytes, before anything is made of them (APPNOTE 4.3.16)."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _MAX_DIRECTORY - (1 << 16)))
    tail = file.read()
    plain = tail[-22:-18] == _END and tail[-2:] == b"\0\0"
    end = len(tail) - 22 if plain else tail.rfind(_END)
    if end < 0 or len(tail) < end + 22:
        raise FormatError("The zip archive is cut off: its directory is missing.")
    entries, length = struct.unpack_from("<HL", tail, end + 10)
    if length == _IN_ZIP64 and tail[max(0, end - 76) :].startswith(b"PK\x06\x06"):
        entries, length = struct.unpack_from("<Q Q", tail, end - 76 + 32)
    if max(entries, tail.count(b"PK\x01\x02")) > MAX_ENTRIES or length > _MAX_DIRECTORY:
        raise TooMuch(f"The zip archive has more than {MAX_ENTRIES:,} entries.")


def _chats(entries: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """Choose the entries that hold chats; FormatError if any entry is not to be trusted."""
    for info in entries:
        if reason := _distrust(info):
            raise FormatError(f"The zip archive is refused: {_printable(info.filename)} {reason}.")
    if len({info.filename for info in entries}) < len(entries):
        raise FormatError("The zip archive is refused: it holds two files of one name.")
    for pattern in _WANTED:
        found = [info for info in entries if pattern.fullmatch(info.filename)]
        if found:
            return sorted(found, key=lambda info: (len(info.filename), info.filename))
    raise FormatError(
        "The zip archive holds no chats: no conversations.json, conversations-000.json,"
        " sessions/*.json or other .json or .jsonl is in it (archives inside archives are not"
        " opened)."
    )


def _distrust(info: zipfile.ZipInfo) -> str:
    """Say what is wrong with an entry by its own description; empty if nothing is."""
    if info.flag_bits & 0x41:
        return "is encrypted"
    if info.orig_filename.startswith(("/", "\\")) or ":" in info.orig_filename[:3]:
        return "has an absolute name"
    if ".." in re.split(r"[/\\]", info.orig_filename):
        return "has a name that points outside"
    if stat.S_IFMT(info.external_attr >> 16) not in _PLAIN:
        return "is a link, or no plain file"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed by a method that is not supported"
    if info.file_size > max(_FREE, MAX_RATIO * info.compress_size):
        return f"unpacks to more than {MAX_RATIO} times its size"
    return ""


def _printable(name: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in name[:120])


class _Meter:
    """Bytes that have come out of one archive of `size` bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.total = 0

    def count(self, amount: int) -> None:
        self.total += amount
        self.promise(self.total)

    def promise(self, total: int) -> None:
        """Refuse what is too much already by what the archive says: no entry gives more."""
        if total > MAX_TOTAL:
            raise TooMuch(f"The zip archive unpacks to more than {MAX_TOTAL >> 30} GiB.")
        if total > max(_FREE, MAX_RATIO * self.size):
            raise TooMuch(f"The zip archive unpacks to more than {MAX_RATIO} times its size.")


class _Member:
    """One entry being read: counts its bytes, and ends early where they are damaged."""

    def __init__(self, inner: IO[bytes], crc: int, packed: int, meter: _Meter) -> None:
        self.damage = ""
        self._inner = inner
        self._expected, self._crc = crc, 0
        self._own = _Meter(packed)
        self._meter = meter

    def read(self, size: int, /) -> bytes:
        if self.damage:
            return b""
        try:
            data = self._inner.read(min(size, _PIECE))
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            self.damage = str(error) or "its data ends too early"
            return b""
        self._own.count(len(data))
        self._meter.count(len(data))
        self._crc = zlib.crc32(data, self._crc)
        if not data and self._crc != self._expected:
            self.damage = "its checksum is wrong"
        return data
