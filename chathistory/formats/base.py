"""The neutral shape every reader gives and every writer takes, and what can go wrong.

Times are aware UTC datetimes or None, text is as it was said (lone surrogates and NUL
included: the verb that stores it decides), ids are the source's own, never ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})


@dataclass(slots=True)
class Turn:
    """One message. `parent` is the nearest ancestor that is itself a turn, or None for a root.

    `raw` is the provider's item verbatim; `revisions` are earlier texts, oldest first, each
    `{"revision": int, "content": str, "edited": datetime | None}`; `revision` is the number
    of the present text where the source counts them; `extra` holds unknown fields of our JSON.
    """

    id: str
    parent: str | None
    role: str
    content: str
    created: datetime | None = None
    author: str = ""
    blocks: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] | None = None
    status: str = "complete"
    edited: datetime | None = None
    deleted: datetime | None = None
    tokens: int | None = None
    revision: int | None = None
    revisions: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Transcript:
    """One chat. `turns` stand parents before children; `head` is the turn shown last.

    `head` is None where the source does not say; `title_source` is "auto" or "user" ("user"
    also for a title that came with an import: nothing may overwrite it); `where` is the path
    in the file, such as `conversations[3]`; `extra` holds other fields of our JSON (state, …);
    `apart` is what tells a chat from others that its source gives the same id.
    """

    origin: str
    id: str
    title: str | None = None
    workflow: str | None = None
    created: datetime | None = None
    updated: datetime | None = None
    turns: list[Turn] = field(default_factory=list)
    head: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    pinned: bool = False
    title_source: str = "auto"
    where: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    apart: str = ""


@dataclass(slots=True)
class Problem:
    """One chat, or one stretch of the file, that could not be read, and why."""

    where: str
    id: str | None
    title: str | None
    reason: str


class FormatError(ValueError):
    """The whole file is refused. The message says why, in plain English."""


class Malformed(ValueError):
    """One chat is refused: `path` names the field, `reason` says what is wrong with it."""

    def __init__(self, path: str, reason: str) -> None:
        """Join both into one message, such as `sessions[2].messages[5].role is missing`."""
        super().__init__(f"{path} {reason}")
        self.path = path
        self.reason = reason
