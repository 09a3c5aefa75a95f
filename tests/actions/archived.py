"""What the tests of archives share."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any


def plain(pieces: Any) -> bytes:
    return b"".join(pieces)


def unzipped(packed: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {name: json.loads(archive.read(name)) for name in archive.namelist()}
