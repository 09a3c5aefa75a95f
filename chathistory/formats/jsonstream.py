"""The items of a JSON file, one by one, in bounded memory, whatever state the file is in.

Read are a list, an object with one long list in it (`{"format": …, "sessions": […]}`), one
bare object, and JSON Lines. What cannot be read is named by a Problem and its neighbours come
in: after an error of syntax, from the next place that begins and reads like the items before.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from chathistory.formats.base import FormatError, Problem
from chathistory.formats.jsonvalue import MAX_DEPTH, MAX_ITEM, Bad, Values
from chathistory.formats.resync import Resync
from chathistory.formats.window import Readable, Window

MAX_PROBLEMS = 10_000  # of one file; a report any longer helps nobody
_NEXT_LINE = re.compile(r"\n\{")
_IDS = ("conversation_id", "session_id", "conversationId", "id", "uuid")


@dataclass(slots=True)
class Item:
    """One value of the file and its place in the list, counted from 0.

    `is_deep`: it is a chain of messages within messages, of more levels than most code can walk.
    """

    index: int
    value: Any
    is_deep: bool = False


class JsonStream:
    """Iterates over the Items and Problems (`where` is `[index]`) of a binary file.

    `arrays` are the names under which an object may hold the long list; once it is reached,
    `header` holds the object's other members read so far. Raises FormatError when the file is
    empty, does not begin like JSON, or is UTF-16.
    """

    def __init__(
        self,
        file: Readable,
        arrays: tuple[str, ...] = ("sessions",),
        max_depth: int = MAX_DEPTH,
        max_item: int = MAX_ITEM,
    ) -> None:
        """Read the beginning of `file`, from where it stands."""
        self.header: dict[str, Any] = {}
        self._arrays = arrays
        self._window = Window(file)
        self._values = Values(self._window, max_depth, max_item)
        self._resync = Resync(self._values)
        self._streamed = self._is_deep = False
        self._lost = False  # what follows cannot be read, and a Problem has said so

    def __iter__(self) -> Iterator[Item | Problem]:
        """Yield every item that is whole, and a Problem for all that is not."""
        problems = 0
        for result in self._results():
            yield result
            problems += isinstance(result, Problem)
            if problems == MAX_PROBLEMS:
                rest = f"the rest, from byte {self._window.byte():,} on, was not read"
                yield Problem("", None, None, f"has {problems:,} items that cannot be read; {rest}")
                return

    def _results(self) -> Iterator[Item | Problem]:
        window = self._window
        mark = window.peek()
        if mark == "":
            raise FormatError("The file is empty.")
        if mark not in "[{":
            raise FormatError("The file is not JSON: it begins with neither [ nor {.")
        yield from self._list() if mark == "[" else self._objects()
        if not self._lost and window.peek():
            rest = f"text behind its end, from byte {window.byte():,} on, which was not read"
            yield Problem("", None, None, f"has {rest}")

    def _list(self) -> Iterator[Item | Problem]:
        window, index = self._window, 0
        window.pos += 1
        while not self._lost and (mark := window.peek()) != "]":
            if mark == ",":
                window.pos += 1
                continue
            yield self._item(index) if mark else self._no_end(index)
            index += 1
        window.pos += 1

    def _no_end(self, index: int) -> Problem:
        self._lost = True
        place = f"byte {self._window.byte():,}, after item {index:,}"
        return Problem(f"[{index}]", None, None, f"is cut off: the file ends at {place}")

    def _item(self, index: int) -> Item | Problem:
        try:
            value = self._values.take()
        except Bad as error:
            return self._recover(index, error)
        self._resync.learn(value)
        return Item(index, value, self._values.was_deep)

    def _recover(self, index: int, error: Bad) -> Problem:
        """Name the item and move to the next one, or say that nothing behind it can be read."""
        if error.passed:
            return _problem(index, error)
        start = self._window.byte()
        if self._resync.seek(error):
            skipped = f"bytes {start:,} to {self._window.byte():,} were skipped"
            return _problem(index, error, skipped)
        self._lost = True
        return _problem(index, error, "" if error.cut else "nothing behind it could be read")

    def _objects(self) -> Iterator[Item | Problem]:
        """One object, or one a line."""
        index = 0
        while not self._lost and self._window.peek() == "{":
            try:
                value = self._values.take() if index else (yield from self._first())
            except Bad as error:
                yield self._next_line(index, error)
            else:
                if self._streamed:
                    return
                yield Item(index, value, self._values.was_deep if index else self._is_deep)
            index += 1

    def _next_line(self, index: int, error: Bad) -> Problem:
        if self._streamed:
            self._lost = True
            return Problem("", None, None, f"{error.reason}, behind its chats")
        if not (error.passed and index):
            self._lost = not self._window.find(_NEXT_LINE)
        return _problem(index, error)

    def _first(self) -> Generator[Item | Problem, None, dict[str, Any]]:
        """The first object, member by member; the items of its long list as they come."""
        window, values = self._window, self._values
        members: dict[str, Any] = {}
        window.pos += 1
        while not self._lost and (mark := window.peek()) != "}":
            if mark == ",":
                window.pos += 1
                continue
            key = self._name(mark, members)
            if key in self._arrays and window.peek() == "[":
                self.header, self._streamed = members, True
                yield from self._list()
            else:
                members[key] = values.take(key)
                self._is_deep |= values.was_deep
        window.pos += 1
        return members

    def _name(self, mark: str, members: dict[str, Any]) -> str:
        window = self._window
        key = self._values.take() if mark in '"' else None
        if not isinstance(key, str) or window.peek() != ":":
            place = window.byte()
            raise Bad(f"is not JSON at byte {place:,}: expected a name and a colon", members)
        if key in members:
            raise Bad(f"holds the name {key[:60]!r} twice in one object", members)
        window.pos += 1
        return key


def _problem(index: int, error: Bad, also: str = "") -> Problem:
    """What is known about an item that was not read: its own title and id, if they were."""
    ids = [error.named[key] for key in _IDS if isinstance(error.named.get(key), str)]
    title = error.named.get("title")
    reason = f"{error.reason}; {also}" if also else error.reason
    return Problem(
        f"[{index}]", ids[0] if ids else None, title if isinstance(title, str) else None, reason
    )
