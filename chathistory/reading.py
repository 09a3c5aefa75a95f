"""What the pages show: rows opened, and the branch of a conversation in windows."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Self
from uuid import UUID

from django.utils.safestring import mark_safe

from . import cache, keyring, represent, workflows
from .exceptions import NotFound
from .models import Message, Session
from .states import State
from .workflows import Workflow

#: Roles that speak; what the others say is folded away.
SPEAKERS = ("user", "assistant")


@dataclass(frozen=True, slots=True)
class Card:
    """A session as lists show it; title and preview are None where they do not open."""

    session: Session
    title: str | None
    preview: str | None
    workflow: Workflow
    #: The owner's name, where it is somebody else.
    owner: str = ""

    @property
    def in_trash(self) -> bool:
        """Whether the session was thrown away."""
        return self.session.state == State.DELETED

    @property
    def archived(self) -> bool:
        """Whether the session was put away."""
        return self.session.state == State.ARCHIVED

    @property
    def may_resume(self) -> bool:
        """Whether anybody answers in this kind of chat."""
        return bool(self.workflow.responder) and not self.in_trash


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as the API gives it, and the ids of all its versions, itself among them."""

    shown: dict[str, Any]
    versions: Sequence[str] = ()

    @property
    def speaks(self) -> bool:
        """Whether a person or the model says this."""
        return self.shown["role"] in SPEAKERS

    @property
    def failed(self) -> bool:
        """Whether this is an answer that did not come to its end."""
        return bool(self.shown["status"] == Message.Status.FAILED)

    @property
    def number(self) -> int:
        """Which of its versions this is, from 1."""
        return self.versions.index(self.shown["id"]) + 1

    @property
    def previous(self) -> str | None:
        """The id of the version before this one."""
        return self.versions[self.number - 2] if self.number > 1 else None

    @property
    def next(self) -> str | None:
        """The id of the version after this one."""
        return self.versions[self.number] if self.number < len(self.versions) else None


@dataclass(frozen=True, slots=True)
class Window:
    """Part of a branch, and the seq that asks for what stands before or after it."""

    entries: list[Entry] = field(default_factory=list)
    earlier: int | None = None
    later: int | None = None
    #: The session's title, preview and metadata, opened.
    parts: dict[str, Any] | None = None

    @property
    def waits(self) -> bool:
        """Whether the branch ends in a question without an answer, or with one that failed."""
        last = self.entries[-1] if self.entries and not self.later else None
        return last is not None and (last.failed or last.shown["role"] == "user")


class Tree:
    """Who follows whom in a session, by seq. Tombstones are passed through, never shown."""

    def __init__(self, rows: Iterable[tuple[int, int | None, bool]]) -> None:
        self.parents: dict[int, int | None] = {}
        self.children: dict[int | None, list[int]] = {}
        self._buried: set[int] = set()
        for seq, parent, is_buried in rows:
            self.parents[seq] = parent
            self.children.setdefault(parent, []).append(seq)
            if is_buried:
                self._buried.add(seq)

    @classmethod
    def of(cls, session: Session) -> Self:
        """Read the tree of a session, without any text."""
        rows = session.messages.order_by("seq").values_list("seq", "parent_seq", "deleted_at")
        return cls((seq, parent, deleted_at is not None) for seq, parent, deleted_at in rows)

    def path(self, leaf: int | None) -> list[int]:
        """Return what is shown from a root down to ``leaf``."""
        path: list[int] = []
        while leaf in self.parents and leaf is not None:
            path.append(leaf)
            leaf = self.parents[leaf]
        return [seq for seq in reversed(path) if seq not in self._buried]

    def through(self, seq: int, head: int | None) -> list[int]:
        """Return the branch shown if ``seq`` is on it, else the newest one that passes it."""
        shown = self.path(head)
        if seq in shown:
            return shown
        leaf = seq
        while below := self.children.get(leaf):
            leaf = below[-1]
        return self.path(leaf)

    def versions(self, seq: int) -> list[int]:
        """Return ``seq`` and its siblings, oldest first."""
        return [one for one in self.children[self.parents[seq]] if one not in self._buried]


def cards(sessions: Iterable[Session], user: Any) -> list[Card]:
    """Open sessions for a list; their keys are loaded together."""
    rows = list(sessions)
    for _, group in groupby(sorted(rows, key=_owner), key=_owner):
        own = list(group)
        keyring.load_sessions(own[0].account, {(row.pk, row.uuid) for row in own})
    table = workflows.known()
    return [_card(row, user, table) for row in rows]


def card(session: Session, user: Any, parts: dict[str, Any] | None = None) -> Card:
    """Open one session, unless its ``parts`` are at hand."""
    return _card(session, user, workflows.known(), parts)


def _card(
    session: Session, user: Any, table: dict[str, Workflow], parts: dict[str, Any] | None = None
) -> Card:
    mine = session.account.user_id == user.pk
    parts = parts or represent.opened(session)
    return Card(
        session=session,
        title=parts["title"],
        preview=parts["preview"],
        workflow=table.get(session.workflow) or Workflow(session.workflow, session.workflow),
        owner="" if mine else represent.user_id(session.account),
    )


def _owner(session: Session) -> int:
    return session.account_id


def window(
    session: Session,
    size: int,
    *,
    message: UUID | None = None,
    before: int | None = None,
    after: int | None = None,
) -> Window:
    """Return up to ``size`` messages of the branch shown, or of the newest through ``message``.

    They are those right before or after a seq, or those around ``message``, or the last ones.
    Raises NotFound when ``message`` is not of this session.
    """
    asked = {"message": message, "before": before, "after": after}
    name = "-".join([f"branch-{size}", *(f"{k}={v}" for k, v in asked.items() if v is not None)])
    page = cache.page(session, name, lambda: _opened(session, size, message, before, after))
    return Window(
        [Entry(_safe(shown), versions) for shown, versions in page["entries"]],
        page["earlier"],
        page["later"],
        page["parts"],
    )


def _safe(shown: dict[str, Any]) -> dict[str, Any]:
    """Mark as safe what the renderer made, whether it comes from a cache or not."""
    html = shown.get("content_html")
    return shown if html is None else shown | {"content_html": mark_safe(html)}  # noqa: S308


def _opened(
    session: Session, size: int, message: UUID | None, before: int | None, after: int | None
) -> tuple[dict[str, Any], bool]:
    """Return a window as JSON, and whether all of it opened."""
    tree = Tree.of(session)
    target = None if message is None else _seq(session, message)
    path = tree.path(session.head_seq) if target is None else tree.through(target, session.head_seq)
    if after is not None:
        start = bisect_right(path, after)
    elif before is not None or target is None:
        end = len(path) if before is None else bisect_left(path, before)
        start, size = max(0, end - size), min(size, end)
    else:
        start = max(0, min(path.index(target) - size // 2, len(path) - size))
    end = start + size
    parts, entries = represent.opened(session), _entries(session, tree, path[start:end])
    page = {
        "entries": entries,
        "earlier": path[start] if 0 < start < len(path) else None,
        "later": path[end - 1] if end < len(path) else None,
        "parts": parts,
    }
    return page, None not in parts.values() and not any(shown["damaged"] for shown, _ in entries)


def _seq(session: Session, message: UUID) -> int:
    rows = session.messages.filter(uuid=message, deleted_at=None)
    seq = rows.values_list("seq", flat=True).first()
    if seq is None:
        raise NotFound("There is no such message in this chat.")
    return seq


def _entries(
    session: Session, tree: Tree, seqs: list[int]
) -> list[tuple[dict[str, Any], list[str]]]:
    rows = list(session.messages.filter(seq__in=seqs).order_by("seq"))
    versions = {seq: tree.versions(seq) for seq in seqs}
    several = {one for group in versions.values() if len(group) > 1 for one in group}
    names = dict(session.messages.filter(seq__in=several).values_list("seq", "uuid"))
    shown = represent.messages_json(session, rows, html=True)
    return [
        (json, [str(names[seq]) for seq in versions[row.seq] if seq in names])
        for row, json in zip(rows, shown, strict=True)
    ]
