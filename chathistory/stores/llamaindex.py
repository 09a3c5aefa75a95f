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
    messages = [_message(row, f"{table}[{row}]", *values) for row, values in found]
    return {"session_id": key, "messages": messages}


def _message(row: int, path: str, stamp: Any, role: Any, status: Any, data: Any) -> dict[str, Any]:
    item = shape.mapping(data, f"{path}.data")
    blocks = shape.blocks(item.get("blocks"))
    away = status != "active"
    return {
        "id": str(row),
        "role": shape.role(role, f"{path}.role"),
        "content": _said(item, blocks),
        "timestamp": shape.moment(stamp),
        "blocks": blocks,
        "metadata": {"status": shape.maybe(status, f"{path}.status")} if away else {},
        "raw": item,
    }


def _said(item: dict[str, Any], blocks: list[dict[str, Any]]) -> str:
    """Return a message's text; versions before blocks had it as content."""
    return shape.said(blocks) or shape.said(item.get("content"))
