"""Reader of ChatGPT's data export: `conversations.json`, a list of conversations.

A conversation is a tree, `mapping: {node: {id, message | null, parent, children[]}}`, with
`current_node`, `title`, `create_time`, `update_time` (seconds since 1970, floats). OpenAI does
not document it; this follows real exports of 2023 to 2026 and the schemas inferred from 2,122
of them (Sinity/polylogue, MIT). Every message comes in, hidden ones and tools' too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from chathistory.formats import loose, tree
from chathistory.formats.base import ROLES, Malformed, Transcript, Turn
from chathistory.formats.chatgpt_content import read_content
from chathistory.formats.times import from_epoch

Nodes = dict[str, dict[str, Any]]


def recognises(value: Any, header: dict[str, Any]) -> bool:
    """Tell whether `value` is a conversation: an object with a `mapping`."""
    return isinstance(value, dict) and isinstance(value.get("mapping"), dict)


def read(value: Any, where: str) -> Transcript:
    """Return one conversation; Malformed names the field that is not as it must be."""
    if not isinstance(value, dict):
        raise Malformed(where, "is not an object")
    mapping = value.get("mapping")
    if not isinstance(mapping, dict):
        raise Malformed(f"{where}.mapping", "is missing or not an object")
    nodes = {key: _node(node, f"{where}.mapping.{key}") for key, node in mapping.items()}
    title = loose.text(value.get("title"))
    turns, head = _turns(nodes, value.get("current_node"))
    return Transcript(
        origin="chatgpt",
        id=_identity(value, nodes),
        title=title,
        created=from_epoch(value.get("create_time")),
        updated=from_epoch(value.get("update_time")),
        turns=turns,
        head=head,
        metadata=_metadata(value, len(mapping)),
        pinned=value.get("is_starred") is True,
        title_source="user" if title else "auto",
        where=where,
        extra={"state": "archived"} if value.get("is_archived") is True else {},
    )


def _identity(value: dict[str, Any], nodes: Nodes) -> str:
    """The conversation's id; without one its first root's, which later exports repeat."""
    given = loose.text(value.get("conversation_id")) or loose.text(value.get("id"))
    if given or not nodes:
        return given or f"created-{value.get('create_time')}"
    roots = (key for key, node in nodes.items() if node.get("parent") is None)
    return f"root-{next(roots, next(iter(nodes)))}"


def _metadata(value: dict[str, Any], count: int) -> dict[str, Any]:
    """What the conversation says of itself, verbatim, and how many nodes it had."""
    rest = {key: item for key, item in value.items() if key != "mapping"}
    return loose.chat_about("chatgpt", rest, value.get("default_model_slug")) | {"nodes": count}


def _node(node: Any, path: str) -> dict[str, Any]:
    if node is None:
        return {}
    if not isinstance(node, dict):
        raise Malformed(path, "is not an object")
    if node.get("message") is not None and not isinstance(node["message"], dict):
        raise Malformed(f"{path}.message", "is not an object")
    return node


def _turns(nodes: Nodes, current: Any) -> tuple[list[Turn], str | None]:
    """The messages, parents first, each under its nearest ancestor that is a message."""
    parents = tree.without_cycles(_parents(nodes))
    messages = {
        key: node["message"] for key, node in nodes.items() if node.get("message") is not None
    }
    times = {key: from_epoch(message.get("create_time")) for key, message in messages.items()}
    order = tree.preorder(parents, _ranking(nodes, parents, times))
    above = tree.nearest(order, parents, messages)
    turns = [_turn(key, above[key], messages[key], times[key]) for key in order if key in messages]
    for turn in turns:
        given = nodes[turn.id].get("parent")
        if isinstance(given, str) and given not in nodes:
            turn.metadata["orphan_of"] = given
    head = current if isinstance(current, str) and current in nodes else None
    return turns, head if head is None or head in messages else above[head]


def _children(node: dict[str, Any]) -> list[str]:
    listed = node.get("children")
    return [key for key in listed if isinstance(key, str)] if isinstance(listed, list) else []


def _parents(nodes: Nodes) -> dict[str, str | None]:
    """`parent` is believed; only where it leads nowhere is the node asked that lists it."""
    listed = {child: key for key, node in nodes.items() for child in _children(node)}
    parents: dict[str, str | None] = {}
    for key, node in nodes.items():
        given = node.get("parent", "")
        known = given is None or (isinstance(given, str) and given in nodes)
        parents[key] = given if known else listed.get(key)
    return parents


def _ranking(
    nodes: Nodes, parents: tree.Parents, times: dict[str, datetime | None]
) -> Callable[[str], tuple[float, ...]]:
    """Siblings stand as their parent lists them; the rest behind, by time, then as in the file."""
    listed: dict[str | None, dict[str, int]] = {
        key: {child: index for index, child in enumerate(_children(node))}
        for key, node in nodes.items()
    }
    place = {key: index for index, key in enumerate(nodes)}

    def rank(key: str) -> tuple[float, ...]:
        index = listed.get(parents[key], {}).get(key)
        moment = times.get(key)
        seconds = moment.timestamp() if moment else math.inf
        return (0, index) if index is not None else (1, seconds, place[key])

    return rank


def _turn(key: str, parent: str | None, message: dict[str, Any], created: datetime | None) -> Turn:
    author = message.get("author")
    author = author if isinstance(author, dict) else {}
    content, blocks = read_content(message.get("content"))
    name, role = loose.text(author.get("name")) or "", author.get("role")
    return Turn(
        id=key,
        parent=parent,
        # Of an unknown role, something with a name of its own is a tool.
        role=loose.role(role, "tool" if name else "assistant"),
        content=content,
        created=created,
        author=name,
        blocks=blocks,
        metadata=_about(message, role),
        raw=message,
    )


def _about(message: dict[str, Any], role: Any) -> dict[str, Any]:
    """What one may want to know of a message: each key only where it says something."""
    given = message.get("metadata")
    given = given if isinstance(given, dict) else {}
    status = loose.text(message.get("status"))
    about = {
        "hidden": given.get("is_visually_hidden_from_conversation") is True
        or message.get("weight") == 0,
        "model": loose.text(given.get("model_slug")),
        "role": role if not (isinstance(role, str) and role in ROLES) else None,
        "attachments": _file_names(given.get("attachments")),
        "recipient": message.get("recipient") if message.get("recipient") != "all" else None,
        "channel": loose.text(message.get("channel")),
        "status": status if status != "finished_successfully" else None,
    }
    return {key: item for key, item in about.items() if item}


def _file_names(attachments: Any) -> list[str]:
    files = attachments if isinstance(attachments, list) else []
    names = [file.get("name") for file in files if isinstance(file, dict)]
    return [name for name in names if isinstance(name, str)]
