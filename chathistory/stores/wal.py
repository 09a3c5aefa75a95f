"""A database together with what its write-ahead log holds (https://sqlite.org/walformat.html).

SQLite itself would write beside the file to do this.
"""

from __future__ import annotations

import struct
from pathlib import Path

from chathistory.stores.shape import Refused

MAX_BYTES = 256 << 20  # of a database and its log, which are put together in memory
_HEADER, _FRAME = struct.Struct(">8I"), struct.Struct(">6I")
_MAGIC = 0x377F0682  # the lowest bit says in which order bytes are summed
_LOGGED = b"\2\2"
_AT_REST = b"\1\1"


def is_logged(head: bytes) -> bool:
    """Tell whether a database's header says that it has a log."""
    return head[18:20] == _LOGGED


def merged(path: Path, log: Path) -> bytes:
    """Return a database's bytes as of the last whole transaction in its log. Raises Refused."""
    size = path.stat().st_size + log.stat().st_size
    if size > MAX_BYTES:
        raise Refused(
            f"The database has a log beside it, and both are {size:,} bytes: more than"
            f" {MAX_BYTES:,}. Close what uses it, so that the log is put away, and try again."
        )
    pages, count, page_size = _committed(log.read_bytes())
    data = bytearray(path.read_bytes())
    if pages:
        del data[count * page_size :]
        data.extend(bytes(count * page_size - len(data)))
        for number, page in pages.items():
            if number <= count:
                data[(number - 1) * page_size : number * page_size] = page
    data[18:20] = _AT_REST
    return bytes(data)


def _committed(log: bytes) -> tuple[dict[int, memoryview], int, int]:
    """Return the pages of whole transactions, how many pages there are then, and their size."""
    done: dict[int, memoryview] = {}
    count = 0
    if len(log) < _HEADER.size:
        return done, 0, 0
    magic, _version, page_size, _number, *salts = _HEADER.unpack_from(log)
    order = ">" if magic & 1 else "<"
    sums = _summed(order, memoryview(log)[:24], (0, 0))
    is_sound = magic & ~1 == _MAGIC and page_size in _SIZES and list(sums) == salts[2:]
    if not is_sound:
        return done, 0, 0
    waiting: dict[int, memoryview] = {}
    view = memoryview(log)
    for start in range(_HEADER.size, len(log) - _FRAME.size - page_size + 1, 24 + page_size):
        number, after, *rest = _FRAME.unpack_from(log, start)
        page = view[start + _FRAME.size : start + _FRAME.size + page_size]
        sums = _summed(order, page, _summed(order, view[start : start + 8], sums))
        if rest[:2] != salts[:2] or list(sums) != rest[2:] or not 0 < number <= _MAX_PAGES:
            break
        waiting[number] = page
        if after:
            if after * page_size > MAX_BYTES:
                raise Refused("The database's log is damaged.")
            done |= waiting
            count, waiting = after, {}
    return done, count, page_size


_SIZES = frozenset(1 << bits for bits in range(9, 17))
_MAX_PAGES = MAX_BYTES >> 9


def _summed(order: str, data: memoryview, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for at in range(0, len(words), 2):
        first = (first + words[at] + second) & 0xFFFFFFFF
        second = (second + words[at + 1] + first) & 0xFFFFFFFF
    return first, second
