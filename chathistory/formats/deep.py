"""JSON too deep for the standard library's scanner, which recurses: LibreChat's chats as trees.

There each answer stands within its question, two levels a message, so that a long chat is as deep
as it is long. Only along that line more than a few levels are allowed; everything beside it is
held to what later code, which recurses too, can walk.
"""

from __future__ import annotations

import re
from typing import Any

from chathistory.strictjson import DECODER, unique

SPINE = 20_000  # levels: a chat of as many messages as a session has live
MOST = 8 << 20  # characters: this is Python, not C
_LISTS = ("messagesTree", "messages")
_CHILDREN = "children"
_TOKEN = re.compile(r'[ \t\n\r]*+(?:([\[{\]},:])|("(?:[^"\\]++|\\.)*+")|([-+.\w]++))', re.DOTALL)


class Torn(ValueError):
    """The text ends in the middle of the value."""


_scalar = DECODER.decode


def decode(text: str, pos: int, limit: int) -> tuple[Any, int]:
    """Return the value that begins at ``pos`` and where it ends, as `raw_decode` does.

    Raises Torn, and ValueError for what is no JSON or deeper than ``limit`` and no chain of
    messages.
    """
    stack: list[_Open] = []
    while found := _TOKEN.match(text, pos):
        pos = found.end()
        mark = found[1]
        if mark in ("[", "{"):
            stack.append(_Open(mark, stack[-1] if stack else None, limit))
            continue
        if mark in ("]", "}"):
            value = _closed(stack, mark)
        elif mark:
            _open(stack).turn(mark)
            continue
        else:
            value = _plain(found[2] or found[3], torn=pos == len(text))
        if not stack:
            return value, pos
        stack[-1].take(value)
    if text[pos:].strip(" \t\n\r")[:1] in ("", '"') or len(text) - pos < 16:
        raise Torn("is cut off")
    raise ValueError("is not JSON")


def _plain(token: str, *, torn: bool) -> Any:
    try:
        return _scalar(token)
    except ValueError:
        if torn:
            raise Torn("is cut off") from None
        raise


def is_spine(value: Any, limit: int) -> bool:
    """Tell whether ``value`` is within ``limit`` levels but for messages within messages."""
    if type(value) is not dict:
        return False
    level: list[Any] = [item for key, item in value.items() if key not in _LISTS]
    lists = [value[key] for key in _LISTS if type(value.get(key)) is list]
    level += [value[key] for key in _LISTS if key in value and type(value[key]) is not list]
    while lists:
        for message in lists.pop():
            if type(message) is not dict:
                level.append(message)
                continue
            inside = message.get(_CHILDREN)
            if type(inside) is list:
                lists.append(inside)
            level += [v for k, v in message.items() if k != _CHILDREN or v is not inside]
    return not is_deeper(level, limit - 3)


def is_deeper(level: list[Any], limit: int) -> bool:
    """Tell whether any of the values is more than ``limit`` levels deep."""
    level = [value for value in level if type(value) is dict or type(value) is list]
    for _ in range(limit):
        if not level:
            return False
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
    return bool(level)


class _Open:
    """A list or an object that is being read."""

    __slots__ = ("after", "depth", "is_spine", "items", "key", "mark", "spine")

    def __init__(self, mark: str, outer: _Open | None, limit: int) -> None:
        self.mark = mark
        self.items: Any = [] if mark == "[" else {}
        self.key: str | None = None
        self.after = "["  # the mark before: an opening one, a comma, a colon, or v for a value
        self.spine: int = 1 if outer is None else outer.spine + 1
        follows = outer is None or (outer.is_spine and _continues(mark, outer))
        self.is_spine: bool = follows
        self.depth: int = 0 if outer is None or follows else outer.depth + 1
        if self.depth > limit or self.spine > SPINE:
            raise ValueError(f"is nested more than {limit} levels deep")

    def take(self, value: Any) -> None:
        """Put in a value; of an object, also the names."""
        if self.mark == "[" and self.after in "[,":
            self.items.append(value)
        elif self.mark == "{" and self.after == ":":
            if self.key in self.items:
                unique([(str(self.key), value)] * 2)
            self.items[self.key] = value
        elif self.mark == "{" and self.after in "[," and isinstance(value, str):
            self.key, self.after = value, "k"
            return
        else:
            raise ValueError("is not JSON")
        self.after = "v"

    def turn(self, mark: str) -> None:
        """Go on behind a comma or a colon."""
        if (mark, self.after) not in ((",", "v"), (":", "k")):
            raise ValueError("is not JSON")
        self.after = mark


def _continues(mark: str, outer: _Open) -> bool:
    """Whether what opens in ``outer`` is the next link of a chain of messages."""
    if outer.mark == "[":
        return mark == "{"
    return mark == "[" and (outer.key == _CHILDREN or (outer.spine == 1 and outer.key in _LISTS))


def _open(stack: list[_Open]) -> _Open:
    if not stack:
        raise ValueError("is not JSON")
    return stack[-1]


def _closed(stack: list[_Open], mark: str) -> Any:
    done = _open(stack)
    if (done.mark, mark) not in (("[", "]"), ("{", "}")) or done.after not in ("v", "["):
        raise ValueError("is not JSON")
    stack.pop()
    return done.items
