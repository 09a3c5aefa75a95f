"""LangChain's SQLChatMessageHistory (community 0.4): `{id, session_id, message}`.

The message is JSON, `{type: human|ai|…, data: {content, additional_kwargs, response_metadata,
tool_calls, name, id, …}}`. It has no time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from chathistory.stores import shape
from chathistory.stores.database import Database
from chathistory.stores.grouping import Chat, grouped

_COLUMNS = ("id", "session_id", "message")
_CHUNK = "MessageChunk"


def chats(database: Database) -> Iterator[Chat]:
    """Yield the chats. Raises Refused."""
    for table in database.having(_COLUMNS):
        yield from grouped(database, table, "session_id", partial(_chat, database, table))


def _chat(database: Database, table: str, session: str, rows: list[int]) -> dict[str, Any]:
    messages = [
        _message(f"{table}[{row}].message", database.row(table, row, "message")[0]) for row in rows
    ]
    return {"session_id": session, "messages": messages}


def _message(path: str, value: Any) -> dict[str, Any]:
    item = shape.mapping(value, path)
    data = item.get("data")
    data = data if isinstance(data, dict) else item
    about = data.get("response_metadata")
    about = about if isinstance(about, dict) else {}
    model = about.get("model_name", about.get("model"))
    return shape.message(
        "",
        _role(item, data, path),
        shape.said(data.get("content")),
        _blocks(data),
        author=data["name"] if isinstance(data.get("name"), str) else "",
        metadata=shape.compact(model=model if isinstance(model, str) else None),
        tokens=_tokens(data),
        raw=item,
    )


def _blocks(data: dict[str, Any]) -> list[dict[str, Any]]:
    found = shape.others(data.get("content"))
    calls = data.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, dict):
            found.append(shape.tool_call(call.get("name"), call.get("args"), call.get("id")))
    if data.get("tool_call_id") is not None:
        found.append(shape.tool_result(shape.said(data.get("content")), data["tool_call_id"]))
    return found


def _role(item: dict[str, Any], data: dict[str, Any], path: str) -> str:
    """Return the role; of a message of type chat it says it itself, and may say anything."""
    kind = shape.words(item.get("type"), f"{path}.type").removesuffix(_CHUNK)
    if kind.lower() == "chat":
        return shape.role(data.get("role"), f"{path}.data.role")
    return shape.role(kind, f"{path}.type")


def _tokens(data: dict[str, Any]) -> int | None:
    used = data.get("usage_metadata")
    count = used.get("output_tokens") if isinstance(used, dict) else None
    return count if type(count) is int and 0 <= count < 1 << 31 else None
