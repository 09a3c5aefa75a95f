"""Reading formats of which one item of the file is one chat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from chathistory.formats.base import Malformed, Problem, Transcript
from chathistory.formats.jsonstream import Item

_IDS = ("conversation_id", "session_id", "conversationId", "id", "uuid")
_TITLES = ("title", "name")

Read = Callable[[Any, str], Transcript]


def each(read: Read, items: Iterable[Item | Problem], name: str) -> Iterator[Transcript | Problem]:
    """Yield what ``read`` makes of each item, or why it stays out; ``name`` begins their paths."""
    for item in items:
        yield item if isinstance(item, Problem) else _one(read, item, name)


def _one(read: Read, item: Item, name: str) -> Transcript | Problem:
    try:
        return read(item.value, f"{name}[{item.index}]")
    except Malformed as error:
        value = item.value if isinstance(item.value, dict) else {}
        return Problem(error.path, _first(value, _IDS), _first(value, _TITLES), error.reason)


def _first(value: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    given = (value.get(key) for key in keys)
    return next((text for text in given if isinstance(text, str)), None)
