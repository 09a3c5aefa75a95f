"""Bringing one session back to what a scratch says it was: found out first, then written.

What is written is new: an earlier text becomes one more edit, what was said later a tombstone,
with before-images of all it replaces, so it can be undone like everything else.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, Q, Sum

from chathistory import bulk, crypto, keyring, records, text
from chathistory.backups.scratch import scratch
from chathistory.exceptions import Damaged
from chathistory.formats.base import Transcript, Turn
from chathistory.journal import Operation
from chathistory.models import Message, Session
from chathistory.records import Body
from chathistory.search import upkeep
from chathistory.states import State

from . import packing, pipeline, retention
from .pipeline import touch
from .sessions import tag_row

_AT_ONCE = 200
_PLAIN = ("pinned", "title_source")
_STATE = ("state", "archived_at", "deleted_at", "purge_after")
_TEXT = ("body", "block", "revision", "tokens", "length", "edited_at")


class Said(NamedTuple):
    """What is compared of a message; no digest where it does not open."""

    seq: int
    is_deleted: bool
    is_purged: bool
    digest: bytes | None


@dataclass(slots=True)
class Then:
    """A session as it was, or is."""

    columns: dict[str, Any]
    title: str | None
    metadata: dict[str, Any]
    tags: list[str]
    head: UUID | None
    messages: dict[UUID, Said]


@dataclass(slots=True)
class Difference:
    """What is to be done to one session, and to which of its messages."""

    uuid: UUID
    then: Then
    fields: list[str] = field(default_factory=list)
    #: Said later: they become tombstones.
    bury: list[UUID] = field(default_factory=list)
    #: Removed since: they come back.
    revive: list[UUID] = field(default_factory=list)
    #: Changed since: they say again what they said.
    retext: list[UUID] = field(default_factory=list)
    #: Not there any more.
    missing: list[UUID] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self.fields or self.bury or self.revive or self.retext or self.missing)

    @property
    def recovered(self) -> int:
        """Return how many messages come back."""
        return len({*self.revive, *self.retext, *self.missing})

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON, without a word that was said."""
        counted = Counter(
            recovered=self.recovered, removed=len(self.bury), changed=len(self.retext)
        )
        return {"session_id": str(self.uuid), "fields": self.fields, "messages": dict(+counted)}


# Reading, wherever the models are routed to


def sessions_of(account: UUID, uuids: Iterable[UUID]) -> list[Session]:
    """Return an account's sessions with all that ``read`` needs of them but their messages."""
    rows = Session.objects.filter(account__uuid=account, uuid__in=uuids).order_by("pk")
    found = list(rows.select_related("account").prefetch_related("tags"))
    if found:
        keyring.load_sessions(found[0].account, [(row.pk, row.uuid) for row in found])
    return found


def read(sessions: Sequence[Session]) -> dict[UUID, Then | Damaged]:
    """Return what each of ``sessions_of`` says, or why it does not open."""
    by_key = {session.pk: session for session in sessions}
    messages: dict[int, dict[UUID, Said]] = {pk: {} for pk in by_key}
    rows = Message.objects.filter(session__in=by_key).order_by("session", "seq")
    for row in rows.iterator(_AT_ONCE):
        row.session = by_key[row.session_id]
        messages[row.session_id][row.uuid] = _said(row, row.session)
    found: dict[UUID, Then | Damaged] = {}
    for session in sessions:
        try:
            found[session.uuid] = _then(session, messages[session.pk])
        except Damaged as error:
            found[session.uuid] = error
    return found


def _then(session: Session, messages: dict[UUID, Said]) -> Then:
    columns = (*_PLAIN, *_STATE, "last_activity")
    names = [records.tag_name(tag, session.account) for tag in session.tags.all()]
    heads = [uuid for uuid, said in messages.items() if said.seq == session.head_seq]
    return Then(
        columns={name: getattr(session, name) for name in columns},
        title=records.title_of(session) if session.title is not None else None,
        metadata=records.metadata_of(session),
        tags=sorted(names),
        head=heads[0] if heads else None,
        messages=messages,
    )


def _said(row: Message, session: Session) -> Said:
    packed = records.or_damaged(records.open_packed, row, session) if row.revision else b""
    digest = None if packed is None else hashlib.blake2b(packed, digest_size=16).digest()
    return Said(row.seq, row.deleted_at is not None, row.revision == 0, digest)


def transcript(session: Session) -> Transcript:
    """Return all of a session, to be imported with its own ids. Raises Damaged."""
    rows = list(session.messages.order_by("seq").prefetch_related("revisions"))
    uuids = {row.seq: str(row.uuid) for row in rows}
    title = records.title_of(session) if session.title is not None else None
    return Transcript(
        origin="native",
        id=str(session.uuid),
        title=title,
        title_source=session.title_source,
        workflow=session.workflow,
        created=session.created_at,
        updated=session.updated_at,
        turns=[_turn(row, session, uuids) for row in rows],
        head=uuids.get(session.head_seq or 0),
        metadata=records.metadata_of(session),
        tags=[records.tag_name(tag, session.account) for tag in session.tags.all()],
        pinned=session.pinned,
        where=str(session.uuid),
        extra={"state": session.state},
    )


def _turn(row: Message, session: Session, uuids: dict[int, str]) -> Turn:
    body = records.open_body(row, session) if row.revision else Body("")
    earlier = sorted(row.revisions.all(), key=lambda one: one.revision)
    return Turn(
        id=str(row.uuid),
        parent=uuids.get(row.parent_seq or 0),
        role=row.role,
        content=body.content,
        created=row.created_at,
        author=body.author,
        blocks=body.blocks,
        metadata=body.metadata,
        raw=body.raw,
        status=row.status,
        edited=row.edited_at,
        deleted=row.deleted_at,
        tokens=row.tokens,
        revision=row.revision,
        revisions=[
            {
                "revision": one.revision,
                "content": records.open_revision(one, session).content,
                "edited": one.said_at,
            }
            for one in earlier
        ],
    )


# Comparing


def compare(uuid: UUID, then: Then, now: Then) -> Difference:
    """Return what makes a session say again what it said then."""
    found = Difference(uuid, then)
    found.fields = _fields(then, now)
    for row, was in then.messages.items():
        _compare_message(found, row, was, now.messages.get(row))
    later = now.messages.keys() - then.messages.keys()
    found.bury += sorted(row for row in later if not now.messages[row].is_deleted)
    return found


def _fields(then: Then, now: Then) -> list[str]:
    changed = [name for name in _PLAIN if then.columns[name] != now.columns[name]]
    changed += ["state"] if then.columns["state"] != now.columns["state"] else []
    for name in ("title", "metadata", "tags"):
        changed += [name] if getattr(then, name) != getattr(now, name) else []
    # A head that is not there comes with its message.
    is_known = then.head is None or then.head in now.messages
    return changed + (["head"] if then.head != now.head and is_known else [])


def _compare_message(found: Difference, row: UUID, was: Said, now: Said | None) -> None:
    if was.is_purged or (now is not None and now.is_purged):
        return
    if now is None:
        found.missing.append(row)
    elif was.is_deleted:
        found.bury += [] if now.is_deleted else [row]
    elif was.digest is None:
        found.problems.append(f"message {row}: It does not open in the backup.")
    else:
        found.revive += [row] if now.is_deleted else []
        found.retext += [row] if was.digest != now.digest else []


# Writing


def apply(op: Operation, session: Session, what: Difference, where: Path) -> None:
    """Write a difference; ``session`` is locked and carries its account, ``where`` the scratch.

    Messages that are missing are not brought: an import does that.
    """
    before: dict[str, Any] = {"last_activity": session.last_activity.isoformat()}
    columns = ["last_activity", *_set_columns(op, session, what, before)]
    _bury(op, session, what.bury)
    for start in range(0, len(what.revive), _AT_ONCE):
        _revive(op, session, what.revive[start : start + _AT_ONCE])
    for start in range(0, len(what.retext), _AT_ONCE):
        some = what.retext[start : start + _AT_ONCE]
        _retext(op, session, some, _texts(some, where))
    columns += _derive(session)
    touch(op, session, before, *columns)


def _set_columns(
    op: Operation, session: Session, what: Difference, before: dict[str, Any]
) -> list[str]:
    then, columns = what.then, []
    for name in set(_PLAIN) & set(what.fields):
        before[name] = getattr(session, name)
        setattr(session, name, then.columns[name])
        columns.append(name)
    was_in_trash = session.state == State.DELETED
    if "state" in what.fields:
        columns += _set_state(op.at, session, then, before)
    # Taken out of the trash it counts as used: else it might go back at once.
    session.last_activity = op.at if was_in_trash else then.columns["last_activity"]
    if "head" in what.fields:
        before["head_seq"] = session.head_seq
        heads = session.messages.filter(uuid=then.head) if then.head else session.messages.none()
        session.head_seq = heads.values_list("seq", flat=True).first()
        columns.append("head_seq")
    if "metadata" in what.fields:
        before["metadata"] = records.or_damaged(records.metadata_of, session) or {}
        upkeep.drop_titles([session])
        records.set_column(session, "metadata", then.metadata)
        upkeep.add_titles([session])
        columns += ["metadata", "metadata_revision"]
    if "tags" in what.fields:
        before["tags"] = sorted(str(row.uuid) for row in session.tags.all())
        session.tags.set([tag_row(op, name) for name in then.tags])
    return columns + (_set_title(session, then, before) if "title" in what.fields else [])


def _set_state(at: datetime, session: Session, then: Then, before: dict[str, Any]) -> list[str]:
    before |= {"state": session.state}
    before |= {name: str(getattr(session, name) or "") for name in _STATE[1:]}
    if then.columns["state"] == State.DELETED:
        # Its time in the trash begins anew.
        keep = retention.trash_for(session)
        session.deleted_at, session.purge_after = at, at + keep if keep else None
    else:
        session.deleted_at = session.purge_after = None
    session.state, session.archived_at = then.columns["state"], then.columns["archived_at"]
    return list(_STATE)


def _set_title(session: Session, then: Then, before: dict[str, Any]) -> list[str]:
    title = records.or_damaged(records.title_of, session) if session.title is not None else None
    before["title"] = title
    upkeep.drop_titles([session])
    records.set_column(session, "title", then.title)
    upkeep.add_titles([session])
    return ["title", "title_revision"]


def _rows(session: Session, uuids: Sequence[UUID]) -> list[Message]:
    found = list(session.messages.filter(uuid__in=uuids, revision__gt=0).order_by("seq"))
    for row in found:
        row.session = session
    return found


def _bury(op: Operation, session: Session, uuids: Sequence[UUID]) -> None:
    for start in range(0, len(uuids), _AT_ONCE):
        found = _rows(session, uuids[start : start + _AT_ONCE])
        upkeep.drop(found)
        for row in found:
            row.deleted_at = op.at
            before = {"deleted_at": None}
            row.changed = op.record("message", row.uuid, session=session, before=before)
        bulk.update_all(found, ["deleted_at", "changed"])


def _revive(op: Operation, session: Session, uuids: Sequence[UUID]) -> None:
    found = _rows(session, uuids)
    for row in found:
        before = {"deleted_at": str(row.deleted_at or "")}
        row.deleted_at = None
        row.changed = op.record("message", row.uuid, session=session, before=before)
    bulk.update_all(found, ["deleted_at", "changed"])
    upkeep.add(found)


def _texts(uuids: Sequence[UUID], where: Path) -> dict[UUID, tuple[Body, int]]:
    """Return what messages said then, and how many tokens that was counted as."""
    with scratch(where):
        rows = Message.objects.filter(uuid__in=uuids).select_related("session__account")
        return {row.uuid: (records.open_body(row, row.session), row.tokens) for row in rows}


def _retext(
    op: Operation, session: Session, uuids: Sequence[UUID], texts: dict[UUID, tuple[Body, int]]
) -> None:
    key = keyring.session_key(op.account, session)
    for block in {row.block_id: row for row in _rows(session, uuids) if row.block_id}.values():
        packing.unpack_block(op, session, block)
    found = _rows(session, uuids)
    upkeep.drop(found)
    for row in found:
        _keep(op, session, row)
        before = {
            "revision": row.revision,
            "edited_at": str(row.edited_at or ""),
            "tokens": row.tokens,
        }
        body, row.tokens = texts[row.uuid]
        row.revision, row.length, row.edited_at = row.revision + 1, len(body.content), op.at
        context = records.body_context(row.uuid, session.uuid, row.role, row.revision)
        row.body = crypto.seal(key, body.pack(), context)
        row.changed = op.record("message", row.uuid, session=session, before=before)
    bulk.update_all(found, [*_TEXT, "changed"])
    upkeep.add(found)


def _keep(op: Operation, session: Session, row: Message) -> None:
    """Keep the text there is as a Revision; one that does not open is not kept."""
    try:
        packed = records.open_packed(row, session)
    except Damaged:
        return
    said = row.edited_at or row.created_at
    pipeline.keep_revision(op, row, session, row.revision, packed, said)


def _derive(session: Session) -> list[str]:
    alive = Q(deleted_at=None)
    sums = session.messages.filter(alive).aggregate(count=Count("pk"), tokens=Sum("tokens"))
    session.message_count, session.total_tokens = sums["count"], sums["tokens"] or 0
    shown = session.messages.filter(alive, seq=session.head_seq or 0).first()
    body = shown and records.or_damaged(records.open_body, shown, session)
    records.set_column(session, "preview", text.preview_of(body.content) if body else "")
    return ["message_count", "total_tokens", "preview", "preview_revision"]
