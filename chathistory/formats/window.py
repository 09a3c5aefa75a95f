"""A sliding window of text over a binary file of UTF-8: the memory bound of every JSON reader.

Byte positions are computed only when something is wrong, so reading well-formed input pays
nothing for them. Bytes that are not UTF-8 become lone surrogates (PEP 383) and `damaged` is
set: the item they stand in is refused, its neighbours come in.
"""

from __future__ import annotations

import codecs
import re
from typing import Protocol

from chathistory.formats.base import FormatError

CHUNK = 1 << 17  # bytes read at a time
_SPACE = re.compile(r"[ \t\n\r]*")
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_new_decoder = codecs.getincrementaldecoder("utf-8")


class Readable(Protocol):
    """A binary file as far as it is needed: `read` may give less, b"" only at the end."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes."""


class Window:
    """`text[pos:]` is what has been read and not yet consumed; `pos` only moves forward."""

    def __init__(self, file: Readable) -> None:
        """Read the first bytes of `file`; a UTF-8 BOM is dropped, UTF-16 is a FormatError."""
        self.text = ""
        self.pos = 0
        self.ended = False
        self.damaged = False
        self._file = file
        self._decoder = _new_decoder("strict")
        self._decoded = 0
        self._begin()

    def _begin(self) -> None:
        start = self._read(CHUNK)
        if start.startswith(_WIDE) or b"\0" in start[:4]:
            raise FormatError("The file is not UTF-8 but UTF-16 or UTF-32: save it as UTF-8.")
        mark = len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0
        self._decoded = mark
        self.ended = not start
        self.text = self._decode(start[mark:])

    def _read(self, size: int) -> bytes:
        """Exactly `size` bytes, less only at the end: short reads would make growth slow."""
        data = self._file.read(size)
        parts = [data]
        while data and (size := size - len(data)) > 0:
            data = self._file.read(size)
            parts.append(data)
        return b"".join(parts) if len(parts) > 1 else data

    def _decode(self, data: bytes) -> str:
        self._decoded += len(data)
        try:
            return self._decoder.decode(data, self.ended)
        except UnicodeDecodeError:
            state = self._decoder.getstate()
            self._decoder = _new_decoder("surrogateescape")
            self._decoder.setstate(state)
            self.damaged = True
            return self._decoder.decode(data, self.ended)

    def more(self) -> bool:
        """Drop what is consumed and read as much again as is pending; False at the end."""
        if self.ended:
            return False
        pending = self.text[self.pos :]
        data = self._read(max(CHUNK, len(pending)))
        self.ended = not data
        fresh = self._decode(data)
        self.text, self.pos = pending + fresh, 0
        return bool(data or fresh)

    def peek(self) -> str:
        """Step over white space; the next character, or "" at the end of the file."""
        while True:
            space = _SPACE.match(self.text, self.pos)
            self.pos = space.end() if space else self.pos
            if self.pos < len(self.text):
                return self.text[self.pos]
            if not self.more():
                return ""

    def find(self, pattern: re.Pattern[str], reach: int = 512) -> bool:
        """Move to the next match (at most `reach` characters long); False if there is none."""
        while not (match := pattern.search(self.text, self.pos)):
            self.pos = max(self.pos, len(self.text) - reach)
            if not self.more():
                self.pos = len(self.text)
                return False
        self.pos = match.start()
        return True

    def byte(self, pos: int | None = None) -> int:
        """The byte of the file at which `text[pos]` (by default the present place) begins."""
        ahead = self.text[self.pos if pos is None else pos :]
        waiting = len(self._decoder.getstate()[0])
        return self._decoded - waiting - len(ahead.encode("utf-8", "surrogateescape"))
