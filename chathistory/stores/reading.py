"""Database files of other programs: read in a child that may do nothing else, told as chats.

What the child says is taken for no more than what a file of our own JSON says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from chathistory import beside, frames
from chathistory.formats import loose, native
from chathistory.formats.base import FormatError, Malformed, Problem, Transcript

_MAGIC = b"SQLite format 3\0"
_ORIGINS = frozenset({"llm", "openai-agents", "llama-index", "langchain"})
#: Whose chats have whatever names a program gave them, in other databases and tables too.
_AMBIGUOUS = _ORIGINS - {"llm"}
_MAX_FRAME = 256 << 20  # bytes
_MAX_REASON = 2_000  # characters


def is_database(path: Path) -> bool:
    """Tell whether a file is an SQLite database, by what it begins with. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read(path: Path, *, seconds: int = 600) -> Iterator[Transcript | Problem]:
    """Yield the chats of a database, and what is wrong with it.

    The child may take so many seconds of its own. FormatError, at the first step or later, means
    that the whole file, or the rest of it, is refused. Raises OSError.
    """
    child = beside.start("chathistory.stores.child", str(path.resolve()), str(seconds))
    try:
        assert child.stdout is not None  # noqa: S101  (it was asked for)
        yield from _told(child.stdout)
    finally:
        beside.stop(child)


def _told(pipe: IO[bytes]) -> Iterator[Transcript | Problem]:
    while True:
        frame = _frame(pipe)
        if "end" in frame:
            return
        if "refused" in frame:
            raise FormatError(str(frame["refused"])[:_MAX_REASON])
        yield _result(frame)


def _frame(pipe: IO[bytes]) -> dict[str, Any]:
    sent = frames.receive(pipe, _MAX_FRAME)
    try:
        frame = None if sent is None else json.loads(sent)
    except (ValueError, RecursionError):
        frame = None
    if not isinstance(frame, dict):
        raise FormatError(
            "Reading the database came to no end: it is damaged, or takes more time or memory than"
            " it may."
        )
    return frame


def _result(frame: dict[str, Any]) -> Transcript | Problem:
    where, chat = str(frame.get("where")), frame.get("chat")
    if "problem" in frame:
        name = frame.get("id")
        reason = str(frame["problem"])[:_MAX_REASON]
        return Problem(where, name if isinstance(name, str) else None, None, reason)
    try:
        found = native.dict_to_transcript(chat, where)
    except Malformed as error:
        return Problem(error.path, None, None, error.reason)
    origin = frame.get("origin")
    if origin not in _ORIGINS:
        raise FormatError("The database is of no known kind.")
    found.origin = str(origin)
    if found.origin in _AMBIGUOUS:
        found.apart = loose.beginning(found.turns, where)
    return found
