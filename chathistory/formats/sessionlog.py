"""A log with a message a line, as a row of chats: what its two readers have in common.

A log is written as the chat goes on, so one that breaks off in its last line is as good as it was a
moment before. A line that cannot be read between others means that the chat is not whole: it stays
out, and its neighbours come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from chathistory.formats.base import Malformed, Problem, Transcript
from chathistory.formats.jsonstream import Item


class Chat(Protocol):
    """A chat that is being read, line by line."""

    def follows(self, line: dict[str, Any]) -> bool:
        """Tell whether the line is the chat's, and not the first of another."""

    def add(self, index: int, line: dict[str, Any], path: str) -> None:
        """Take one line. Raises Malformed."""

    def transcript(self) -> Transcript | None:
        """Return the chat as far as it was read; None where nobody said anything."""


class Begin(Protocol):
    """Begins a chat."""

    def __call__(self, where: str) -> Chat:
        """Return one that is called ``where`` in reports."""


def chats(items: Iterable[Item | Problem], begin: Begin) -> Iterator[Transcript | Problem]:
    """Yield each chat of a log that is whole, and a Problem for each that is not."""
    chat: Chat | None = None
    wrong: Problem | None = None  # with the chat at hand
    torn: Problem | None = None  # the line before this one
    for item in items:
        if isinstance(item, Problem):
            torn = wrong = wrong or torn or item
            continue
        path = f"lines[{item.index}]"
        line = item.value if isinstance(item.value, dict) else {}
        if chat is not None and not chat.follows(line):
            yield from _end(chat, wrong)
            chat = wrong = None
        chat = chat or begin(path)
        torn = None
        try:
            chat.add(item.index, line, path)
        except Malformed as error:
            wrong = wrong or Problem(error.path, None, None, error.reason)
    if chat is not None:
        yield from _end(chat, wrong if torn is None else None)
    if torn is not None:
        yield torn


def _end(chat: Chat, wrong: Problem | None) -> Iterator[Transcript | Problem]:
    transcript = chat.transcript()
    if wrong is not None:
        identity, title = (transcript.id, transcript.title) if transcript else (None, None)
        reason = f"{wrong.reason}; its chat is not whole and stays out"
        yield Problem(wrong.where, identity, title, reason)
    elif transcript is not None:
        yield transcript
