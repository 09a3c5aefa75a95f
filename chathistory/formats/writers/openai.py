"""OpenAI's messages as JSON Lines: a chat a line, `{"messages": [{"role": …, "content": …}]}`.

The shape of chat completions and of fine-tuning files: <https://platform.openai.com/docs/
guides/supervised-fine-tuning>. A chat is a line, so only the branch shown is in it; what a tool
was called with comes from the provider's own item, where that has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from chathistory.formats.native import encode

from . import shown

_CALLS = {"tool_calls": list, "function_call": dict, "tool_call_id": str, "refusal": str}


def write(sessions: Iterable[shown.Session]) -> Iterator[bytes]:
    """Yield each session as a line, message by message."""
    for session in sessions:
        yield b'{"messages": ['
        path, _others = shown.branch(session)
        for index, message in enumerate(shown.said(session, path)):
            yield (b", " if index else b"") + encode(_message(message))
        yield b"]}\n"


def _message(message: shown.Message) -> dict[str, Any]:
    text = shown.UNREADABLE if message.get("damaged") else message.get("content") or ""
    found: dict[str, Any] = {"role": message["role"], "content": text}
    if author := message.get("author"):
        found["name"] = author
    raw = message.get("raw") or {}
    calls = {key: raw[key] for key, kind in _CALLS.items() if isinstance(raw.get(key), kind)}
    if calls and (message.get("metadata") or {}).get("content_from") == "blocks":
        found["content"] = ""  # the call itself, told in words
    return found | {key: value for key, value in calls.items() if value}
