"""Removing rows for good, which purge and erase share: in short transactions, index first.

Nothing here asks who may, nor writes the ledger: whoever calls has done both. Each piece can be
repeated, so what a process that died has left is removed by the next one. A removed row leaves a
Change without a before-image, and those it had before go with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db.models import Count, QuerySet

from chathistory import bulk, crypto, keyring, records, registry
from chathistory.exceptions import Damaged
from chathistory.journal import Operation
from chathistory.models import Account, Block, Change, DataKey, Message, Revision, Session, Share
from chathistory.records import Body
from chathistory.search import upkeep
from chathistory.search.base import Doc, index
from chathistory.states import State

from . import packing

#: Rows of one transaction, which takes some tens of milliseconds.
CHUNK = 200

#: How many rows of each kind went.
Removed = Counter[str]

_EMPTIED = (*("body", "block", "revision", "length", "tokens", "indexed", "deleted_at", "changed"),)


def mark(op: Operation, session: Session) -> None:
    """Note that a session is being removed: from now on it is in the trash, and stays there."""
    if session.purging_at is None:
        session.state = State.DELETED
        session.deleted_at = session.deleted_at or op.at
        session.purge_after = session.purging_at = op.at
        touch(op, session, "state", "deleted_at", "purge_after", "purging_at")


def touch(op: Operation, session: Session, *columns: str) -> None:
    """Save ``columns`` of a session; what they were is not kept, so no key is needed."""
    session.version += 1
    session.updated_at = op.at
    session.changed = op.record("session", session.uuid, session=session)
    bulk.update(session, [*columns, "version", "updated_at", "changed"])


def whole(session: Session, actor: Account | None, op_name: str) -> Iterator[Removed]:
    """Remove a marked session and all that hangs on it; yield what each transaction removed.

    ``session`` carries its account. Its key goes last, with the session itself and what is left
    by then; most sessions go in one transaction.
    """

    def step(work: Callable[..., Removed], *more: Any) -> Removed:
        with Operation(session.account, actor, op_name) as op:
            return work(op, session, *more)

    while _revisions_of(session)[CHUNK:].exists():
        yield step(_revisions)
    while images_of(session)[CHUNK:].exists():
        yield step(_images)
    while messages := list(session.messages.order_by("seq")[:CHUNK]):
        part = _messages if len(messages) == CHUNK else _last
        yield step(part, messages, tokens_of(session, messages))
    while Session.objects.filter(pk=session.pk).exists():
        yield step(_last, [], {})


def rows(
    op: Operation, table: str, found: QuerySet[Any, Any], session: Session | None = None
) -> int:
    """Remove up to CHUNK rows that nothing refers to any more; return how many."""
    named = list(found.values_list("pk", "uuid")[:CHUNK])
    for _, uuid in named:
        op.record(table, uuid, session=session)
    delete(found.model, [pk for pk, _ in named])
    return len(named)


def blank(found: QuerySet[Change, Any]) -> int:
    """Take up to CHUNK before-images out of the journal; the Changes stay."""
    named = list(found.values_list("pk", flat=True)[:CHUNK])
    return Change.objects.filter(pk__in=named).update(before=None)


def empty(op: Operation, session: Session, messages: Sequence[Message]) -> Removed:
    """Take away what messages of one session said; they stay in their tree as tombstones.

    They are not in the index. Raises Damaged, before anything is written, for one whose block
    does not open.
    """
    _unpack(op, session, messages)
    call_hooks(op, session, messages)
    removed = Removed(messages=len(messages))
    for message in messages:
        earlier = Revision.objects.filter(message=message)
        while count := rows(op, "revision", earlier, session):
            removed["revisions"] += count
        message.deleted_at = message.deleted_at or op.at
        message.revision = message.length = message.tokens = message.indexed = 0
        message.body, message.block_id = _nothing(session, message), None
        message.changed = op.record("message", message.uuid, session=session)
    bulk.update_all(messages, _EMPTIED)
    index().mark()
    uuids = [message.uuid for message in messages]
    while count := blank(images_of(session).filter(row__in=uuids)):
        removed["before_images"] += count
    return removed


def tokens_of(session: Session, messages: Sequence[Message]) -> dict[int, list[Doc]]:
    """Return what the index holds of these messages, by key; before the lock is taken.

    The tokens of a text that no longer opens are read back from the index itself.
    """
    found: dict[int, list[Doc]] = {}
    lost: dict[int, int] = {}
    for message in messages:
        if message.indexed:
            try:
                text = records.content_of(records.open_packed(message, session))
                found[message.pk] = [upkeep.doc(message, _tokens(session, text))]
            except Damaged:
                lost[message.place] = message.pk
    for doc in index().read(_alone(lost)) if lost else []:
        found.setdefault(lost[doc.place], []).append(doc)
    return found


def unindex(docs: Sequence[Doc], *, titles: bool = False) -> None:
    """Take texts out of the index, and note that they must leave its files."""
    if docs:
        index().remove(docs, titles=titles)
        index().mark()


def untitle(session: Session) -> None:
    """Take away a session's title, not yet saved, and its tokens."""
    if session.indexed:
        unindex(upkeep.title_docs(session), titles=True)
    session.title, session.title_revision = None, session.title_revision + 1
    session.indexed = 0


def unmoved(messages: Sequence[Message]) -> list[Message]:
    """Return the messages that nobody has changed since they were read; under the lock."""
    now = Message.objects.filter(pk__in=[row.pk for row in messages])
    known = set(now.values_list("pk", "changed", "indexed"))
    return [row for row in messages if (row.pk, row.changed, row.indexed) in known]


def call_hooks(op: Operation, session: Session, messages: Sequence[Message]) -> None:
    """Tell whoever keeps more about these messages that they go."""
    for hook in registry.PURGES:
        hook(op, session, messages)


def delete(model: Any, keys: list[int]) -> int:
    """Delete rows that nothing refers to; the queryset's ``delete()`` would first read them all."""
    found = model._base_manager.filter(pk__in=keys)
    return int(found._raw_delete(bulk.connection(model).alias)) if keys else 0


def _unpack(op: Operation, session: Session, messages: Sequence[Message]) -> None:
    """Take messages out of their blocks; their neighbours are packed again by and by."""
    for message in messages:
        in_block = Message.objects.filter(pk=message.pk, block__isnull=False)
        if in_block.exists():
            packing.unpack_block(op, session, message)


def _nothing(session: Session, message: Message) -> bytes:
    """Return the record of an empty body, which opens like any other; of no key, nothing."""
    context = records.body_context(message.uuid, session.uuid, message.role, message.revision)
    try:
        key = keyring.session_key(session.account, session)
    except Damaged:
        return b""
    return crypto.seal(key, Body("").pack(), context)


def _revisions_of(session: Session) -> QuerySet[Revision, Revision]:
    return Revision.objects.filter(message__session=session)


def _revisions(op: Operation, session: Session) -> Removed:
    return Removed(revisions=rows(op, "revision", _revisions_of(session), session))


def _messages(
    op: Operation, session: Session, messages: Sequence[Message], docs: dict[int, list[Doc]]
) -> Removed:
    mine = unmoved(messages)
    unindex([doc for row in mine for doc in docs.get(row.pk, [])])
    call_hooks(op, session, mine)
    removed = Removed(messages=len(mine))
    while count := rows(op, "revision", _revisions_of(session).filter(message__in=mine), session):
        removed["revisions"] += count
    for row in mine:
        op.record("message", row.uuid, session=session)
    delete(Message, [row.pk for row in mine])
    blocks = {row.block_id for row in mine if row.block_id is not None}
    return removed + Removed(blocks=_blocks(op, session, blocks) if blocks else 0)


def _blocks(op: Operation, session: Session, blocks: set[int]) -> int:
    """Remove the blocks of removed messages, unless others are in them."""
    used = session.messages.filter(block__in=blocks).values("block")
    found = Block.objects.filter(session=session, pk__in=blocks).exclude(pk__in=used)
    return rows(op, "block", found, session)


def images_of(session: Session) -> QuerySet[Change, Change]:
    """Return the Changes of a session, its messages and all else of it that have a before-image."""
    return Change.objects.filter(session=session.uuid, before__isnull=False)


def _images(_op: Operation, session: Session) -> Removed:
    return Removed(before_images=blank(images_of(session)))


def _last(
    op: Operation, session: Session, messages: Sequence[Message], docs: dict[int, list[Doc]]
) -> Removed:
    """Remove the last messages and, unless some have moved meanwhile, the session itself."""
    removed = _messages(op, session, messages, docs)
    return removed if session.messages.exists() else removed + _rest(op, session)


def _rest(op: Operation, session: Session) -> Removed:
    """Remove the title, links to tags, grants, keys, and the session itself."""
    row = bulk.get(Session, id=session.pk, account=op.account.pk)
    if row is None:  # somebody else was first
        return Removed()
    row.account = op.account
    untitle(row)
    call_hooks(op, row, [])
    removed = Removed(sessions=1)
    hanging: tuple[tuple[str, str, QuerySet[Any, Any]], ...] = (
        ("shares", "share", Share.objects.filter(session=row)),
        ("blocks", "block", Block.objects.filter(session=row)),
    )
    for name, table, found in hanging:
        while count := rows(op, table, found, row):
            removed[name] += count
    while count := _images(op, row)["before_images"]:
        removed["before_images"] += count
    row.tags.clear()
    removed["keys"] = delete(DataKey, list(row.keys.values_list("pk", flat=True)))
    op.record("session", row.uuid, session=row)
    delete(Session, [row.pk])
    index().mark()
    return removed


def _tokens(session: Session, text: str) -> str:
    return keyring.account_keys(session.account).search.of_text(text)


def _alone(places: dict[int, int]) -> list[int]:
    """Return the places of one message each; where two share one, their tokens are as one."""
    known = Message.objects.filter(place__in=places).values("place").annotate(rows=Count("pk"))
    return list(known.filter(rows=1).values_list("place", flat=True))
