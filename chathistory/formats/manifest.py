"""Which files an archive should hold by its own account, and does not.

ChatGPT's archives of 2026 have their chats in many files, and an `export_manifest.json` beside
them. Its shape is not documented, so whatever in it reads like the name of such a file is one.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Collection
from typing import BinaryIO

_NAME = "export_manifest.json"
_CHATS = re.compile(rb'"(?:[^"\\/]*/)*(conversations(?:-\d{1,6})?\.json)"')
_MOST = 1 << 20  # bytes of a manifest


def absent(file: BinaryIO) -> list[str]:
    """Return the names of the files of chats that the manifest has and the archive has not.

    ``file`` was read as an archive before; none where it has no manifest, or an unreadable one.
    """
    file.seek(0)
    if file.read(4) != b"PK\x03\x04":
        return []
    try:
        with zipfile.ZipFile(file) as archive:
            inside = {name.rsplit("/", 1)[-1]: name for name in archive.namelist()}
            if _NAME not in inside:
                return []
            with archive.open(inside[_NAME]) as manifest:
                named = _CHATS.findall(manifest.read(_MOST))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, OSError, EOFError):
        return []
    return _missing({name.decode() for name in named}, inside.keys())


def _missing(named: set[str], held: Collection[str]) -> list[str]:
    """Of a list that is in many files the whole need not be there."""
    wanted = {name for name in named if "-" in name} or named
    return sorted(wanted.difference(held))
