"""The logs.db of `llm` since 0.32: threads over a tree of messages that are known by their hash.

`threads{id, name, tip_message_hash, datetime_utc}` and `turns{thread_id, parent_message_hash,
tip_message_hash, model, input_tokens, output_tokens, datetime_utc, …}` point into
`messages{hash, parent_hash, role}`, of which each has `parts{message_hash, position, type,
tool_name, text, payload}`. A thread is every message above one of its tips. A text may be put
together of fragments, which its payload names.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import partial
from typing import Any

from chathistory.stores import shape
from chathistory.stores.database import Database
from chathistory.stores.grouping import Chat
from chathistory.stores.shape import Wrong

_THREAD = ("id", "name", "tip_message_hash", "forked_from", "datetime_utc")
_TURN = (
    *("id", "parent_message_hash", "tip_message_hash", "model", "resolved_model", "input_tokens"),
    *("output_tokens", "duration_ms", "options_json", "datetime_utc"),
)
_PART = ("position", "type", "tool_name", "text", "payload")
_ATTACHMENT = ("id", "type", "path", "url")
_TABLES = {
    "threads": _THREAD,
    "turns": ("thread_id", *_TURN),
    "messages": ("hash", "parent_hash", "role"),
    "parts": ("message_hash", *_PART),
}


def chats(database: Database) -> Iterator[Chat]:
    """Yield the threads. Raises Refused."""
    if all(database.has(table, columns) for table, columns in _TABLES.items()):
        log = _Log(database)
        for row, thread in database.rows("threads", "id"):
            name = thread if isinstance(thread, str) else None
            yield Chat(f"threads[id={thread!r}]", name, partial(log.thread, row))


def threads(database: Database) -> set[str]:
    """Return the ids of the threads. Raises Refused."""
    if not database.has("threads", _THREAD):
        return set()
    return {str(thread) for _row, thread in database.rows("threads", "id")}


class _Log:
    """Where everything is: rows by hash, and what belongs to each."""

    def __init__(self, database: Database) -> None:
        self._database = database
        found = database.rows("messages", "hash", "parent_hash")
        self._messages = {key: (row, parent) for row, key, parent in found}
        self._parts = rows_by(database, "parts", "message_hash")
        self._turns = rows_by(database, "turns", "thread_id")
        self._files = Files(database)

    def thread(self, row: int) -> dict[str, Any]:
        """Return one thread as a session. Raises Wrong."""
        values = self._database.row("threads", row, *_THREAD)
        thread, name, tip, fork, stamp = values
        where = f"threads[{row}]"
        turns = [self._database.row("turns", one, *_TURN) for one in self._turns.get(thread, ())]
        about = self._about(turns)
        tips = [one for one in (*(turn[2] for turn in turns), tip) if one is not None]
        keys = self._above(tips, f"{where}.tip_message_hash")
        return {
            "session_id": shape.words(thread, f"{where}.id"),
            "title": shape.maybe(name, f"{where}.name") or None,
            "created_at": shape.moment(stamp),
            "head_id": tip,
            "metadata": shape.compact(forked_from=fork),
            "messages": [self._message(key, about.get(key, {})) for key in keys],
        }

    def _above(self, tips: list[Any], path: str) -> list[str]:
        """Return the messages at or above the tips, those above first, each once."""
        order: dict[str, None] = {}
        for tip in tips:
            if tip not in self._messages:
                raise Wrong(path, f"names a message that is not there ({tip!r})")
            branch: dict[str, None] = {}
            step = tip
            while step in self._messages and step not in order and step not in branch:
                branch[step] = None
                step = self._messages[step][1]
            order.update(dict.fromkeys(reversed(branch)))
        return list(order)

    def _about(self, turns: list[tuple[Any, ...]]) -> dict[Any, dict[str, Any]]:
        """Return by message what its turn says: its time, and of an answer model and tokens."""
        found: dict[Any, dict[str, Any]] = {}
        for turn, asked, tip, model, resolved, given, made, took, options, stamp in turns:
            time = shape.moment(stamp)
            extra = shape.compact(
                model=resolved or model, turn=turn, duration_ms=took, options=options
            )
            step, seen = tip, set[Any]()
            while step in self._messages and step != asked and step not in seen:
                seen.add(step)
                found[step] = {"time": time, "metadata": extra}
                step = self._messages[step][1]
            if tip in found:
                found[tip]["tokens"] = shape.tokens(made, f"turns[id={turn!r}].output_tokens")
                found[tip]["metadata"] = extra | shape.compact(input_tokens=given)
            while step in self._messages and step not in found and step not in seen:
                seen.add(step)
                found[step] = {"time": time}
                step = self._messages[step][1]
        return found

    def _message(self, key: str, about: dict[str, Any]) -> dict[str, Any]:
        row, parent = self._messages[key]
        (role,) = self._database.row("messages", row, "role")
        rows = list(self._parts.get(key, ()))
        parts = sorted((self._part(one) for one in rows), key=lambda part: part[0])
        files = [name for one in rows for name in self._files.names("part_attachments", one)]
        texts = [text for _position, kind, text, _more in parts if kind == "text"]
        blocks = [_block(kind, text, more) for _at, kind, text, more in parts if kind != "text"]
        facts = about.get("metadata", {}) | shape.compact(attachments=files)
        return shape.message(
            shape.words(key, f"messages[{row}].hash"),
            shape.role(role, f"messages[{row}].role"),
            "\n".join(filter(None, texts)),
            blocks + [shape.attachment(name) for name in files],
            parent_id=parent,
            timestamp=about.get("time"),
            tokens=about.get("tokens"),
            metadata=facts,
        )

    def _part(self, row: int) -> tuple[int, str, str, dict[str, Any]]:
        """Return a part's position, type, text, and what else there is."""
        path = f"parts[{row}]"
        position, kind, tool, text, payload = self._database.row("parts", row, *_PART)
        more = {} if payload is None else shape.mapping(payload, f"{path}.payload")
        pieces = more.pop("text_ref", None)
        whole = shape.maybe(text, f"{path}.text")
        if pieces is not None:
            whole = self._files.text(pieces, f"{path}.payload.text_ref")
        more |= shape.compact(name=shape.maybe(tool, f"{path}.tool_name"))
        at = shape.number(position, f"{path}.position") or 0
        return at, shape.words(kind, f"{path}.type"), whole, more


def _block(kind: str, text: str, more: dict[str, Any]) -> dict[str, Any]:
    """Return the block of a part that is no plain text; what else it says stands beside."""
    if kind == "reasoning":
        return more | shape.reasoning(text)
    if kind == "tool_call":
        call = shape.tool_call(more.get("name"), more.get("arguments"), more.get("tool_call_id"))
        return more | call
    if kind == "tool_result":
        return more | shape.tool_result(text or more.get("output"), more.get("tool_call_id"))
    return more | shape.compact(type=kind, text=text)


class Files:
    """Fragments of texts, and what is known of attachments."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._attachments = _known(database)
        self._held = {
            "part_attachments": _held(database, "part_attachments", "part_id", "attachment_id"),
            "prompt_attachments": _held(
                database, "prompt_attachments", "response_id", "attachment_id"
            ),
            "prompt_fragments": _held(database, "prompt_fragments", "response_id", "fragment_id"),
            "system_fragments": _held(database, "system_fragments", "response_id", "fragment_id"),
        }

    def text(self, pieces: Any, path: str) -> str:
        """Return a text that is put together of literals and fragments. Raises Wrong."""
        if not isinstance(pieces, list):
            raise Wrong(path, "is not a list")
        return "".join(self._piece(piece, f"{path}[{at}]") for at, piece in enumerate(pieces))

    def _piece(self, piece: Any, path: str) -> str:
        found = piece if isinstance(piece, dict) else {}
        if "literal" in found:
            return shape.words(found["literal"], f"{path}.literal")
        return self._fragment(found.get("fragment"), path)

    def _fragment(self, number: Any, path: str) -> str:
        if type(number) is not int or not self._database.has("fragments", ("content",)):
            raise Wrong(path, "is neither a literal nor a fragment that is there")
        (content,) = self._database.row("fragments", number, "content")
        return shape.words(content, f"fragments[{number}].content")

    def fragments(self, table: str, owner: Any) -> list[str]:
        """Return the fragments that stand before a prompt, or in a system's. Raises Wrong."""
        held = self._held.get(table, {}).get(owner, ())
        return [self._fragment(one, f"{table}[response_id={owner!r}]") for one in held]

    def names(self, table: str, owner: Any) -> list[str]:
        """Return what the attachments of a part, or of a prompt, are called."""
        held = self._held.get(table, {}).get(owner, ())
        return [self._attachments[one] for one in held if one in self._attachments]


def _known(database: Database) -> dict[Any, str]:
    """Return what each attachment is called: where it was, or what it is."""
    if not database.has("attachments", _ATTACHMENT):
        return {}
    return {
        key: next((one for one in (path, url, kind, key) if isinstance(one, str) and one), "file")
        for _row, key, kind, path, url in database.rows("attachments", *_ATTACHMENT)
    }


def _held(database: Database, table: str, owner: str, held: str) -> dict[Any, list[Any]]:
    """Return by owner what it holds, in the order that the table gives."""
    if not database.has(table, (owner, held, "order")):
        return {}
    found: dict[Any, list[Any]] = {}
    rows = sorted(database.rows(table, owner, held, "order"), key=_place)
    for _row, key, one, _order in rows:
        found.setdefault(key, []).append(one)
    return found


def _place(row: tuple[Any, ...]) -> int:
    return row[-1] if isinstance(row[-1], int) else 0


def rows_by(database: Database, table: str, column: str) -> dict[Any, array[int]]:
    """Return the numbers of a table's rows by what stands in a column. Raises Refused."""
    found: dict[Any, array[int]] = {}
    for row, value in database.rows(table, column):
        found.setdefault(value, array("q")).append(row)
    return found
