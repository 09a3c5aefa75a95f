"""Sessions and messages as the JSON that the API answers and our export writes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from . import records, render, text
from .exceptions import Damaged
from .models import Account, Message, Session


def moment(value: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC with a Z."""
    if value is None:
        return None
    there = value if value.tzinfo is UTC else value.astimezone(UTC)
    return f"{there.isoformat()[:-6]}Z"  # for its +00:00


def user_id(account: Account) -> str:
    """Return the owner's name, or the account's uuid where the user is gone."""
    return account.user.get_username() if account.user else str(account.uuid)


def opened(session: Session) -> dict[str, Any]:
    """Return title, preview and metadata of a session; what does not open is None."""
    return {
        "title": records.or_damaged(records.title_of, session),
        "preview": records.or_damaged(records.preview_of, session),
        "metadata": records.or_damaged(records.metadata_of, session),
    }


def session_json(
    session: Session, *, owned: bool = True, parts: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return a session without its messages; a part that does not open is null, and says so.

    ``parts`` is what ``opened`` gave, and the tags' names, where they are at hand.
    """
    parts = parts or opened(session) | {"tags": tag_names(session) if owned else []}
    title, preview, metadata = parts["title"], parts["preview"], parts["metadata"]
    return {
        "session_id": str(session.uuid),
        "user_id": user_id(session.account),
        "workflow_type": session.workflow,
        "created_at": moment(session.created_at),
        "updated_at": moment(session.updated_at),
        "title": title,
        "title_source": session.title_source,
        "preview": preview,
        "state": session.state,
        "version": session.version,
        "pinned": session.pinned and owned,
        "tags": parts["tags"] if owned else [],
        "message_count": session.message_count,
        "hold": session.hold,
        "archived_at": moment(session.archived_at),
        "deleted_at": moment(session.deleted_at),
        "purge_after": moment(session.purge_after),
        "damaged": session.damaged > 0 or None in (title, preview, metadata),
        "metadata": {
            **(metadata or {}),
            "total_tokens": session.total_tokens,
            "last_activity": moment(session.last_activity),
            **({"compressed": True} if session.compressed else {}),
        },
    }


def tag_names(session: Session) -> list[str]:
    """Return a session's tags by name; one that does not open is left out."""
    names = (
        records.or_damaged(records.tag_name, tag, session.account) for tag in session.tags.all()
    )
    return sorted(name for name in names if name is not None)


def messages_json(
    session: Session, messages: Iterable[Message], *, html: bool = False
) -> list[dict[str, Any]]:
    """Return messages of one session; with ``content_html`` where ``html`` is asked for."""
    rows = list(messages)
    parents = parent_ids(session, rows)
    return [message_json(row, session, parents, html=html) for row in rows]


def parent_ids(session: Session, messages: Iterable[Message]) -> dict[int, str]:
    """Return the uuid of each message and of each one's parent, by seq, in one query."""
    known = {row.seq: str(row.uuid) for row in messages}
    wanted = {row.parent_seq for row in messages if row.parent_seq} - known.keys()
    if wanted:
        rows = session.messages.filter(seq__in=wanted).values_list("seq", "uuid")
        known |= {seq: str(uuid) for seq, uuid in rows}
    return known


def message_json(
    message: Message, session: Session, parents: dict[int, str], *, html: bool = False
) -> dict[str, Any]:
    """Return one message; ``damaged`` instead of content where the record does not open."""
    shown: dict[str, Any] = {
        "id": str(message.uuid),
        "session_id": str(session.uuid),
        "parent_id": parents.get(message.parent_seq) if message.parent_seq else None,
        "seq": message.seq,
        "role": message.role,
        "timestamp": moment(message.created_at),
        "edited_at": moment(message.edited_at),
        "deleted_at": moment(message.deleted_at),
        "revision": message.revision,
        "status": message.status,
        "tokens": message.tokens,
        "damaged": False,
    }
    if message.deleted_at is not None:
        return shown | {"author": "", "content": "", "blocks": [], "metadata": {}}
    try:
        body = records.open_body(message, session)
    except Damaged:
        empty: dict[str, Any] = {"author": "", "content": None, "blocks": [], "metadata": {}}
        return shown | empty | {"status": "damaged", "damaged": True}
    shown |= {
        "author": body.author,
        "content": body.content,
        "blocks": body.blocks,
        "metadata": body.metadata | text.facts(body.content),
    }
    return shown | ({"content_html": render.to_html(body.content)} if html else {})
