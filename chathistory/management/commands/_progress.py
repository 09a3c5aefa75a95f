"""A bar of progress for who watches; nothing where the output goes into a file or a pipe."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from typing import TextIO

_WIDTH = 30
_PACE = 0.1  # seconds between two looks of it


class Bar:
    """Shows how far the work is; to be called, and closed at the end."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shows = self._stream.isatty()
        self._next = 0.0

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_problem: object) -> None:
        if self._next:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def __call__(self, done: int, total: int | None = None) -> None:
        """Show that so much is done, of so much if that is known."""
        if self._shows and time.monotonic() >= self._next:
            self._next = time.monotonic() + _PACE
            self._stream.write(f"\r\x1b[K{_drawn(done, total)}")
            self._stream.flush()


class Reading(io.BufferedReader):
    """A file that tells a bar how much of it is read."""

    def __init__(self, path: Path, bar: Bar) -> None:
        super().__init__(io.FileIO(path))
        self._bar, self._size = bar, path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most so many bytes."""
        found = super().read(size)
        self._bar(self.tell(), self._size)
        return found


def _drawn(done: int, total: int | None) -> str:
    if not total:
        return f"{done:,}"
    full = min(_WIDTH, _WIDTH * done // total)
    return f"[{'#' * full}{'.' * (_WIDTH - full)}] {min(100, 100 * done // total):3d} %"
