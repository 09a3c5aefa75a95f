"""The process that reads a database: it may use so much time and memory, and nothing else.

Once the file is open it can open nothing more, neither files nor connections. What it finds goes
out in frames of JSON, a chat each, and an end: without that it did not come to one.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chathistory import frames
from chathistory.stores import agents, langchain, llamaindex, llm, llm_legacy
from chathistory.stores.database import Database
from chathistory.stores.grouping import Chat
from chathistory.stores.shape import Refused, Wrong

MEMORY = 1536 << 20  # bytes
SECONDS = 600  # of this process's own time
MAX_FRAME = 128 << 20  # bytes
_READERS: dict[str, Callable[[Database], Iterator[Chat]]] = {
    "llm": llm.chats,
    "llm before 0.32": llm_legacy.chats,
    "openai-agents": agents.chats,
    "llama-index": llamaindex.chats,
    "langchain": langchain.chats,
}
_ORIGINS = {"llm before 0.32": "llm"}


def serve(path: str, seconds: str = str(SECONDS)) -> None:
    """Read the database at ``path`` and tell what is in it."""
    limit(int(seconds))
    try:
        database = Database(Path(path), float(seconds))
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        count = sum(1 for frame in _found(database) if _tell(frame))
        _tell({"end": count})
    except (Refused, OSError) as error:
        _tell({"refused": str(error)})
    except MemoryError:
        _tell({"refused": "The database takes more memory than may be used."})


def limit(seconds: int) -> None:
    """Bound what this process may use, for good."""
    for what, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, seconds + 5),  # a little later than it stops by itself
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _found(database: Database) -> Iterator[dict[str, Any]]:
    """Yield a frame for each chat. Raises Refused where there is none."""
    is_empty = True
    for name, read in _READERS.items():
        for chat in read(database):
            is_empty = False
            yield _frame(_ORIGINS.get(name, name), chat)
    if is_empty:
        known = ", ".join(_READERS)
        raise Refused(f"The database holds no chats of a known kind. Known are: {known}.")


def _frame(origin: str, chat: Chat) -> dict[str, Any]:
    try:
        return {"origin": origin, "where": chat.where, "chat": chat.make()}
    except Wrong as error:
        return {"where": error.path, "id": chat.id, "problem": error.reason}


def _tell(frame: dict[str, Any]) -> bool:
    try:
        sent = json.dumps(frame, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):  # bytes, or an infinite number, in a cell
        sent = _instead(frame, "holds what is neither text nor a number")
    if len(sent) > MAX_FRAME:
        sent = _instead(frame, f"is larger than {MAX_FRAME >> 20} MiB")
    frames.send(sys.stdout.buffer, sent)
    return True


def _instead(frame: dict[str, Any], reason: str) -> bytes:
    return json.dumps({"where": frame.get("where"), "id": None, "problem": reason}).encode()
