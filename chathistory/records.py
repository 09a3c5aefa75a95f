"""Sealed columns of sessions, messages, tags and jobs: from values to records and back."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache, reduce
from operator import getitem
from typing import Any
from uuid import UUID

from . import blocks, crypto, keyring, text
from .crypto import Context, Key
from .exceptions import Damaged
from .models import Account, Change, Job, Message, Revision, Session, Tag
from .packed import content_of as content_of

#: A NUL as JSON writes it: after an even number of backslashes.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_SHORT = 64  # bytes of a text that may as well stand there twice


@dataclass(slots=True)
class Body:
    """What one message holds: text, provider's blocks, the caller's metadata, the raw item."""

    content: str
    blocks: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] | None = None
    author: str = ""

    def pack(self) -> bytes:
        """Return the body as ``packed`` describes it; what repeats the text is where it was."""
        content = self.content.encode()
        rest = {
            "blocks": self.blocks,
            "metadata": self.metadata,
            "raw": self.raw,
            "author": self.author,
        }
        kept = {name: value for name, value in rest.items() if value}
        if kept and len(content) > _SHORT:
            repeats: list[list[Any]] = []
            kept = _without(kept, self.content, [], repeats)
            kept |= {"repeats": repeats} if repeats else {}
        return len(content).to_bytes(4, "big") + content + (dump(kept) if kept else b"")


def unpack(packed: bytes) -> Body:
    """Return the body that ``Body.pack`` gave."""
    end = 4 + int.from_bytes(packed[:4], "big")
    content = packed[4:end].decode()
    if len(packed) == end:
        return Body(content)
    rest = json.loads(packed[end:])
    for *path, last in rest.pop("repeats", ()):
        reduce(getitem, path, rest)[last] = content
    return Body(content, **rest)


def _without(value: Any, content: str, path: list[Any], repeats: list[list[Any]]) -> Any:
    """Return a list or an object without the texts that repeat ``content``; note their places."""
    made = value.copy()
    for key, one in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(one, dict | list):
            made[key] = _without(one, content, [*path, key], repeats)
        elif one == content:
            made[key] = None
            repeats.append([*path, key])
    return made


def dump(value: Any) -> bytes:
    """Return compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def body_context(row: UUID, session: UUID, role: str, revision: int) -> Context:
    """Return where a message's body belongs."""
    return Context("message", "body", row, session, role, revision)


def open_packed(message: Message, session: Session) -> bytes:
    """Return a message's packed body, from its block where it is in one. Raises Damaged."""
    if message.block_id is not None:
        return _from_block(message, session)
    key = keyring.session_key(session.account, session, crypto.key_version(message.body))
    context = body_context(message.uuid, session.uuid, message.role, message.revision)
    return crypto.unseal(key, message.body, context)


def _from_block(message: Message, session: Session) -> bytes:
    try:
        return blocks.body(message, session)
    except Damaged:
        # Somebody may have unpacked it, and then even edited it, since the row was read.
        elsewhere = Message.objects.filter(pk=message.pk).exclude(block=message.block_id)
        moved = elsewhere.first()
        if moved is None:
            raise
    if moved.revision == message.revision:
        return open_packed(moved, session)
    earlier = Revision.objects.filter(message=moved, revision=message.revision).first()
    if earlier is None:
        raise Damaged("The message was removed meanwhile.")
    return _earlier(earlier, session)


def open_body(message: Message, session: Session) -> Body:
    """Return a message's body. Raises Damaged."""
    return unpack(open_packed(message, session))


class Opener:
    """Opens what is sealed of one session, many records at a time, by keys that are at hand."""

    def __init__(self, session: Session, keys: dict[int, Key]) -> None:
        self._session, self._uuid, self._keys = session, session.uuid.bytes, keys

    def body(self, row: bytes, role: str, revision: int, record: bytes) -> Body:
        """Return the body of the message whose uuid has these bytes, and that is in no block.

        Raises Damaged.
        """
        place = crypto.place(_names_of_body(role), row, self._uuid, revision)
        return unpack(self._open(record, place))

    def columns(self) -> dict[str, Any]:
        """Return title, preview and metadata; what does not open is None."""
        title = or_damaged(self._column, "title")
        preview = or_damaged(self._column, "preview")
        metadata = or_damaged(self._column, "metadata")
        return {
            "title": None if title is None else title.decode() or text.untitled(self._session.uuid),
            "preview": None if preview is None else preview.decode(),
            "metadata": json.loads(metadata) if metadata else None if metadata is None else {},
        }

    def _column(self, name: str) -> bytes:
        record = getattr(self._session, name)
        if record is None:
            return b""
        revision = getattr(self._session, f"{name}_revision")
        names = crypto.names_of("session", name, "")
        return self._open(record, crypto.place(names, self._uuid, self._uuid, revision))

    def _open(self, record: bytes, place: bytes) -> bytes:
        try:
            return crypto.unseal_at(self._keys, record, place)
        except KeyError:
            version = crypto.key_version(record)
            account = self._session.account
            self._keys[version] = keyring.session_key(account, self._session, version)
            return crypto.unseal_at(self._keys, record, place)


@cache
def _names_of_body(role: str) -> bytes:
    return crypto.names_of("message", "body", role)


def seal_revision(row: UUID, session: UUID, number: int, packed: bytes, key: Key) -> bytes:
    """Return the record of an earlier text."""
    return crypto.seal(key, packed, Context("revision", "body", row, session, "", number))


def open_revision(row: Revision, session: Session) -> Body:
    """Return an earlier text. Raises Damaged."""
    return unpack(_earlier(row, session))


def _earlier(row: Revision, session: Session) -> bytes:
    key = keyring.session_key(session.account, session, crypto.key_version(row.body))
    context = Context("revision", "body", row.uuid, session.uuid, "", row.revision)
    return crypto.unseal(key, row.body, context)


def set_column(session: Session, column: str, value: Any) -> None:
    """Seal ``value`` into a session's title, preview or metadata and raise its revision."""
    revision = getattr(session, f"{column}_revision") + 1
    setattr(session, f"{column}_revision", revision)
    packed = value.encode() if isinstance(value, str) else dump(value)
    key = keyring.session_key(session.account, session)
    context = Context("session", column, session.uuid, session.uuid, "", revision)
    setattr(session, column, crypto.seal(key, packed, context) if value else None)


def _open_column(session: Session, column: str) -> bytes:
    record = getattr(session, column)
    if record is None:
        return b""
    key = keyring.session_key(session.account, session, crypto.key_version(record))
    revision = getattr(session, f"{column}_revision")
    return crypto.unseal(
        key, record, Context("session", column, session.uuid, session.uuid, "", revision)
    )


def title_of(session: Session) -> str:
    """Return a session's title. Raises Damaged."""
    return _open_column(session, "title").decode() or text.untitled(session.uuid)


def preview_of(session: Session) -> str:
    """Return the line under a session's title, perhaps empty. Raises Damaged."""
    return _open_column(session, "preview").decode()


def metadata_of(session: Session) -> dict[str, Any]:
    """Return a session's own metadata. Raises Damaged."""
    found: dict[str, Any] = json.loads(_open_column(session, "metadata") or b"{}")
    return found


def seal_tag(account: Account, row: UUID, name: str, revision: int = 1) -> bytes:
    """Return the record of a tag's name."""
    context = Context("tag", "name", row, None, "", revision)
    return crypto.seal(keyring.account_keys(account).rows, name.encode(), context)


def tag_name(tag: Tag, account: Account) -> str:
    """Return a tag's name. Raises Damaged."""
    context = Context("tag", "name", tag.uuid, None, "", tag.name_revision)
    return crypto.unseal(keyring.account_keys(account).rows, tag.name, context).decode()


def tag_digest(account: Account, name: str) -> str:
    """Return the keyed hash that a tag is found by, whatever its case."""
    return crypto.fingerprint(keyring.account_keys(account).tag, name.casefold())


def seal_job(job: Job, column: str, value: Any) -> None:
    """Seal ``value`` into a job's arguments or result."""
    if column == "result":
        job.result_revision += 1
    context = _job_context(job, column)
    setattr(job, column, crypto.seal(keyring.account_keys(job.account).rows, dump(value), context))


def open_job(job: Job, column: str) -> Any:
    """Return a job's arguments or result, or None. Raises Damaged."""
    record = getattr(job, column)
    if record is None:
        return None
    key = keyring.account_keys(job.account).rows
    return json.loads(crypto.unseal(key, record, _job_context(job, column)))


def _job_context(job: Job, column: str) -> Context:
    revision = job.result_revision if column == "result" else 0
    return Context("job", column, job.uuid, None, job.kind, revision)


def open_before(change: Change, session: Session | None) -> Any:
    """Return what a row said before a change of it; ``session`` is the one the change names.

    Raises Damaged, also where the session is gone and its key with it.
    """
    if change.before is None:
        return None
    if change.session is None:
        key = keyring.account_keys(change.account).rows
    elif session is None:
        raise Damaged("The session is gone, and its key with it.")
    else:
        key = keyring.session_key(change.account, session, crypto.key_version(change.before))
    context = Context("change", "before", change.row, change.session, change.table, change.seq)
    return json.loads(crypto.unseal(key, change.before, context))


def or_damaged(read: Any, row: Any, *more: Any) -> Any:
    """Return ``read(row, ...)``, or None where the record does not open."""
    try:
        return read(row, *more)
    except Damaged:
        return None


def dump_strict(value: Any) -> str:
    """Return compact JSON text.

    Raises ValueError for NaN and for NUL in a text, and TypeError for what is no JSON.
    """
    packed = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if "\\u0000" in packed and _NUL.search(packed):
        raise ValueError("a NUL character")
    return packed
