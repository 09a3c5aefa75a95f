"""What can be done to a message before it is written, and needs neither rows nor Django.

A large import does it in a process of its own, so that the writer never waits for it.
"""

from __future__ import annotations

import gc
import marshal
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import IO

from chathistory import frames
from chathistory.packed import content_of, pack

from .tokens import Keyed

_AT_ONCE = 250  # bodies of one frame, so that no process holds many of them twice

#: A body, and whether its text is to be found.
Body = tuple[bytes, bool]
#: Codec and packed body, then the tokens by spaces.
Prepared = tuple[int, bytes, str]


def prepare(keyed: Keyed, bodies: Sequence[Body]) -> list[Prepared]:
    """Return each body packed, and the tokens of its text under an owner's search key."""
    return [
        (*pack(body), keyed.of_text(content_of(body)) if is_found else "")
        for body, is_found in bodies
    ]


def ask(pipe: IO[bytes], bodies: Iterable[Body]) -> None:
    """Hand bodies to a process that serves, in frames; an empty one is the last. OSError."""
    found = iter(bodies)
    while some := list(islice(found, _AT_ONCE)):
        frames.send(pipe, marshal.dumps(some))
    frames.send(pipe, b"")


def answers(pipe: IO[bytes]) -> Iterator[Prepared]:
    """Yield what was made of all that was asked. Raises EOFError where the process is gone."""
    while frame := frames.receive(pipe):
        yield from marshal.loads(frame)  # noqa: S302  (from our own process)
    if frame is None:
        raise EOFError


def serve() -> None:
    """Prepare what comes in, under the key that comes first, until nothing more comes."""
    gc.disable()  # nothing here is circular
    asked, out = sys.stdin.buffer, sys.stdout.buffer
    keyed = Keyed(frames.receive(asked) or b"")
    # All is read, then made, then sent: whoever asks does not listen before, nor wait to be read.
    while (waiting := _all(asked)) is not None:
        made = [_made(keyed, waiting.popleft()) for _ in range(len(waiting))]
        for frame in [*made, b""]:
            frames.send(out, frame)


def _all(pipe: IO[bytes]) -> deque[bytes] | None:
    found: deque[bytes] = deque()
    while frame := frames.receive(pipe):
        found.append(frame)
    return None if frame is None else found


def _made(keyed: Keyed, frame: bytes) -> bytes:
    return marshal.dumps(prepare(keyed, marshal.loads(frame)))  # noqa: S302  (our own process)
