"""ChatGPT's own shape: `conversations.json`, a list of trees with epochs as floats.

The reader of ``formats.chatgpt`` has it the other way round. A message that came from ChatGPT goes
out as the item it was, unless its text was changed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from chathistory.formats.chatgpt_content import read_content
from chathistory.formats.native import encode

from . import shown

_ROOT = "client-created-root"


def write(sessions: Iterable[shown.Session]) -> Iterator[bytes]:
    """Yield the list, node by node."""
    yield b"["
    for index, session in enumerate(sessions):
        yield b",\n" if index else b"\n"
        yield from _conversation(session)
    yield b"\n]\n"


def _conversation(session: shown.Session) -> Iterator[bytes]:
    yield encode(_head(session))[:-1] + b', "mapping": {'
    children: dict[str | None, list[str]] = {}
    for one, parent in shown.links(session):
        children.setdefault(parent, []).append(one)
    root = {"id": _ROOT, "message": None, "parent": None, "children": children.get(None, [])}
    yield b"\n" + encode({_ROOT: root})[1:-1]
    for message in session.get("messages", ()):
        key = message["id"]
        node = {
            "id": key,
            "message": _message(message),
            "parent": message.get("parent_id") or _ROOT,
            "children": children.get(key, []),
        }
        yield b",\n" + encode({key: node})[1:-1]
    yield b"}}"


def _head(session: shown.Session) -> dict[str, Any]:
    metadata = session.get("metadata") or {}
    given = metadata.get("chatgpt")
    rest = given if isinstance(given, dict) else {}
    ours = {
        "title": session.get("title") or "",
        "create_time": _epoch(session.get("created_at")) or 0.0,
        "update_time": _epoch(session.get("updated_at")) or 0.0,
        "current_node": session.get("head_id") or _ROOT,
        "conversation_id": session["session_id"],
        "id": session["session_id"],
        "is_archived": session.get("state") == "archived",
        "is_starred": bool(session.get("pinned")),
        "moderation_results": rest.get("moderation_results") or [],
    }
    model = metadata.get("model")
    return rest | ours | ({"default_model_slug": model} if isinstance(model, str) else {})


def _message(message: shown.Message) -> dict[str, Any] | None:
    """Return the message of a node; a deleted one has none."""
    if message.get("deleted_at"):
        return None
    raw = message.get("raw")
    if isinstance(raw, dict) and isinstance(raw.get("content"), dict) and "author" in raw:
        return _as_it_was(message, raw)
    text = shown.UNREADABLE if message.get("damaged") else message.get("content") or ""
    return _made(message, text)


def _as_it_was(message: shown.Message, raw: dict[str, Any]) -> dict[str, Any]:
    text = message.get("content") or ""
    if read_content(raw["content"])[0] == text:
        return raw
    return raw | {"content": {"content_type": "text", "parts": [text]}}


def _made(message: shown.Message, text: str) -> dict[str, Any]:
    metadata = message.get("metadata") or {}
    status = metadata.get("status")
    channel, recipient = metadata.get("channel"), metadata.get("recipient")
    is_done = message.get("status") == "complete"
    return {
        "id": message["id"],
        "author": {
            "role": message["role"],
            "name": message.get("author") or None,
            "metadata": {},
        },
        "create_time": _epoch(message.get("timestamp")),
        "update_time": _epoch(message.get("edited_at")),
        "content": {"content_type": "text", "parts": [text]},
        "status": status if isinstance(status, str) else _STATUS[is_done],
        "end_turn": None,
        "weight": 1.0,
        "metadata": _about(message, metadata),
        "recipient": recipient if isinstance(recipient, str) else "all",
        "channel": channel if isinstance(channel, str) else None,
    }


_STATUS = {True: "finished_successfully", False: "finished_partial_completion"}


def _about(message: shown.Message, metadata: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(model := metadata.get("model"), str):
        found["model_slug"] = model
    if metadata.get("hidden") is True:
        found["is_visually_hidden_from_conversation"] = True
    if names := shown.attachments(message):
        found["attachments"] = [{"name": name} for name in names]
    return found


def _epoch(stamp: str | None) -> float | None:
    return datetime.fromisoformat(stamp).timestamp() if stamp else None
