"""The backup storage: a folder under HOME, or whatever the host calls ``chathistory_backups``.

A container is at ``<chain>/<number>-<sha256>.chat`` and never changes. It is written as a draft
that no list shows, and gets its name when its maker has read it back: in a folder by a rename,
elsewhere by an upload that is read back as well. Names are only ever made here, so no text from
outside becomes a path.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple
from uuid import UUID

from django.conf import settings as host
from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, storages

from chathistory.conf import settings
from chathistory.exceptions import Damaged, Unavailable

ALIAS = "chathistory_backups"
_NAME = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([0-9]{8})-([0-9a-f]{64})\.chat")
_DRAFTS = ".drafts"
_PIECE = 4 << 20


class Place(NamedTuple):
    """Where a container is: its chain, its number in it, and the hash that is its name."""

    chain: UUID
    number: int
    digest: str

    def __str__(self) -> str:
        return f"{self.chain}/{self.number:08d}-{self.digest}.chat"


def place(name: str) -> Place | None:
    """Return the place that a name says, or None where it is no container's."""
    match = _NAME.fullmatch(name)
    return Place(UUID(match[1]), int(match[2]), match[3]) if match else None


def places(chain: UUID | None = None) -> list[Place]:
    """Return what the storage holds, of one chain or of all, by chain and number.

    Raises Unavailable.
    """
    with told("read"):
        chains = [str(chain)] if chain else sorted(_listed("")[0])
        names = [f"{one}/{name}" for one in chains for name in _listed(one)[1]]
    return sorted(found for name in names if (found := place(name)))


def exists(at: Place) -> bool:
    """Tell whether a container is there. Raises Unavailable."""
    with told("read"):
        return storage().exists(str(at))


@contextlib.contextmanager
def opened(at: Place) -> Iterator[BinaryIO]:
    """Open a container. Raises Damaged where there is none, and Unavailable, now or in reading."""
    with told("read"):
        try:
            file = storage().open(str(at))
        except FileNotFoundError:
            raise Damaged(f"{at} is missing from the backup storage.") from None
    with contextlib.closing(file):
        # One in S3 would be fetched whole, into memory, for its first bytes.
        raw = _Ranged(file.obj) if hasattr(file, "obj") else _Telling(file)
        yield io.BufferedReader(raw, _PIECE)


def remove(at: Place) -> None:
    """Remove a container, if it is there; an emptied chain's folder goes too."""
    with told("changed"), contextlib.suppress(FileNotFoundError):
        storage().delete(str(at))
    root = _folder()
    if root is not None:
        with contextlib.suppress(OSError):  # others of the chain are left
            (root / str(at.chain)).rmdir()


@contextlib.contextmanager
def draft(kind: str) -> Iterator[IO[bytes]]:
    """Yield an empty file that nobody lists; it is removed at the end unless it was published.

    ``kind`` names whose it is: ``tidy`` removes by it. Raises Unavailable.
    """
    with told("written"):
        path = _drafts() / f"{kind}-{secrets.token_hex(8)}"
        try:
            with open(path, "x+b", opener=_private) as file:
                yield file
        finally:
            path.unlink(missing_ok=True)


def publish(file: IO[bytes], at: Place) -> None:
    """Give a draft that was read back its name. Raises Unavailable; then it has none."""
    with told("written"):
        file.flush()
        os.fsync(file.fileno())
        root = _folder()
        if root is None:
            _upload(file, at)
        else:
            _rename(Path(file.name), root, at)


def tidy(kind: str) -> None:
    """Remove the drafts that processes of one kind left when they died; no other may be alive."""
    with told("written"):
        for left in _drafts().glob(f"{kind}-*"):
            left.unlink(missing_ok=True)


def storage() -> Storage:
    """Return the storage."""
    if ALIAS in host.STORAGES:
        return storages[ALIAS]
    return FileSystemStorage(Path(settings.HOME) / "backups")


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """Say in one sentence that the storage cannot be read, written or changed, and why."""
    try:
        yield
    except _failures() as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Unavailable(f"The backup storage cannot be {what}: {why}.") from error


class _Telling(io.RawIOBase):
    """A file of the storage whose errors are told in our words, whoever reads it."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        with told("read"):
            piece = self._file.read(len(target))
        target[: len(piece)] = piece
        return len(piece)

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with told("read"):
            self._file.seek(offset, whence)
            return self.tell()

    def tell(self) -> int:
        return int(self._file.tell())


class _Ranged(io.RawIOBase):
    """An object of S3, of which only what is asked for is fetched."""

    def __init__(self, found: Any) -> None:
        self._object = found
        with told("read"):
            self._size = int(found.content_length)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, target: Any) -> int:
        end = min(self._at + len(target), self._size)
        if self._at >= end:
            return 0
        with told("read"):
            body = self._object.get(Range=f"bytes={self._at}-{end - 1}")["Body"]
            piece = body.read()
        target[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def _failures() -> tuple[type[Exception], ...]:
    """Return what storages raise; those of S3 only where its library is in use."""
    if "botocore" not in sys.modules:
        return (OSError,)
    from boto3.exceptions import Boto3Error  # an optional package
    from botocore.exceptions import BotoCoreError, ClientError

    return OSError, BotoCoreError, ClientError, Boto3Error


def _listed(folder: str) -> tuple[list[str], list[str]]:
    try:
        return storage().listdir(folder)
    except FileNotFoundError:
        return [], []


def _folder() -> Path | None:
    """Return the storage's folder, where it is one."""
    found = storage()
    return Path(found.location) if isinstance(found, FileSystemStorage) else None


def _drafts() -> Path:
    # Beside the containers, so that a rename is all it takes; else where all our drafts are.
    root = _folder() or Path(settings.HOME) / "tmp"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    (root / _DRAFTS).mkdir(mode=0o700, exist_ok=True)
    return root / _DRAFTS


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _rename(draft: Path, root: Path, at: Place) -> None:
    folder = root / str(at.chain)
    folder.mkdir(mode=0o700, exist_ok=True)
    draft.rename(root / str(at))
    sync(folder)
    sync(root)


def sync(folder: Path) -> None:
    """Wait until the disk has a folder's names."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _upload(file: IO[bytes], at: Place) -> None:
    file.seek(0)
    storage().save(str(at), File(file, name=str(at)))
    digest = hashlib.sha256()
    with opened(at) as kept:
        while piece := kept.read(_PIECE):
            digest.update(piece)
    if digest.hexdigest() != at.digest:
        raise Damaged(f"{at} came back from the backup storage as something else.")
