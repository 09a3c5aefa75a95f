"""The way to typst: a child process with limits of time and memory, and nothing to write to.

typst and the fonts come with the extra `pdf`; other fonts by CHATHISTORY_PDF_FONT_PATHS.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import BoundedSemaphore, Timer
from types import TracebackType
from typing import Any

from chathistory import spool
from chathistory.conf import settings
from chathistory.exceptions import Invalid, LimitExceeded, Unavailable

from .typst_child import LENGTH

Write = Callable[[Iterable[dict[str, Any]]], Iterator[bytes]]
#: Bytes of a document's source; 8 MB are some 2,000 pages, and take 2.5 GB of memory.
MAX_SOURCE = 8_000_000
_SECONDS = 120  # of a document
_MEMORY = 3 << 30  # bytes
_REFUSED = "The PDF cannot be made: typst refused the document."
_DIED = "The PDF needed more time or memory than it may have."
_places = BoundedSemaphore(2)  # of documents that are set at once
_CHILD = Path(__file__).with_name("typst_child.py")
_PACKAGES = ("manimgx_fonts", "manimgx_fonts_cjk", "fontpkg_amiri")


def require() -> None:
    """Raise Invalid, which names the extra, where typst or every font is missing."""
    if find_spec("typst") is None or not _fonts():
        raise Invalid(
            "PDF needs what `pip install django-chathistory[pdf]` brings.", field="format"
        )


def _fonts() -> list[str]:
    if settings.PDF_FONT_PATHS:
        return [str(path) for path in settings.PDF_FONT_PATHS]
    specs = [find_spec(name) for name in _PACKAGES]
    return [str(Path(spec.origin).parent) for spec in specs if spec and spec.origin]


class Typesetter:
    """Sets one document after the other; use as a context. The child starts with the first."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Typesetter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        if self._folder is not None:
            self._folder.cleanup()

    def set(self, source: bytes) -> bytes:
        """Return the PDF of a source.

        Raises LimitExceeded where that is too long, and Unavailable where typst refuses it or the
        child died of it.
        """
        if len(source) > MAX_SOURCE:
            raise LimitExceeded("Bytes of a PDF's text", MAX_SOURCE, len(source), field="format")
        if not _places.acquire(timeout=_SECONDS):
            raise Unavailable("Too many PDFs are being made just now.")
        try:
            length, answer = self._limited(source)
        finally:
            _places.release()
        if length <= 0:
            self._end()
            raise Unavailable(_REFUSED if length else _DIED)
        return answer

    def _limited(self, source: bytes) -> tuple[int, bytes]:
        """Return what ``_asked`` does, within the time there is."""
        child = self._child or self._start()
        timer = Timer(_SECONDS, child.kill)
        timer.start()
        try:
            return _asked(child, source)
        except OSError:
            return 0, b""
        finally:
            timer.cancel()

    def _start(self) -> subprocess.Popen[bytes]:
        require()
        spec = find_spec("typst")
        assert spec is not None  # noqa: S101  (require has seen it)
        assert spec.origin is not None  # noqa: S101
        self._folder = self._folder or tempfile.TemporaryDirectory(dir=spool.folder())
        given = {
            "path": str(Path(spec.origin).parent.parent),
            "folder": self._folder.name,
            "fonts": _fonts(),
            "memory": _MEMORY,
            "seconds": _SECONDS,
        }
        self._child = subprocess.Popen(
            [sys.executable, "-I", str(_CHILD), json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Each further thread would take addresses, which are limited.
            env={"LC_ALL": "C.UTF-8", "RAYON_NUM_THREADS": "2", "MALLOC_ARENA_MAX": "2"},
            close_fds=True,
        )
        return self._child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        child.wait()


def _asked(child: subprocess.Popen[bytes], source: bytes) -> tuple[int, bytes]:
    """Return the answer's length, 0 where the child is gone, -1 if it refuses, and the answer."""
    assert child.stdin is not None  # noqa: S101  (both are pipes)
    assert child.stdout is not None  # noqa: S101
    child.stdin.write(LENGTH.pack(len(source)) + source)
    child.stdin.flush()
    header = child.stdout.read(LENGTH.size)
    if len(header) < LENGTH.size:
        return 0, b""
    (length,) = LENGTH.unpack(header)
    answer = child.stdout.read(max(length, 0))
    return (length, answer) if len(answer) == max(length, 0) else (0, b"")
