"""llama-index's SQLAlchemyChatStore (core 0.14): a row for each message, by key.

A row is `{id, key, timestamp (nanoseconds), role, status active|archived, data}` with the
ChatMessage as JSON: `{role, additional_kwargs, blocks[{block_type, …}]}`. What the memory has put
away (archived) is a message like the others, and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from chathistory.stores import shape
from chathistory.stores.database import Database
from chathistory.stores.grouping import Chat, grouped

_COLUMNS = ("timestamp", "role", "status", "data")


def chats(database: Database) -> Iterator[Chat]:
    """Yield the chats. Raises Refused."""
    for table in database.having(("id", "key", *_COLUMNS)):
        yield from grouped(database, table, "key", partial(_chat, database, table))


def _chat(database: Database, table: str, key: str, rows: list[int]) -> dict[str, Any]:
    found = [(row, database.row(table, row, *_COLUMNS)) for row in rows]
    # As the store itself gives them; what has no time stays where it is.
    found.sort(key=lambda one: one[1][0] if isinstance(one[1][0], int) else 0)
    messages = [_message(f"{table}[{row}]", *values) for row, values in found]
    return {"session_id": key, "messages": messages}


def _message(path: str, stamp: Any, role: Any, status: Any, data: Any) -> dict[str, Any]:
    item = shape.mapping(data, f"{path}.data")
    given = item.get("blocks")
    said = shape.maybe(status, f"{path}.status")
    return shape.message(
        "",
        shape.role(role, f"{path}.role"),
        # Versions before blocks had content.
        shape.said(_texts(given)) or shape.said(item.get("content")),
        [_block(part) for part in shape.others(given)],
        timestamp=shape.moment(stamp),
        metadata=shape.compact(status=None if said == "active" else said),
        raw=item,
    )


def _texts(blocks: Any) -> list[Any]:
    parts = blocks if isinstance(blocks, list) else []
    return [part for part in parts if isinstance(part, dict) and part.get("block_type") == "text"]


def _block(part: dict[str, Any]) -> dict[str, Any]:
    kind = part.get("block_type")
    if kind == "tool_call":
        return shape.tool_call(
            part.get("tool_name"), part.get("tool_kwargs"), part.get("tool_call_id")
        )
    if kind == "thinking":
        return shape.reasoning(shape.said(part.get("content")))
    return part
