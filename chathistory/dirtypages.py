"""Leaf pages of an SQLite file that still hold bytes of rows which were moved away.

With ``secure_delete`` SQLite wipes what is deleted, but not the old place of a row that moves to
another page when pages are balanced: its bytes stay in the gap between a page's cell pointers and
its cells until something is written there. ``dirty`` finds such pages and says how to have the gap
overwritten: give a blob of a row of that page the length that makes its cell fill the page, and
then its own content again.

The file is read in a process of its own, ``python dirtypages.py FILE ROOT COLUMN COLUMNS``, with
nothing but the standard library: a process that has the database open would lose its locks when
it closes the file. Of the format (sqlite.org/fileformat2.html) this needs pages, cells and the
header of a record.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from struct import error, unpack_from
from typing import NamedTuple

_INTERIOR, _LEAF = 5, 13
#: Bytes at the beginning of a gap that one cell cannot reach, and others that may stay: what a
#: wiped cell leaves of its bookkeeping.
_SPARE, _FEW = 20, 8
_SLACK = 8  # a blob's length takes up to four bytes more where it is written down


class Dirty(NamedTuple):
    """A page, a row on it, and the length for that row's blob; -1 where there is no such row."""

    page: int
    row: int
    length: int


class _File:
    def __init__(self, path: str) -> None:
        self._handle = os.open(path, os.O_RDONLY)
        head = os.pread(self._handle, 100, 0)
        size = unpack_from(">H", head, 16)[0]
        self._size = 65_536 if size == 1 else size
        #: Bytes of a page without what extensions reserve.
        self.usable = self._size - head[20]

    def page(self, number: int) -> bytes:
        return os.pread(self._handle, self._size, (number - 1) * self._size)

    def close(self) -> None:
        os.close(self._handle)


def dirty(path: str, root: int, column: int, columns: int) -> Iterator[Dirty]:
    """Yield the dirty leaves of the table at ``root``, whose blob is its ``column``th of so many.

    The file may be written meanwhile: what is found is a hint, to be looked at again.
    """
    file = _File(path)
    try:
        for number, page in _leaves(file, root):
            try:
                found = _look(page, file.usable, column, columns)
            except (IndexError, error):  # read while it was written
                found = (0, -1)
            if found is not None:
                yield Dirty(number, *found)
    finally:
        file.close()


def _leaves(file: _File, root: int) -> Iterator[tuple[int, bytes]]:
    waiting = [root]
    while waiting:
        number = waiting.pop()
        page = file.page(number)
        if page[:1] == bytes([_LEAF]):
            yield number, page
        elif page[:1] == bytes([_INTERIOR]):
            cells = unpack_from(f">{unpack_from('>H', page, 3)[0]}H", page, 12)
            waiting.append(unpack_from(">I", page, 8)[0])
            waiting += [unpack_from(">I", page, cell)[0] for cell in cells]


def _look(page: bytes, usable: int, column: int, columns: int) -> tuple[int, int] | None:
    """Return a row and a length for its blob, or None where the gap is clean."""
    free, count, content, fragments = unpack_from(">HHHB", page, 1)
    start, content = 8 + 2 * count, content or 65_536
    gap = page[start + _SPARE : content]
    if len(gap) - gap.count(0) <= _FEW:
        return None
    room = content - start + fragments
    while free:
        free, size = unpack_from(">HH", page, free)
        room += size
    for cell in unpack_from(f">{count}H", page, 8):
        row, length = _filling(page, cell, room, usable, column, columns)
        if length >= 0:
            return row, length
    return 0, -1


def _filling(
    page: bytes, cell: int, room: int, usable: int, column: int, columns: int
) -> tuple[int, int]:
    """Return a cell's row, and the length of its blob with which it takes ``room`` more bytes."""
    payload, at = _varint(page, cell)
    row, at = _varint(page, at)
    blob, known = _blob(page, at, column)
    heads = at - cell
    most = usable - 35  # a longer payload goes on in overflow pages
    wanted = min(heads + _local(payload, usable) + room - heads, most)
    others = payload - blob + 4 * (columns - known)
    return row, wanted - others - _SLACK


def _local(payload: int, usable: int) -> int:
    """Return how many bytes of a payload, and of the pointer to the rest, its cell holds."""
    most, least = usable - 35, (usable - 12) * 32 // 255 - 23
    if payload <= most:
        return payload
    kept = least + (payload - least) % (usable - 4)
    return (kept if kept <= most else least) + 4


def _blob(page: bytes, at: int, column: int) -> tuple[int, int]:
    """Return the length of a record's ``column``, and how many columns the record has."""
    size, next_ = _varint(page, at)
    kinds, end = [], at + size
    while next_ < end:
        kind, next_ = _varint(page, next_)
        kinds.append(kind)
    kind = kinds[column] if column < len(kinds) else 0
    return ((kind - 12) // 2 if kind >= 12 else 0), len(kinds)


def _varint(page: bytes, at: int) -> tuple[int, int]:
    value = 0
    for _ in range(8):
        byte = page[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    return value << 8 | page[at], at + 1


if __name__ == "__main__":
    for one in dirty(sys.argv[1], *map(int, sys.argv[2:5])):
        sys.stdout.write(f"{one.page} {one.row} {one.length}\n")
