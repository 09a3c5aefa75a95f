"""What is in a backup's container, read again and proved.

The header says, in the clear, which container it is: ``format, layout, kind, chain, number,
previous, at, since, epoch, began, site, database, key_id, created``, and of whom: ``account``,
``session``.
The first line of the plain bytes is the manifest; what follows is, by layout,

``file``     a SQLite database, its table of data keys emptied;
``rows``     images of rows, one JSON line each (see images.py); of a whole site its Changes too;
``segment``  images of accounts, Changes, which rows they name are gone, images of the others.

The manifest has ``counts`` of lines by table (of rows, for a file), ``bytes`` of a file, and
``vector``: the newest Change by account; a segment's ``vector_before`` is where it begins.

``at``: of one account or session, every Change up to then is in it, because an account's clock
never goes back. Of a whole site too, but for operations that were under way and began before
another account's last: they are in the next segment, whose ``since``, the earliest time in it,
says so. So whoever wants the site as of T takes every segment with ``since`` up to T, and undoes
what is later than T.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any, BinaryIO

from chathistory.exceptions import Damaged

from . import container, store
from .images import Line
from .store import Place

FORMAT = 1
LAYOUTS = ("file", "rows", "segment")
_SQLITE = b"SQLite format 3\0"
_PIECE = 1 << 20
_WRONG = (KeyError, ValueError, TypeError, AttributeError, RecursionError)


class _Hashed:
    """A file that knows the hash of what was read of it, and its header before it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ahead: bytes | None = b""
        self.size = 0
        self.digest = hashlib.sha256()
        self.header = container.header_of(_as_binary(self))
        self._again, self._ahead = self._ahead, None

    def read(self, size: int) -> bytes:
        if self._ahead is not None:
            piece = self._file.read(size)
            self._ahead += piece
            return piece
        again, self._again = self._again[:size], self._again[size:]
        piece = again + self._file.read(size - len(again))
        self.size += len(piece)
        self.digest.update(piece)
        return piece


@dataclass(slots=True)
class Opened:
    """A container that is being read. Everything in it counts only when the end was proved."""

    at: Place
    header: dict[str, Any]
    manifest: dict[str, Any]
    _plain: BinaryIO
    _file: _Hashed
    _counts: Counter[str] = field(default_factory=Counter)

    @property
    def layout(self) -> str:
        """Return ``file``, ``rows`` or ``segment``."""
        return str(self.header["layout"])

    @property
    def moment(self) -> datetime:
        """Return the header's ``at``."""
        return datetime.fromisoformat(self.header["at"])

    @property
    def since(self) -> datetime | None:
        """Return the time of a segment's earliest Change."""
        said = self.header.get("since")
        return datetime.fromisoformat(said) if said else None

    @property
    def size(self) -> int:
        """Return the bytes of the container that were read."""
        return self._file.size

    def lines(self) -> Iterator[Line]:
        """Yield the lines of ``rows`` and ``segment``. Raises Damaged, at the end as well."""
        with _named(self.at):
            for raw in self._plain:
                line = json.loads(raw)
                self._counts[line["t"]] += 1
                yield line
            self._prove(dict(self._counts) == self.manifest["counts"])

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes of a ``file``. Raises Damaged, at the end as well."""
        with _named(self.at):
            size = 0
            while piece := self._plain.read(_PIECE):
                if not size and not piece.startswith(_SQLITE):
                    raise Damaged("It holds no database.")
                size += len(piece)
                yield piece
            self._prove(size == self.manifest["bytes"])

    def _prove(self, is_whole: bool) -> None:
        if not is_whole:
            raise Damaged("It does not hold what its manifest says.")
        if self._file.digest.hexdigest() != self.at.digest:
            raise Damaged("It is not what its name says.")


@contextmanager
def opened(at: Place, key: bytes) -> Iterator[Opened]:
    """Open a container of the storage. Raises Damaged naming it, and Unavailable."""
    with store.opened(at) as file:
        yield read(file, key, at)


@dataclass(slots=True)
class Database:
    """A copy of a database's file in a container, to be read at any page."""

    at: Place
    manifest: dict[str, Any]
    _frames: container.Frames
    _start: int

    @property
    def size(self) -> int:
        """Return the bytes of the file."""
        return int(self.manifest["bytes"])

    def page(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes from byte ``at``. Raises Damaged where they do not open."""
        with _named(self.at):
            return self._frames.read(self._start + at, size)


@contextmanager
def database(at: Place, key: bytes) -> Iterator[Database]:
    """Open a container with a file in it, of which little is wanted.

    Each frame that is read is proved; that the others are whole is not. Raises Damaged naming the
    container, and Unavailable.
    """
    with store.opened(at) as file:
        with _named(at):
            _check(container.header_of(file), at)
            file.seek(0)
            frames = container.Frames(file, key)
            line, _end, _rest = frames.read(0, container.FRAME).partition(b"\n")
            found = Database(at, dict(json.loads(line)), frames, len(line) + 1)
            if found.size != frames.size - found._start:
                raise Damaged("It does not hold what its manifest says.")
        yield found


def read(file: IO[bytes], key: bytes, at: Place) -> Opened:
    """Begin to read a container that stands, or is going to stand, at ``at``. Raises Damaged."""
    with _named(at):
        hashed = _Hashed(file)
        _check(hashed.header, at)
        plain = container.reader(_as_binary(hashed), key)
        manifest = json.loads(plain.readline())
        return Opened(at, hashed.header, dict(manifest), plain, hashed)


def prove(file: IO[bytes], key: bytes, at: Place) -> Opened:
    """Read a container to its end. Raises Damaged naming it."""
    found = read(file, key, at)
    for _ in found.pieces() if found.layout == "file" else found.lines():
        pass
    return found


def header(at: Place) -> dict[str, Any]:
    """Return the header of a container of the storage, its place checked, its truth not.

    Raises Damaged naming it, and Unavailable.
    """
    with store.opened(at) as file, _named(at):
        found = container.header_of(file)
        _check(found, at)
        return found


def _check(header: dict[str, Any], at: Place) -> None:
    if header.get("format") != FORMAT or header.get("layout") not in LAYOUTS:
        raise Damaged("It is of a format that is unknown here.")
    if (header.get("chain"), header.get("number")) != (str(at.chain), at.number):
        raise Damaged("It belongs to another place.")
    given = (header["at"], header["created"], header["since"], header["began"])
    times = [one for one in given if one is not None]
    if not all(datetime.fromisoformat(one).tzinfo for one in times):
        raise Damaged("A time in its header has no zone.")
    if not isinstance(header["epoch"], int) or not isinstance(header["site"], str):
        raise Damaged("Its header says of no site what it is.")


@contextmanager
def _named(at: Place) -> Iterator[None]:
    try:
        yield
    except Damaged as error:
        raise Damaged(f"{at}: {error}") from None
    except _WRONG as error:
        raise Damaged(f"{at}: It cannot be read: {error!r}.") from error


def _as_binary(file: Any) -> BinaryIO:
    return file  # type: ignore[no-any-return]
