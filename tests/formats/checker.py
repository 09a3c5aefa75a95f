"""Finds what a provider's file says again in our JSON export, knowing nothing of our readers.

Each function below walks one kind of source, straight from `json.load`, and yields what is to be
found; `missing` looks it up in the exported sessions and returns what is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass
class Said:
    """One message of a source: `key` is where the source has it, `above` its parent's key."""

    key: str
    role: str
    above: str | None = None
    texts: list[str] = field(default_factory=list)
    time: datetime | None = None
    model: str | None = None
    files: list[str] = field(default_factory=list)


@dataclass
class Chat:
    """One chat of a source."""

    title: str | None
    said: list[Said]
    raw_key: Callable[[dict[str, Any]], str] | None = None


def strings(value: Any) -> Iterator[str]:
    """Yield every text that says anything inside a JSON value, without its types."""
    if isinstance(value, str) and value.strip():
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in ("type", "content_type"):
                yield from strings(item)


def seconds(value: Any) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(float(value), UTC)


def stamp(value: Any) -> datetime | None:
    """Return a time; none where the generated samples cut it off behind its seconds."""
    return None if value is None or value.endswith("+") else datetime.fromisoformat(value)


def chatgpt(document: Any) -> Iterator[Chat]:
    """Nodes with a message; a parent is the nearest one above that has a message too."""
    for one in document if isinstance(document, list) else [document]:
        nodes, said = one["mapping"], []
        for key, node in nodes.items():
            inner = node["message"]
            if inner is None:
                continue
            above = node["parent"]
            while above is not None and nodes[above]["message"] is None:
                above = nodes[above]["parent"]
            about = inner.get("metadata") or {}
            files = [file["name"] for file in about.get("attachments") or []]
            time = seconds(inner.get("create_time"))
            texts = list(strings(inner["content"]))
            said.append(
                Said(
                    key, inner["author"]["role"], above, texts, time, about.get("model_slug"), files
                )
            )
        ids = {id_of(nodes[one.key]["message"]): one.key for one in said}
        yield Chat(one.get("title"), said, lambda raw, ids=ids: ids[id_of(raw)])


def id_of(message: dict[str, Any]) -> str:
    return str(message.get("id"))


def claude(document: Any) -> Iterator[Chat]:
    for one in document if isinstance(document, list) else [document]:
        said, before = [], None
        linked = any("parent_message_uuid" in item for item in one["chat_messages"])
        known = {item["uuid"] for item in one["chat_messages"]}
        for item in one["chat_messages"]:
            texts = list(strings(item["content"])) or [item["text"]]
            texts += [file["extracted_content"] for file in item.get("attachments") or []]
            files = [file["file_name"] for file in item.get("attachments") or []]
            files += [file["file_name"] for file in item.get("files") or []]
            above = item.get("parent_message_uuid") if linked else before
            above = above if above in known else None
            role = {"human": "user"}.get(item["sender"], "assistant")
            time = stamp(item["created_at"])
            said.append(Said(item["uuid"], role, above, texts, time, None, files))
            before = item["uuid"]
        yield Chat(one["name"], said, lambda raw: str(raw["uuid"]))


def openwebui(document: Any) -> Iterator[Chat]:
    for one in document:
        said = []
        for key, item in one["chat"]["history"]["messages"].items():
            texts = [item["content"].split("</details>")[-1]]
            for part in item.get("output") or []:
                texts += strings([part.get("content"), part.get("output"), part.get("arguments")])
            time = seconds(item["timestamp"])
            said.append(Said(key, item["role"], item["parentId"], texts, time, item.get("model")))
        yield Chat(one["title"], said, lambda raw: str(raw["id"]))


def librechat(document: Any) -> Iterator[Chat]:
    said = []

    def walk(messages: list[Any], above: str | None) -> None:
        for item in messages:
            given = item.get("parentMessageId") or ""
            parent = above or (None if not given.strip("0-") else given)
            role = "user" if item["isCreatedByUser"] else "assistant"
            time = stamp(item["createdAt"])
            said.append(
                Said(item["messageId"], role, parent, [item["text"]], time, item.get("model"))
            )
            walk(item.get("children") or [], item["messageId"])

    walk(document.get("messages") or document.get("messagesTree"), None)
    yield Chat(document["title"], said, lambda raw: str(raw["messageId"]))


def chatbotui(document: Any) -> Iterator[Chat]:
    for one in document["history"]:
        texts = [item["content"] for item in one["messages"]]
        assert len(set(texts)) == len(texts)
        said = [
            Said(
                item["content"],
                item["role"],
                texts[at - 1] if at else None,
                [item["content"]],
                None,
                one["model"]["id"] if item["role"] == "assistant" else None,
            )
            for at, item in enumerate(one["messages"])
        ]
        yield Chat(one["name"], said, lambda raw: str(raw["content"]))


def missing(source: Iterator[Chat], sessions: list[dict[str, Any]]) -> list[str]:
    """Return what the source says and the export does not; nothing where all is there."""
    chats = list(source)
    found = [] if len(chats) == len(sessions) else [f"{len(chats)} chats, {len(sessions)} there"]
    for chat, session in zip(chats, sessions, strict=False):
        found += _missing(chat, session)
    return found


def _missing(chat: Chat, session: dict[str, Any]) -> Iterator[str]:
    assert chat.raw_key is not None
    if (chat.title or "Imported Chat") != session["title"]:
        yield f"title {chat.title!r}"
    keys = {one["id"]: chat.raw_key(one["raw"]) for one in session["messages"]}
    there = {keys[one["id"]]: one for one in session["messages"]}
    if len(there) != len(session["messages"]) or there.keys() != {one.key for one in chat.said}:
        yield f"messages {sorted({one.key for one in chat.said} ^ there.keys())}"
    for said in chat.said:
        if said.key in there:
            for wrong in _differences(said, there[said.key], keys):
                yield f"{said.key}: {wrong}"


def _differences(said: Said, message: dict[str, Any], keys: dict[str, str]) -> Iterator[str]:
    words = [message["content"], *strings(message["blocks"])]
    for text in said.texts:
        if not any(text.strip() in word for word in words):
            yield f"text {text[:60]!r}"
    above = keys.get(message["parent_id"]) if message["parent_id"] else None
    if above != said.above:
        yield f"parent {said.above!r}, not {above!r}"
    if message["role"] != said.role:
        yield f"role {said.role!r}, not {message['role']!r}"
    if said.time and abs(stamp(message["timestamp"]) - said.time).total_seconds() > 1e-5:  # type: ignore[operator]
        yield f"time {said.time}, not {message['timestamp']}"
    if said.model and message["metadata"].get("model") != said.model:
        yield f"model {said.model!r}"
    if absent := set(said.files) - set(message["metadata"].get("attachments", ())):
        yield f"files {absent}"
