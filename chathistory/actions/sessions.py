"""What can be done to a session."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import IntegrityError

from chathistory import ids, keyring, records, states, text, workflows
from chathistory.conf import settings
from chathistory.exceptions import Conflict, Invalid, NotFound
from chathistory.journal import Operation
from chathistory.models import Message, Session, Tag
from chathistory.querysets import require

from . import accounts, lifecycle, pipeline, retention
from .pipeline import Draft, alive, lock, touch


def open(user: Any, workflow: str, session_id: UUID | str | None = None) -> Session:
    """Load a session of ``workflow``, or create one when no id is given.

    Raises NotFound for an id of another workflow or of somebody else.
    """
    if session_id is None:
        return create(user, workflow)
    session = Session.objects.reach(user, as_uuid(session_id, "session_id"), "read")
    if session.workflow != workflow:
        raise NotFound("There is no such session in this workflow.")
    return session


def create(
    user: Any,
    workflow: str,
    *,
    session_id: UUID | None = None,
    title: str | None = None,
    metadata: dict[str, Any] | None = None,
) -> Session:
    """Create a session. The same id, workflow and title again returns the one there is.

    Raises Invalid, LimitExceeded, or Conflict when the id is taken by anything else.
    """
    workflow = workflows.get(workflow).name
    title = None if title is None else text.clean_title(title)
    metadata = clean_metadata(metadata)
    account = accounts.of(user)
    if session_id is not None and (found := _repeated(user, session_id, workflow, title)):
        return found
    session = Session(account=account, workflow=workflow, uuid=session_id or ids.new_id())
    try:
        with Operation(account, account, "session.create") as op:
            _insert(op, session, title, metadata)
    except IntegrityError:
        found = _repeated(user, session.uuid, workflow, title)  # the same request, at once
        if found is None:
            raise
        return found
    return session


def _insert(op: Operation, session: Session, title: str | None, metadata: dict[str, Any]) -> None:
    session.account = op.account
    session.created_at = session.updated_at = session.last_activity = op.at
    session.changed = op.record("session", session.uuid, session=session)
    session.save(force_insert=True)
    keyring.make_session_keys(op.account, [session])
    if title is not None:
        session.title_source = Session.TitleSource.USER
        pipeline.set_title(session, title)
    if metadata:
        pipeline.set_metadata(session, metadata)
    if title is not None or metadata:
        session.save()


def _repeated(user: Any, uuid: UUID, workflow: str, title: str | None) -> Session | None:
    if not Session.objects.filter(uuid=uuid).exists():
        return None
    found = Session.objects.mine(user).select_related("account").filter(uuid=uuid).first()
    if found is None or found.workflow != workflow:
        raise Conflict("This id is taken.", field="session_id")
    if title is not None and records.title_of(found) != title:
        raise Conflict("This id is taken.", field="session_id")
    return found


def rename(session: Session, user: Any, title: str, *, version: int | None = None) -> Session:
    """Give a title that automatic titles never overwrite."""
    return change(session, user, title=title, version=version)


def pin(session: Session, user: Any, pinned: bool = True, *, version: int | None = None) -> Session:
    """Pin a session to the top of its owner's list, or let it go."""
    return change(session, user, pinned=pinned, version=version)


def tag(
    session: Session, user: Any, names: Iterable[str], *, version: int | None = None
) -> Session:
    """Give a session exactly these tags."""
    return change(session, user, tags=names, version=version)


def retag(session: Session, user: Any, names: Iterable[str], *, add: bool) -> Session:
    """Add tags to a session, or take them off, whatever else it is tagged with."""
    require(user, session, "own")
    wanted = clean_tags(names)
    with Operation(session.account, _actor(user), "session.change") as op:
        fresh = alive(lock(op, session))
        has = [records.tag_name(row, op.account) for row in fresh.tags.all()]
        folded = {name.casefold() for name in wanted}
        kept = [name for name in has if add or name.casefold() not in folded]
        before: dict[str, Any] = {}
        _retag(op, fresh, clean_tags([*kept, *(wanted if add else [])]), before)
        if before:
            touch(op, fresh, before)
    return fresh


def change(
    session: Session,
    user: Any,
    *,
    title: str | None = None,
    pinned: bool | None = None,
    tags: Iterable[str] | None = None,
    metadata: dict[str, Any] | None = None,
    version: int | None = None,
) -> Session:
    """Change what is given, in one operation; nothing new writes nothing.

    Raises NotFound, NotAllowed, Invalid, LimitExceeded, Conflict (in the trash) or Stale when
    ``version`` is not the current one.
    """
    require(user, session, "edit")
    if pinned is not None or tags is not None:
        require(user, session, "own")
    title = None if title is None else text.clean_title(title)
    if not isinstance(pinned, bool | None):
        raise Invalid("Either true or false.", field="pinned")
    names = None if tags is None else clean_tags(tags)
    metadata = None if metadata is None else clean_metadata(metadata)
    with Operation(session.account, _actor(user), "session.change") as op:
        fresh = alive(lock(op, session, version=version))
        before: dict[str, Any] = {}
        columns = _retitle(fresh, title, before) + _pin(fresh, pinned, before)
        columns += _set_metadata(fresh, metadata, before)
        _retag(op, fresh, names, before)
        if before:
            touch(op, fresh, before, *dict.fromkeys(columns))
    return fresh


def _retitle(session: Session, title: str | None, before: dict[str, Any]) -> list[str]:
    old = records.title_of(session)
    if title is None or (title == old and session.title_source == Session.TitleSource.USER):
        return []
    before |= {"title": old if session.title else None, "title_source": session.title_source}
    session.title_source = Session.TitleSource.USER
    pipeline.set_title(session, title)
    return ["title", "title_revision", "title_source", "indexed"]


def _pin(session: Session, pinned: bool | None, before: dict[str, Any]) -> list[str]:
    if pinned is None or pinned == session.pinned:
        return []
    before["pinned"] = session.pinned
    session.pinned = pinned
    return ["pinned"]


def _set_metadata(
    session: Session, metadata: dict[str, Any] | None, before: dict[str, Any]
) -> list[str]:
    old = records.metadata_of(session)
    if metadata is None or metadata == old:
        return []
    before["metadata"] = old
    pipeline.set_metadata(session, metadata)
    return ["metadata", "metadata_revision", "indexed"]


def _retag(
    op: Operation, session: Session, names: list[str] | None, before: dict[str, Any]
) -> None:
    if names is None:
        return
    old = set(session.tags.all())
    new = {tag_row(op, name) for name in names}
    if new != old:
        before["tags"] = sorted(str(row.uuid) for row in old)
        session.tags.set(new)


def tag_row(op: Operation, name: str) -> Tag:
    """Return the account's tag of this name, made when there is none."""
    digest = records.tag_digest(op.account, name)
    found = Tag.objects.filter(account=op.account, digest=digest).first()
    if found is not None:
        return found
    row = Tag(account=op.account, digest=digest, created_at=op.at)
    row.name = records.seal_tag(op.account, row.uuid, name)
    row.changed = op.record("tag", row.uuid)
    row.save(force_insert=True)
    return row


def delete(session: Session, user: Any, *, version: int | None = None) -> Session:
    """Move a session to the trash; again does nothing."""
    require(user, session, "delete")
    return _move(session, user, "delete", version)


def restore(session: Session, user: Any, *, version: int | None = None) -> Session:
    """Take a session out of the trash; again does nothing."""
    require(user, session, "own")
    return _move(session, user, "restore", version)


def _move(session: Session, user: Any, verb: str, version: int | None) -> Session:
    with Operation(session.account, _actor(user), f"session.{verb}") as op:
        fresh = lock(op, session, version=version)
        if fresh.purging_at is not None and verb == "restore":
            raise Conflict("The session is being removed for good.")
        if states.after(verb, fresh.state) is not None:
            keep = retention.trash_for(fresh) if verb == "delete" else None
            before, columns = lifecycle.move(fresh, verb, op.at, keep)
            touch(op, fresh, before, *columns)
        elif fresh.state not in states.TRANSITIONS[verb].values():
            raise Conflict(f"A session that is {fresh.state} cannot be: {verb}.")
    return fresh


def fork(session: Session, user: Any, *, at: UUID | None = None) -> Session:
    """Copy the branch that ends at message ``at`` (by default the one shown) into a new session.

    Whoever may read a session may fork it; the copy is theirs. Raises Invalid when ``at`` is not
    a message of this session.
    """
    require(user, session, "read")
    account = accounts.of(user)
    leaf = session.head_seq if at is None else pipeline.seq_of(session, at)
    if leaf is None and at is not None:
        raise Invalid("Not a message of this session.", field="message_id")
    drafts = _copies(session, branch(session, leaf))
    keyed = keyring.account_keys(account).search
    copy = Session(account=account, workflow=session.workflow)
    metadata = records.metadata_of(session) | {"forked_from": str(session.uuid)}
    with Operation(account, account, "session.fork") as op:
        _insert(op, copy, records.title_of(session) if session.title else None, metadata)
        copy.title_source = session.title_source
        pipeline.store(op, copy, [draft.prepare(keyed) for draft in drafts])
        pipeline.follow(copy, drafts)
        copy.save()
    return copy


def branch(session: Session, leaf: int | None) -> list[Message]:
    """Return the messages from a root to ``leaf``, tombstones left out."""
    parents = dict(session.messages.values_list("seq", "parent_seq"))
    path: list[int] = []
    while leaf is not None and leaf in parents:
        path.append(leaf)
        leaf = parents[leaf]
    rows = {row.seq: row for row in session.messages.filter(seq__in=path, deleted_at=None)}
    return [rows[seq] for seq in reversed(path) if seq in rows]


def _copies(session: Session, messages: Iterable[Message]) -> list[Draft]:
    return [
        Draft(
            role=row.role,
            body=_body_of(row, session),
            status=row.status,
            tokens=row.tokens,
            created_at=row.created_at,
        )
        for row in messages
    ]


def _body_of(row: Message, session: Session) -> records.Body:
    """Return a body for a copy, which knows of no edit: what still says the old text stays out."""
    body = records.open_body(row, session)
    return body if row.revision == 1 else replace(body, raw=None)


def clean_tags(names: Any) -> list[str]:
    """Return distinct tag names, whatever their case. Raises Invalid or LimitExceeded."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise Invalid("A list of tags is needed.", field="tags")
    found: dict[str, str] = {}
    for name in names:
        cleaned = text.clean_tag(name)
        found.setdefault(cleaned.casefold(), cleaned)
    text.check_length("Tags of a session", len(found), settings.MAX_TAGS, "tags")
    return list(found.values())


def clean_metadata(metadata: Any, limit: int | None = None) -> dict[str, Any]:
    """Return metadata as it will be stored: MAX_METADATA_BYTES of JSON unless ``limit`` is given.

    Raises Invalid or LimitExceeded.
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise Invalid("A JSON object is needed.", field="metadata")
    try:
        packed = records.dump_strict(metadata)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"Not JSON: {error}.", field="metadata") from None
    text.check_characters(packed, "metadata")
    size = len(packed.encode())
    text.check_length("Bytes of metadata", size, limit or settings.MAX_METADATA_BYTES, "metadata")
    return metadata


def as_uuid(value: UUID | str, field: str) -> UUID:
    """Return a UUID. Raises Invalid."""
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except (ValueError, AttributeError, TypeError):
        raise Invalid("Not a UUID.", field=field) from None


def _actor(user: Any) -> Any:
    return None if user is None else accounts.of(user)
