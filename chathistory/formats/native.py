"""Our own JSON: the founding document's session objects, completed until nothing is lost.

Written is `{"format": "django-chathistory", "version": 1, "exported_at": …, "sessions": […]}`,
a message a line. Read are that document, a bare session object, a list of them, or one a line.
Times are ISO 8601 in UTC; `tokens` counts tokens; `revisions` are earlier texts, oldest first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from chathistory.formats import loose, tree
from chathistory.formats.base import ROLES, FormatError, Malformed, Transcript, Turn
from chathistory.formats.fields import Fields
from chathistory.formats.times import to_iso

FORMAT = "django-chathistory"
VERSION = 1
TOKENS = 2**31 - 1
#: How often a message may have been changed.
REVISIONS = 1_000_000


def write(
    sessions: Iterable[dict[str, Any]], exported_at: datetime | None = None
) -> Iterator[bytes]:
    """Yield the document piece by piece; a session's `messages` may be any iterable of objects."""
    moment = to_iso(exported_at or datetime.now(UTC))
    head = encode({"format": FORMAT, "version": VERSION, "exported_at": moment})
    yield head[:-1] + b', "sessions": ['
    for index, session in enumerate(sessions):
        yield b",\n" if index else b"\n"
        yield from write_session(session)
    yield b"\n]}\n"


def write_session(session: dict[str, Any]) -> Iterator[bytes]:
    """Yield one session object, a message a line."""
    head = {key: item for key, item in session.items() if key != "messages"}
    yield encode(head)[:-1] + (b', "messages": [' if head else b'"messages": [')
    for index, message in enumerate(session.get("messages", ())):
        yield (b",\n" if index else b"\n") + encode(message)
    yield b"]}"


def write_lines(sessions: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Yield one session object a line (JSON Lines)."""
    for session in sessions:
        head = {key: item for key, item in session.items() if key != "messages"}
        yield encode(head)[:-1] + (b', "messages": [' if head else b'"messages": [')
        for index, message in enumerate(session.get("messages", ())):
            yield (b", " if index else b"") + encode(message)
        yield b"]}\n"


def encode(value: dict[str, Any]) -> bytes:
    """Return compact UTF-8 as it is read; NaN and infinities, which JSON has not, as null.

    What UTF-8 or 64 bits have no room for (lone surrogates, larger numbers) makes it ASCII.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def recognises(value: Any, header: dict[str, Any]) -> bool:
    """Tell whether this is our JSON; FormatError if a newer release wrote it."""
    if header.get("format") == FORMAT:
        if header.get("version", VERSION) != VERSION:
            given = header["version"]
            raise FormatError(f"The file is of version {given!r}; this release reads {VERSION}.")
        return True
    return (
        isinstance(value, dict)
        and "session_id" in value
        and isinstance(value.get("messages"), list)
    )


def transcript_to_dict(transcript: Transcript) -> dict[str, Any]:
    """Return the session object of a transcript; `dict_to_transcript` is its inverse."""
    return {
        "session_id": transcript.id,
        "workflow_type": transcript.workflow,
        "created_at": to_iso(transcript.created),
        "updated_at": to_iso(transcript.updated),
        "title": transcript.title,
        "title_source": transcript.title_source,
        "pinned": transcript.pinned,
        "tags": transcript.tags,
        "head_id": transcript.head,
        "origin": transcript.origin,
        "metadata": transcript.metadata,
        **transcript.extra,
        "messages": [_turn_to_dict(turn) for turn in transcript.turns],
    }


def _turn_to_dict(turn: Turn) -> dict[str, Any]:
    return {
        "id": turn.id,
        "parent_id": turn.parent,
        "role": turn.role,
        "author": turn.author,
        "content": turn.content,
        "blocks": turn.blocks,
        "timestamp": to_iso(turn.created),
        "edited_at": to_iso(turn.edited),
        "deleted_at": to_iso(turn.deleted),
        "status": turn.status,
        "tokens": turn.tokens,
        "revision": turn.revision,
        "revisions": [_revision_to_dict(revision) for revision in turn.revisions],
        "metadata": turn.metadata,
        "raw": turn.raw,
        **turn.extra,
    }


def _revision_to_dict(revision: dict[str, Any]) -> dict[str, Any]:
    rest = {key: item for key, item in revision.items() if key != "edited"}
    return {**rest, "edited_at": to_iso(revision.get("edited"))}


def dict_to_transcript(value: Any, where: str) -> Transcript:
    """Return the transcript of a session object; Malformed names the field that is wrong."""
    fields = Fields(value, where)
    turns = _turns(fields.need("messages", list), where)
    title, source = fields.take("title", str), fields.take("title_source", str)
    transcript = Transcript(
        origin=fields.take("origin", str) or "native",
        id=fields.need("session_id", str),
        title=title,
        workflow=fields.take("workflow_type", str),
        created=fields.moment("created_at"),
        updated=fields.moment("updated_at"),
        turns=turns,
        head=_head(fields, turns),
        metadata=_metadata(fields),
        tags=fields.items("tags", str),
        pinned=fields.take("pinned", bool) or False,
        title_source=source or ("user" if title else "auto"),
        where=where,
    )
    if transcript.title_source not in ("auto", "user"):
        raise Malformed(f"{where}.title_source", "is neither auto nor user")
    if not transcript.id:
        raise Malformed(f"{where}.session_id", "is empty")
    transcript.extra = fields.rest
    return transcript


def _head(fields: Fields, turns: list[Turn]) -> str | None:
    head = fields.take("head_id", str)
    if head is not None and all(turn.id != head for turn in turns):
        raise Malformed(f"{fields.path}.head_id", "is the id of no message here")
    return head


def _turns(messages: list[Any], where: str) -> list[Turn]:
    """The messages as a tree; as a chain in their order where none names a parent."""
    turns: dict[str, Turn] = {}
    chain = not any(isinstance(message, dict) and "parent_id" in message for message in messages)
    before: str | None = None
    for index, message in enumerate(messages):
        path = f"{where}.messages[{index}]"
        turn = _turn(Fields(message, path))
        turn.parent = before if chain else turn.parent
        turn.id = turn.id or _name(turn, turns)
        if turn.id in turns:
            raise Malformed(f"{path}.id", "is the id of an earlier message too")
        turns[turn.id], before = turn, turn.id
    return _parents_first(turns)


def _name(turn: Turn, turns: dict[str, Turn]) -> str:
    name = loose.name(turn)
    return f"{name}~{len(turns)}" if name in turns else name


def _parents_first(turns: dict[str, Turn]) -> list[Turn]:
    for turn in turns.values():
        if turn.parent is not None and turn.parent not in turns:
            turn.metadata, turn.parent = {**turn.metadata, "orphan_of": turn.parent}, None
    parents = tree.without_cycles({key: turn.parent for key, turn in turns.items()})
    for key, parent in parents.items():
        turns[key].parent = parent
    return [turns[key] for key in tree.parents_first(parents)]


def _turn(fields: Fields) -> Turn:
    deleted = fields.moment("deleted_at")
    turn = Turn(
        id=fields.take("id", str) or "",
        parent=fields.take("parent_id", str),
        role=_role(fields),
        content=_content(fields, deleted),
        created=fields.moment("timestamp"),
        author=fields.take("author", str) or "",
        blocks=fields.items("blocks", dict),
        metadata=_metadata(fields),
        raw=fields.take("raw", dict),
        status=fields.take("status", str) or "complete",
        edited=fields.moment("edited_at"),
        deleted=deleted,
        tokens=fields.number("tokens", 0, TOKENS),
        revision=fields.number("revision", 0, REVISIONS),
        revisions=_revisions(fields),
    )
    turn.extra = fields.rest
    return turn


def _metadata(fields: Fields) -> dict[str, Any]:
    """The metadata; it says so where a record did not open when this was written."""
    metadata = fields.take("metadata", dict) or {}
    # Else what is missing here would pass for what was never said.
    return {**metadata, "damaged": True} if fields.rest.get("damaged") is True else metadata


def _role(fields: Fields) -> str:
    role = fields.need("role", str)
    if role not in ROLES:
        raise Malformed(f"{fields.path}.role", f"is none of {', '.join(sorted(ROLES))}")
    return role


def _content(fields: Fields, deleted: datetime | None) -> str:
    """The text, which only a deleted message may lack."""
    return (fields.take("content", str) or "") if deleted else fields.need("content", str)


def _revisions(fields: Fields) -> list[dict[str, Any]]:
    revisions: dict[int, dict[str, Any]] = {}
    for index, value in enumerate(fields.items("revisions", dict)):
        one = Fields(value, f"{fields.path}.revisions[{index}]")
        number, content = one.number("revision", 1, REVISIONS), one.need("content", str)
        if number is None or number in revisions:
            wrong = "is missing" if number is None else "is the number of an earlier one too"
            raise Malformed(f"{one.path}.revision", wrong)
        edited = one.moment("edited_at")
        revisions[number] = {"revision": number, "content": content, "edited": edited, **one.rest}
    return list(revisions.values())
