"""What the child makes of rows: plain values of the shape of our own JSON, or a reason why not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from chathistory.strictjson import DECODER

MAX_DEPTH = 200  # nested lists and objects, as in the files that we read
ROLES = {role: role for role in ("system", "developer", "user", "assistant", "tool", "function")}
ROLES |= {"human": "user", "ai": "assistant", "model": "assistant", "chatbot": "assistant"}


_LAST_YEAR = 9999


class Refused(Exception):
    """The whole database is refused. The message says why, in plain English."""


class Wrong(Exception):
    """One chat is refused: ``path`` is where, ``reason`` what is wrong there."""

    def __init__(self, path: str, reason: str) -> None:
        """Keep both apart."""
        super().__init__(f"{path} {reason}")
        self.path, self.reason = path, reason


def words(value: Any, path: str) -> str:
    """Return a text that must be there. Raises Wrong."""
    if isinstance(value, bytes):
        raise Wrong(path, "is not text in UTF-8")
    if not isinstance(value, str):
        raise Wrong(path, "is missing" if value is None else "is not text")
    return value


def maybe(value: Any, path: str) -> str:
    """Return a text, empty where there is none. Raises Wrong."""
    return "" if value is None else words(value, path)


def number(value: Any, path: str) -> int | None:
    """Return a whole number, or None where there is none. Raises Wrong."""
    if value is not None and not isinstance(value, int):
        raise Wrong(path, "is not a whole number")
    return value


def tokens(value: Any, path: str) -> int | None:
    """Return a count of tokens, None where there is none or it cannot be. Raises Wrong."""
    found = number(value, path)
    return found if found is not None and 0 <= found < 1 << 31 else None


def parsed(value: Any, path: str) -> Any:
    """Return the value of a text of JSON. Raises Wrong."""
    text = words(value, path)
    try:
        found = DECODER.decode(text)
    except RecursionError:
        raise Wrong(path, f"is nested more than {MAX_DEPTH} levels deep") from None
    except ValueError as error:
        raise Wrong(path, f"is not JSON ({error})") from None
    if _depth(found) > MAX_DEPTH:
        raise Wrong(path, f"is nested more than {MAX_DEPTH} levels deep")
    return found


def _depth(value: Any) -> int:
    """Return how deep a value is, level by level: nothing here recurses."""
    depth, level = 0, [value]
    while level := [inner for one in level for inner in _within(one)]:
        depth += 1
    return depth


def _within(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        return iter(value.values())
    return iter(value) if isinstance(value, list) else iter(())


def mapping(value: Any, path: str) -> dict[str, Any]:
    """Return an object of JSON. Raises Wrong."""
    found = parsed(value, path)
    if not isinstance(found, dict):
        raise Wrong(path, "is not an object")
    return found


def moment(value: Any) -> str | None:
    """Return a time as ISO 8601 in UTC, whether it is text or nanoseconds; None if it is none."""
    try:
        if isinstance(value, int):
            found = datetime.fromtimestamp(value / 1e9, UTC)
        else:
            found = datetime.fromisoformat(value)
            found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return found.isoformat() if found.year < _LAST_YEAR else None


def role(value: Any, path: str) -> str:
    """Return one of our roles. Raises Wrong."""
    found = ROLES.get(words(value, path).lower())
    if found is None:
        raise Wrong(path, f"is none of {', '.join(sorted(ROLES))}")
    return found


def said(value: Any) -> str:
    """Return the text in a content: a text, a list of parts, or none."""
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, list) else []
    return "\n".join(filter(None, map(_part, parts)))


def _part(value: Any) -> str:
    if isinstance(value, str):
        return value
    found = value if isinstance(value, dict) else {}
    named = (found.get(name) for name in ("text", "refusal", "transcript"))
    return next((text for text in named if isinstance(text, str)), "")


def others(value: Any) -> list[dict[str, Any]]:
    """Return the parts of a content that are more than text."""
    parts = value if isinstance(value, list) else []
    return [part for part in parts if isinstance(part, dict) and not _part(part)]


def reasoning(text: str) -> dict[str, Any]:
    """Return the block of what a model thought."""
    return {"type": "reasoning", "text": text}


def tool_call(name: Any, arguments: Any, identity: Any) -> dict[str, Any]:
    """Return the block of a call of a tool."""
    return {"type": "tool_call", "id": identity, "name": name, "arguments": arguments}


def tool_result(output: Any, identity: Any) -> dict[str, Any]:
    """Return the block of what a tool answered."""
    return {"type": "tool_result", "id": identity, "output": output}


def attachment(name: str) -> dict[str, Any]:
    """Return the block of a file, of which the database has no more than the name for us."""
    return {"type": "attachment", "kind": "file", "name": name}


def message(
    key: str, role: str, text: str, blocks: list[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """Return a message; without words of its own it shows those of its blocks, and says so.

    Without a key it is named by what it says: a row's number says nothing in another database,
    and is given again when the row is gone.
    """
    shown = text or "\n\n".join(filter(None, map(_shown, blocks)))
    facts = more.pop("metadata", {}) | ({"content_from": "blocks"} if shown and not text else {})
    return {
        "id": key,
        "role": role,
        "content": shown,
        "blocks": blocks,
        "metadata": facts,
        **more,
    }


def _shown(block: dict[str, Any]) -> str:
    kind = block.get("type")
    if kind == "tool_call":
        given = block["arguments"]
        return f"{block['name'] or ''}({'' if given is None else _plain(given)})"
    if kind == "tool_result":
        return said(block["output"]) or _plain(block["output"])
    return block["text"] if kind == "reasoning" else ""


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def compact(**values: Any) -> dict[str, Any]:
    """Return what is there of these values."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}
