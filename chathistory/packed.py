"""Bodies of messages as bytes, before they are sealed. It needs nothing but zlib.

A body is the length of its text (4 bytes), the text, then JSON of whatever else there is; where
that says the text again there is null, and the path to it is one of ``repeats``.
"""

from __future__ import annotations

import zlib

PLAIN, DEFLATE, ZSTD = 0, 1, 2
_WORTH_PACKING = 128  # shorter texts do not shrink


def pack(text: bytes) -> tuple[int, bytes]:
    """Return ``(codec, bytes)``: deflated (RFC 1951) when that is smaller, else as it is."""
    if len(text) < _WORTH_PACKING:
        return PLAIN, text
    packed = zlib.compress(text, 6)
    return (DEFLATE, packed) if len(packed) < len(text) else (PLAIN, text)


def content_of(body: bytes) -> str:
    """Return only the text of a body."""
    return body[4 : 4 + int.from_bytes(body[:4], "big")].decode()
