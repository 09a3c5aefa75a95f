"""Many files as one zip (APPNOTE 6.3), streamed, and the names that files of chats get.

Of somebody's words only letters and digits come into a name: it leads nowhere, hides nothing, and
is a file's name on every system.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from . import shown

_FIRST, _LAST = (1980, 1, 1, 0, 0, 0), 2107  # what a zip's times can say
_WORDS = 60  # characters of a title in a name
_USER = "@.+-_"


class File(NamedTuple):
    """One file of a zip, and when it was changed last, in ISO 8601."""

    path: str
    changed: str | None
    pieces: Iterator[bytes]


def zipped(files: Iterable[File]) -> Iterator[bytes]:
    """Yield a zip of these files piece by piece; each is asked for when the one before is in."""
    out = _Out()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        for file in files:
            entry = zipfile.ZipInfo(file.path, _time_of(file.changed))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            with archive.open(entry, "w", force_zip64=True) as member:
                for piece in file.pieces:
                    member.write(piece)
                    yield from out.taken()
    yield from out.taken()


class _Out:
    """A file that can only be written to; what was written is taken away in between."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def taken(self) -> Iterator[bytes]:
        pieces, self._pieces = self._pieces, []
        return iter(pieces)


def _time_of(stamp: str | None) -> tuple[int, int, int, int, int, int]:
    if not stamp:
        return _FIRST
    moment = datetime.fromisoformat(stamp)
    return max(moment.timetuple()[:6], _FIRST) if moment.year <= _LAST else _FIRST


def name_of(session: shown.Session) -> str:
    """Return the name of a session's file, without suffix: its day, its title, its id's end."""
    day = (session.get("created_at") or "")[:10]
    end = str(session["session_id"])[-8:]
    return "-".join(filter(None, [_safe(day, "-"), _safe(shown.title(session)), _safe(end)]))


def in_tree(user: str, session: shown.Session, suffix: str) -> str:
    """Return `users/<user>/<workflow>/<id>.<suffix>`."""
    uuid = UUID(str(session["session_id"]))
    workflow = _safe(str(session.get("workflow_type") or ""), _USER) or "other"
    return f"users/{_safe(user, _USER) or 'other'}/{workflow}/{uuid}.{suffix}"


def _safe(text: str, allowed: str = "") -> str:
    """Return what of a text may stand in a name, with a hyphen for the rest."""
    kept = "".join(one if one.isalnum() or one in allowed else " " for one in text)
    return "-".join(kept[: 4 * _WORDS].split())[:_WORDS].strip("-.")
