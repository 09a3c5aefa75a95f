"""openai-agents' SQLiteSession (0.24): a row of JSON for each item of a session.

Sessions are `{session_id, created_at, updated_at}`, items `{id, session_id, message_data,
created_at}`, under whatever names the program gave the tables. An item is an input item of the
Responses API: a message, a call of a tool and its output, or reasoning; each becomes a message,
with the item itself beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from chathistory.stores import shape
from chathistory.stores.database import Database
from chathistory.stores.grouping import Chat, grouped

_ITEMS = ("session_id", "message_data", "created_at")


def chats(database: Database) -> Iterator[Chat]:
    """Yield the sessions that have items. Raises Refused."""
    for table in database.having(("id", *_ITEMS)):
        make = partial(_chat, database, table, _known(database))
        yield from grouped(database, table, "session_id", make)


def _known(database: Database) -> dict[str, dict[str, Any]]:
    names = ("session_id", "created_at", "updated_at")
    tables = [t for t in database.having(names) if "message_data" not in database.tables[t]]
    return {
        str(session): {"created_at": shape.moment(made), "updated_at": shape.moment(changed)}
        for table in tables
        for _row, session, made, changed in database.rows(table, *names)
    }


def _chat(
    database: Database, table: str, known: dict[str, Any], session: str, rows: list[int]
) -> dict[str, Any]:
    messages = [_message(f"{table}[{row}]", database.row(table, row, *_ITEMS)) for row in rows]
    return {"session_id": session, **known.get(session, {}), "messages": messages}


def _message(path: str, values: tuple[Any, ...]) -> dict[str, Any]:
    path = f"{path}.message_data"
    item = shape.mapping(values[1], path)
    return shape.message(
        "",
        _role(item, path),
        shape.said(item.get("content")),
        _blocks(item),
        author=item["name"] if isinstance(item.get("name"), str) else "",
        timestamp=shape.moment(values[2]),
        raw=item,
    )


def _role(item: dict[str, Any], path: str) -> str:
    if "role" in item:
        return shape.role(item["role"], f"{path}.role")
    kind = item.get("type")
    if not isinstance(kind, str):
        raise shape.Wrong(path, "has neither a role nor a type")
    return "tool" if kind.endswith("_output") else "assistant"


def _blocks(item: dict[str, Any]) -> list[dict[str, Any]]:
    kind = str(item.get("type"))
    if kind.endswith("_output"):
        return [shape.tool_result(item.get("output"), item.get("call_id"))]
    if kind.endswith("_call") and "name" in item:
        return [shape.tool_call(item["name"], item.get("arguments"), item.get("call_id"))]
    if kind == "reasoning":
        thought = shape.said(item.get("summary"))
        return [shape.reasoning(thought)] if thought else []
    return shape.others(item.get("content")) if "role" in item else [item]
