"""What the formats for people have in common: the branch shown, and words made harmless.

Harmless means to a terminal, an editor and a renderer alike: control characters become their
pictures, and the two characters that turn the order of everything after them become U+FFFD.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Session = dict[str, Any]
Message = dict[str, Any]

UNREADABLE = "[This message cannot be read: its record is damaged.]"
_CONTROL = {code: 0x2400 + code for code in range(32)} | {0x7F: 0x2421}
_CONTROL |= dict.fromkeys((*range(0x80, 0xA0), 0x202D, 0x202E), 0xFFFD)
_MULTI = {code: to for code, to in _CONTROL.items() if chr(code) not in "\n\t"}
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202d\u202e\ud800-\udfff]")
#: What would reach beyond a line of ours that holds somebody's words.
_DIRECTION = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")
_NAMES = {
    "system": "System",
    "developer": "Developer",
    "user": "User",
    "assistant": "Assistant",
    "tool": "Tool",
    "function": "Function",
}


def clean(text: str) -> str:
    """Return a text with its lines and tabs, and no other control character."""
    if _HARMFUL.search(text) is None:
        return text
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return _mended(lines.translate(_MULTI))


def line(text: str) -> str:
    """Return a text on one line, that turns nothing around it."""
    return _mended(" ".join(_DIRECTION.sub("", text).split()).translate(_CONTROL))


def _mended(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def title(session: Session) -> str:
    """Return a session's title on one line."""
    return line(session.get("title") or "") or "Untitled chat"


def moment(stamp: str | None) -> str:
    """Return a time as people read it, to the minute, in UTC."""
    return f"{stamp[:10]} {stamp[11:16]} UTC" if stamp else ""


def facts(session: Session) -> list[tuple[str, str]]:
    """Return what is said of a session below its title."""
    tags = ", ".join(map(str, session.get("tags") or ()))
    given = (
        ("Kind", session.get("workflow_type")),
        ("Begun", moment(session.get("created_at"))),
        ("Last changed", moment(session.get("updated_at"))),
        ("Tags", tags),
    )
    return [(name, line(str(value))) for name, value in given if value]


def speaker(message: Message) -> str:
    """Return who says a message: the role, and a name where there is one."""
    role = _NAMES.get(message.get("role") or "", "Other")
    author = line(str(message.get("author") or ""))
    return f"{role} ({author})" if author else role


def content(message: Message) -> str:
    """Return what a message says."""
    if message.get("damaged"):
        return UNREADABLE
    return clean(message.get("content") or "")


def notes(message: Message) -> list[str]:
    """Return what else is to be said of a message, a line each."""
    metadata = message.get("metadata") or {}
    found = []
    if message.get("status") == "failed":
        found.append("This answer did not come to its end.")
    if isinstance(model := metadata.get("model"), str):
        found.append(f"Model: {line(model)}")
    if names := attachments(message):
        found.append(f"Attached: {', '.join(map(line, names))}")
    return found


def attachments(message: Message) -> list[str]:
    """Return the names of what was attached to a message."""
    given = (message.get("metadata") or {}).get("attachments")
    names = [one.get("name") if isinstance(one, dict) else one for one in _list(given)]
    return [name for name in names if isinstance(name, str) and name]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def links(session: Session) -> list[tuple[str, str | None]]:
    """Return the id of each message and of the one it follows."""
    messages = session.get("messages", ())
    if hasattr(messages, "links"):
        found: list[tuple[str, str | None]] = messages.links()
        return found
    return [(message["id"], message.get("parent_id")) for message in messages]


def branch(session: Session) -> tuple[frozenset[str], int]:
    """Return the ids of the branch shown, and how many messages stand on others."""
    parents = dict(links(session))
    head = session.get("head_id")
    step = head if head in parents else next(reversed(parents), None)
    path = set()
    while step is not None and step in parents and step not in path:
        path.add(step)
        step = parents[step]
    return frozenset(path), len(parents) - len(path)


def said(session: Session, path: frozenset[str]) -> Iterator[Message]:
    """Yield the messages of a branch that were not deleted."""
    for message in session.get("messages", ()):
        if message["id"] in path and not message.get("deleted_at"):
            yield message


def rest(count: int) -> str:
    """Return what tells that there is more than the branch shown."""
    if not count:
        return ""
    what = "1 message stands" if count == 1 else f"{count:,} messages stand"
    return f"{what} on other branches; JSON has them."
