"""Every format that is read, by name, in the order in which a file is asked whether it is one.

A format is a module with `recognises`, which tells its items by what is in them, and with `read`,
where an item is a chat, or `gather`, which makes chats of all the items. A new one is a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from chathistory.formats import (
    aistudio,
    chatbotui,
    chatgpt,
    claude,
    claude_code,
    codex,
    librechat,
    native,
    openai_messages,
    openwebui,
    sharegpt,
    takeout,
)
from chathistory.formats.base import FormatError, Problem, Transcript
from chathistory.formats.each import Read, each
from chathistory.formats.jsonstream import Item

Results = Iterator[Transcript | Problem]
Recognises = Callable[[Any, dict[str, Any]], bool]

#: The members under which an object may hold its chats, to be read one by one.
ARRAYS = ("sessions", "history")


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file. `items` is what a path in it begins with, such as `conversations[3]`.

    `is_deep`: it can read messages that stand within messages, however many.
    """

    description: str
    items: str
    recognises: Recognises
    gather: Callable[[Iterable[Item | Problem]], Results]
    is_deep: bool = False


def _of_chats(description: str, items: str, recognises: Recognises, read: Read) -> Format:
    return Format(description, items, recognises, partial(each, read, name=items))


FORMATS: dict[str, Format] = {
    "native": _of_chats(
        "our own JSON or JSONL", "sessions", native.recognises, native.dict_to_transcript
    ),
    "chatgpt": _of_chats("ChatGPT's export", "conversations", chatgpt.recognises, chatgpt.read),
    "claude": _of_chats("Claude.ai's export", "conversations", claude.recognises, claude.read),
    "openwebui": _of_chats("Open WebUI's export", "chats", openwebui.recognises, openwebui.read),
    "librechat": replace(
        _of_chats("LibreChat's export", "conversations", librechat.recognises, librechat.read),
        is_deep=True,
    ),
    "aistudio": _of_chats(
        "a Google AI Studio prompt", "prompts", aistudio.recognises, aistudio.read
    ),
    "gemini": _of_chats(
        "Gemini's activity from Google Takeout", "records", takeout.recognises, takeout.read
    ),
    "claude-code": Format(
        "a Claude Code session", "lines", claude_code.recognises, claude_code.gather
    ),
    "codex": Format("a Codex session", "lines", codex.recognises, codex.gather),
    "sharegpt": _of_chats("ShareGPT", "chats", sharegpt.recognises, sharegpt.read),
    "chatbotui": _of_chats("Chatbot UI's export", "history", chatbotui.recognises, chatbotui.read),
    "openai": Format(
        "OpenAI messages", "items", openai_messages.recognises, openai_messages.gather
    ),
}


def named(name: str) -> Format:
    """Return a format. Raises FormatError naming those there are."""
    if name not in FORMATS:
        raise FormatError(f"Unknown format; one of: {', '.join(FORMATS)}.")
    return FORMATS[name]


def format_of(value: Any, header: dict[str, Any]) -> Format | None:
    """Return the format that one item tells, None where it tells none."""
    return next((kind for kind in FORMATS.values() if kind.recognises(value, header)), None)
