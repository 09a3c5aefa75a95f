"""Frames over a pipe to a process of ours: a length, then so many bytes."""

from __future__ import annotations

import sys
from typing import IO

_LENGTH = 8  # bytes


def send(pipe: IO[bytes], frame: bytes) -> None:
    """Write one frame. Raises OSError where the other side is gone."""
    pipe.write(len(frame).to_bytes(_LENGTH, "big"))
    pipe.write(frame)
    pipe.flush()


def receive(pipe: IO[bytes], longest: int = sys.maxsize) -> bytes | None:
    """Read one frame; None where the other side is gone, or sends what is longer."""
    length = int.from_bytes(head := pipe.read(_LENGTH), "big")
    if len(head) < _LENGTH or length > longest:
        return None
    frame = pipe.read(length)
    return frame if len(frame) == length else None
