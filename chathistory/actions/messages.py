"""What can be said, and done to what was said."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import IntegrityError

from chathistory import crypto, keyring, records, text
from chathistory.conf import settings
from chathistory.exceptions import Conflict, Invalid, Stale
from chathistory.journal import Operation
from chathistory.models import Account, Message, Session
from chathistory.querysets import require
from chathistory.records import Body
from chathistory.search import upkeep
from chathistory.search.base import Doc, index

from . import accounts, packing, pipeline
from .pipeline import FOLLOW, Draft, alive, lock, touch
from .sessions import clean_metadata

_MOVED = ("last_seq", "head_seq", "message_count", "total_tokens", "last_activity")
#: The parent of a message that simply continues the branch shown.
HERE = object()


def append(
    session: Session,
    user: Any,
    role: str,
    content: str,
    *,
    message_id: UUID | None = None,
    parent: UUID | object | None = HERE,
    metadata: dict[str, Any] | None = None,
    blocks: list[dict[str, Any]] | None = None,
    raw: dict[str, Any] | None = None,
    tokens: int | None = None,
    status: str = Message.Status.COMPLETE,
    version: int | None = None,
) -> Message:
    """Add one message to a session; ``parent=None`` starts a new root.

    The same ``message_id`` and content again returns the message there is. Raises NotFound,
    NotAllowed, Invalid, LimitExceeded, Stale, or Conflict (id taken, session in the trash).
    """
    require(user, session, "write")
    body = Body(
        content=_said(content, status),
        metadata=clean_metadata(metadata),
        blocks=_clean_blocks(blocks),
        raw=_clean_raw(raw),
        author="" if _owns(user, session) or role != "user" else user.get_username(),
    )
    draft = Draft(text.clean_role(role), body, status=status, tokens=_clean_tokens(tokens))
    draft.prepare(keyring.account_keys(session.account).search)
    if message_id is not None:
        draft.uuid = message_id
        if (found := _repeated(user, message_id, session, draft)) is not None:
            return found
    try:
        return _append(session, _actor(user, session), draft, parent, version)
    except IntegrityError:
        found = _repeated(user, draft.uuid, session, draft)  # the same request, at once
        if found is None:
            raise
        return found


def _append(
    session: Session,
    actor: Account | None,
    draft: Draft,
    parent: UUID | object | None,
    version: int | None,
) -> Message:
    with Operation(session.account, actor, "message.append") as op:
        fresh = alive(lock(op, session, version=version))
        draft.parent_seq = _parent_seq(fresh, parent)
        before = _before(fresh)
        (message,) = pipeline.store(op, fresh, [draft])
        columns = pipeline.follow(fresh, [draft])
        fresh.last_activity = op.at
        touch(op, fresh, before, *_MOVED, *columns, *pipeline.wake(fresh))
    message.session = fresh
    return message


def _before(session: Session) -> dict[str, Any]:
    return {
        "head_seq": session.head_seq,
        "last_seq": session.last_seq,
        "state": session.state,
        "archived_at": str(session.archived_at or ""),
        "last_activity": session.last_activity.isoformat(),
        "title": records.title_of(session) if session.title else None,
    }


def _parent_seq(session: Session, parent: UUID | object | None) -> int | None:
    if parent is HERE:
        return FOLLOW
    if parent is None:
        return None
    seq = pipeline.seq_of(session, parent) if isinstance(parent, UUID) else None
    if seq is None:
        raise Invalid("Not a message of this session.", field="parent_id")
    return seq


def _repeated(user: Any, uuid: UUID, session: Session, draft: Draft) -> Message | None:
    if not Message.objects.filter(uuid=uuid).exists():
        return None
    found = Message.objects.visible_to(user, "read").filter(uuid=uuid, session=session).first()
    if found is None or found.deleted_at or found.role != draft.role:
        raise Conflict("This id is taken.", field="id")
    found.session = session
    if records.open_body(found, session).content != draft.body.content:
        raise Conflict("This id is taken by another text.", field="id")
    return found


def edit(message: Message, user: Any, content: str, *, changed: int | None = None) -> Message:
    """Change a text in place and keep the earlier one as a Revision.

    ``changed`` is the journal number the caller has read; Stale when it moved. The same text
    again writes nothing.
    """
    session = message.session
    require(user, session, "edit")
    content = text.clean(content)
    keyed = keyring.account_keys(session.account).search
    tokens = keyed.of_text(content)
    with Operation(session.account, _actor(user, session), "message.edit") as op:
        fresh = alive(lock(op, session))
        row = _lock_message(message, fresh, changed)
        if row.deleted_at is not None:
            raise Conflict("The message was removed meanwhile.")
        packed = records.open_packed(row, fresh)
        body = records.unpack(packed)
        if body.content != content:
            _replace(op, fresh, row, packed, body, content, tokens)
    return row


def _replace(
    op: Operation,
    session: Session,
    row: Message,
    packed: bytes,
    body: Body,
    content: str,
    tokens: str,
) -> None:
    said = row.edited_at or row.created_at
    packing.unpack_block(op, session, row)
    pipeline.keep_revision(op, row, session, row.revision, packed, said)
    pipeline.unindex(row, session)
    before = {
        "revision": row.revision,
        "edited_at": str(row.edited_at or ""),
        "tokens": row.tokens,
    }
    session_before = _before(session)
    body.content = content
    row.revision += 1
    key = keyring.session_key(op.account, session)
    context = records.body_context(row.uuid, session.uuid, row.role, row.revision)
    row.body = crypto.seal(key, body.pack(), context)
    session.total_tokens -= row.tokens
    row.tokens, row.length, row.edited_at = text.count_tokens(content), len(content), op.at
    session.total_tokens += row.tokens
    index().add([Doc(row.place, tokens)])
    row.indexed = upkeep.number()
    row.changed = op.record("message", row.uuid, session=session, before=before)
    row.save()
    columns = ["total_tokens"]
    if session.head_seq == row.seq:
        records.set_column(session, "preview", text.preview_of(content))
        columns += ["preview", "preview_revision"]
    columns += _retitle(session, row)
    touch(op, session, session_before, *columns)


def branch(message: Message, user: Any, content: str) -> Message:
    """Say something else at the same place: a sibling of ``message``, which stays."""
    session = message.session
    parent = None
    if message.parent_seq is not None:
        parent = session.messages.values_list("uuid", flat=True).get(seq=message.parent_seq)
    return append(session, user, message.role, content, parent=parent)


def delete(message: Message, user: Any, *, changed: int | None = None) -> Message:
    """Leave a tombstone in the tree: out of search and counts at once, gone at purge.

    Again does nothing. ``changed`` is as for ``edit``.
    """
    session = message.session
    require(user, session, "edit")
    with Operation(session.account, _actor(user, session), "message.delete") as op:
        fresh = alive(lock(op, session))
        row = _lock_message(message, fresh, changed)
        if row.deleted_at is None:
            _bury(op, fresh, row)
    return row


def _bury(op: Operation, session: Session, row: Message) -> None:
    pipeline.unindex(row, session)
    row.deleted_at = op.at
    row.changed = op.record("message", row.uuid, session=session, before={"deleted_at": None})
    row.save(update_fields=["deleted_at", "indexed", "changed"])
    session_before = _before(session)
    session.message_count -= 1
    session.total_tokens -= row.tokens
    columns = ["message_count", "total_tokens"]
    if session.head_seq == row.seq:
        records.set_column(session, "preview", "")
        columns += ["preview", "preview_revision"]
    columns += _retitle(session, row)
    touch(op, session, session_before, *columns)


def _retitle(session: Session, row: Message) -> list[str]:
    """Let an automatic title follow what is asked first, where ``row``, changed just now, was."""
    asked = session.messages.filter(role="user", deleted_at=None).order_by("seq")
    is_made = session.title is not None and session.title_source == Session.TitleSource.AUTO
    if row.role != "user" or not is_made or asked.filter(seq__lt=row.seq).exists():
        return []
    first = asked.first()
    body = first and records.or_damaged(records.open_body, first, session)
    if body and (title := text.title_from(body.content)):
        pipeline.set_title(session, title)
    else:
        pipeline.set_title(session, None)
    return ["title", "title_revision", "indexed"]


def _lock_message(message: Message, session: Session, changed: int | None) -> Message:
    row = Message.objects.filter(pk=message.pk, session=session).first()
    if row is None or (row.deleted_at and changed is not None):
        raise Conflict("The message was removed meanwhile.")
    if changed is not None and row.changed != changed:
        raise Stale(changed=row.changed, epoch=session.account.epoch)
    row.session = session
    return row


def _said(content: Any, status: str) -> str:
    if status not in Message.Status.values:
        raise Invalid("Either complete or failed.", field="status")
    if status == Message.Status.FAILED and content == "":
        return ""
    return text.clean(content)


def _clean_blocks(blocks: Any) -> list[dict[str, Any]]:
    if blocks is None:
        return []
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise Invalid("A list of JSON objects is needed.", field="blocks")
    _check_json(blocks, "blocks")
    return blocks


def _clean_raw(raw: Any) -> dict[str, Any] | None:
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise Invalid("A JSON object is needed.", field="raw")
    _check_json(raw, "raw")
    return raw


def _check_json(value: Any, field: str) -> None:
    try:
        packed = records.dump_strict(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"Not JSON: {error}.", field=field) from None
    text.check_characters(packed, field)
    text.check_length(f"Characters of {field}", len(packed), settings.MAX_MESSAGE_LENGTH, field)


def _clean_tokens(tokens: Any) -> int | None:
    if tokens is None:
        return None
    if not isinstance(tokens, int) or isinstance(tokens, bool) or not 0 <= tokens < 2**31:
        raise Invalid("A number of tokens from 0 to 2,147,483,647 is needed.", field="tokens")
    return tokens


def _owns(user: Any, session: Session) -> bool:
    return user is None or bool(session.account.user_id == user.pk)


def _actor(user: Any, session: Session) -> Account | None:
    if user is None:
        return None
    return session.account if _owns(user, session) else accounts.of(user)
