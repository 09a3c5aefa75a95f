"""The write path that append, fork and import share: prepare outside the lock, store inside.

``prepare`` does what needs no database: packing and tokens. ``store`` numbers, seals, inserts,
indexes and journals a run of messages of one session within an Operation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from chathistory import bulk, crypto, ids, keyring, records, states, text
from chathistory.exceptions import Conflict, Damaged, Stale
from chathistory.journal import Operation
from chathistory.models import Message, Revision, Session
from chathistory.records import Body
from chathistory.search import upkeep
from chathistory.search.base import Doc, Index, index
from chathistory.search.tokens import Keyed
from chathistory.states import State

from . import placing

#: A draft's parent when it simply continues the branch shown.
FOLLOW = -1

_MESSAGE = (
    *("account", "session", "uuid", "seq", "parent_seq", "role", "status", "body", "revision"),
    *("tokens", "length", "place", "indexed", "created_at", "edited_at", "deleted_at", "changed"),
)
_ATTRIBUTES = ("account_id", "session_id", *_MESSAGE[2:])
_REVISION = (
    *("account", "message", "uuid", "revision", "body", "said_at", "replaced_at", "changed"),
)


@dataclass(slots=True)
class Draft:
    """One message about to be stored."""

    role: str
    body: Body
    uuid: UUID = field(default_factory=ids.new_id)
    #: The parent's seq in its session, None for a root, or FOLLOW.
    parent_seq: int | None = FOLLOW
    status: str = Message.Status.COMPLETE
    tokens: int | None = None
    created_at: datetime | None = None
    edited_at: datetime | None = None
    deleted_at: datetime | None = None
    revision: int = 1
    codec: int = 0
    packed: bytes = b""
    index: str = ""

    def prepare(self, keyed: Keyed) -> Draft:
        """Pack the body and cut its tokens."""
        self.codec, self.packed = crypto.pack(self.body.pack())
        self.index = "" if self.deleted_at else keyed.of_text(self.body.content)
        self.count()
        return self

    def count(self) -> None:
        """Estimate the tokens where nobody has counted them."""
        if self.tokens is None:
            self.tokens = text.count_tokens(self.body.content)


def lock(op: Operation, session: Session, *, version: int | None = None) -> Session:
    """Return the session as it is now, inside ``op``'s lock. Raises Conflict or Stale."""
    fresh = bulk.get(Session, id=session.pk, account=op.account.pk)
    if fresh is None:
        raise Conflict("The session was removed meanwhile.")
    fresh.account = op.account
    if version is not None and fresh.version != version:
        raise Stale(version=fresh.version, epoch=op.account.epoch)
    return fresh


def alive(session: Session) -> Session:
    """Return the session. Raises Conflict when it is in the trash."""
    if session.state == State.DELETED:
        raise Conflict("The session is in the trash; restore it first.", state=session.state)
    return session


def wake(session: Session) -> list[str]:
    """Bring an idle or archived session back among the active; return the columns changed."""
    state = states.after("wake", session.state)
    if state is None:
        return []
    session.state, session.archived_at = state, None
    return ["state", "archived_at"]


def touch(op: Operation, session: Session, before: dict[str, Any], *columns: str) -> None:
    """Save ``columns`` of a changed session: version, time and journal number move with them."""
    before = before | {"updated_at": session.updated_at.isoformat()}
    session.version += 1
    session.updated_at = op.at
    session.changed = op.record("session", session.uuid, session=session, before=before)
    bulk.update(session, [*columns, "version", "updated_at", "changed"])


@dataclass(slots=True)
class Run:
    """Messages of one session or many, numbered and sealed, on their way into the tables."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    docs: list[Doc] = field(default_factory=list)
    #: As it is within this transaction.
    index: Index = field(default_factory=index)

    def add(
        self, op: Operation, session: Session, drafts: Sequence[Draft], places: Iterator[int]
    ) -> None:
        """Add ``drafts`` in order, each at the next of ``places``.

        The session's last_seq, head and counts follow, not yet saved.
        """
        key = keyring.session_key(op.account, session)
        at_once = self.index.generations.newest if self.index.at_rest else 0
        nonces = crypto.nonces(len(drafts))
        for draft, place, nonce in zip(drafts, places, nonces, strict=False):
            session.last_seq += 1
            parent = session.head_seq if draft.parent_seq == FOLLOW else draft.parent_seq
            session.head_seq = session.last_seq
            context = records.body_context(draft.uuid, session.uuid, draft.role, draft.revision)
            body = crypto.seal_packed(key, draft.codec, draft.packed, context, nonce)
            changed = op.record("message", draft.uuid, session=session)
            indexed = 0 if draft.deleted_at else at_once
            self.rows.append(
                (
                    *(op.account.pk, session.pk, draft.uuid, session.last_seq, parent, draft.role),
                    *(draft.status, body, draft.revision, draft.tokens, len(draft.body.content)),
                    *(place, indexed, draft.created_at or op.at, draft.edited_at),
                    *(draft.deleted_at, changed),
                )
            )
            if not draft.deleted_at:
                self.docs.append(Doc(place, draft.index))
                session.message_count += 1
                session.total_tokens += draft.tokens or 0

    def insert(self) -> int | None:
        """Write and index them; return the key of a lone row, for the others keep theirs."""
        pk = bulk.insert(Message, _MESSAGE, self.rows)
        self.index.add(self.docs)
        return pk


def store(op: Operation, session: Session, drafts: Sequence[Draft]) -> list[Message]:
    """Insert ``drafts`` in order and move the session on (not yet saved); return a lone row.

    Of several nothing is returned: the database keeps their keys to itself.

    The session's last_seq, head, counts, preview and automatic title follow.
    """
    run = Run()
    run.add(op, session, drafts, placing.places(op.at, [d.created_at for d in drafts]))
    pk = run.insert()
    alone = run.rows if pk is not None else []
    return [Message(pk, **dict(zip(_ATTRIBUTES, row, strict=True))) for row in alone]


def follow(session: Session, drafts: Sequence[Draft]) -> list[str]:
    """Bring preview and automatic title after ``drafts``; return the columns that changed."""
    columns = ["preview", "preview_revision"]
    shown = next((d for d in reversed(drafts) if not d.deleted_at), None)
    if shown is not None:
        records.set_column(session, "preview", text.preview_of(shown.body.content))
    if session.title_source == Session.TitleSource.AUTO and session.title is None:
        asked = next((d for d in drafts if d.role == "user" and not d.deleted_at), None)
        if asked is not None:
            set_title(session, text.title_from(asked.body.content))
            columns += ["title", "title_revision", "indexed"]
    return columns


def set_title(session: Session, title: str | None) -> None:
    """Seal a title and move its tokens in the index of titles."""
    unindex_title(session)
    records.set_column(session, "title", title)
    index_title(session)


def set_metadata(session: Session, metadata: dict[str, Any]) -> None:
    """Seal metadata; a chat is found by the texts in them as by its title."""
    unindex_title(session)
    records.set_column(session, "metadata", metadata)
    index_title(session)


def index_title(session: Session) -> None:
    """Put a session's title and the texts of its metadata into the index; not yet saved."""
    if not upkeep.is_titled(session):
        return
    try:
        session.indexed = upkeep.number(titles=True)
        tokens = upkeep.title_tokens(session)
    except Damaged:  # the metadata: the title is found all the same
        session.indexed -= 1
        tokens = upkeep.title_tokens(session)
    session.indexed = session.indexed if index().at_rest else 0
    index().add([Doc(session.pk, tokens)], titles=True)


def unindex_title(session: Session) -> None:
    """Take a session's title out of the index, once."""
    if session.indexed:
        index().remove(upkeep.title_docs(session), titles=True)
        session.indexed = 0


def unindex(message: Message, session: Session) -> None:
    """Take a message's text out of the index, once: whoever turns ``indexed`` to 0 does it."""
    mine = Message.objects.filter(pk=message.pk, indexed=message.indexed)
    if message.indexed and mine.update(indexed=0):
        keyed = keyring.account_keys(session.account).search
        content = records.content_of(records.open_packed(message, session))
        index().remove([upkeep.doc(message, keyed.of_text(content))])
        message.indexed = 0


def keep_revision(
    op: Operation, message: Message, session: Session, revision: int, packed: bytes, said: datetime
) -> None:
    """Keep an earlier text of ``message``."""
    uuid = ids.new_id()
    key = keyring.session_key(op.account, session)
    body = records.seal_revision(uuid, session.uuid, revision, packed, key)
    changed = op.record("revision", uuid, session=session)
    row = (op.account.pk, message.pk, uuid, revision, body, said, op.at, changed)
    bulk.insert(Revision, _REVISION, [row])


def seq_of(session: Session, uuid: UUID) -> int | None:
    """Return the seq of a message of this session, or None."""
    return session.messages.filter(uuid=uuid).values_list("seq", flat=True).first()
