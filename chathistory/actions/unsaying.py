"""What an erased person said in the sessions of others, taken back without harm to the rest.

Messages they added leave tombstones; a message of somebody else that they changed says again what
it said before; and no title made of their words stays, nor an earlier one in the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import ngettext

from chathistory import bulk, crypto, keyring, ledger, records, text
from chathistory.exceptions import Conflict
from chathistory.journal import Operation
from chathistory.models import Account, Change, Message, Revision, Session
from chathistory.records import Body
from chathistory.search import upkeep
from chathistory.search.base import Doc, index

from . import pipeline, removing
from .removing import CHUNK, Removed

#: The operation of every Change that an erasure makes.
OP = "account.erase"
_TAKEN_BACK = ("body", "block", "revision", "edited_at", "tokens", "length", "indexed", "changed")
_SHOWN = (
    *("message_count", "total_tokens", "preview", "preview_revision"),
    *("title", "title_revision", "indexed"),
)


@dataclass(slots=True)
class Elsewhere:
    """What a person said in one session of somebody else."""

    session: UUID
    #: Messages they added, and when they changed messages of others, by message.
    said: list[UUID] = field(default_factory=list)
    changed: dict[UUID, set[datetime]] = field(default_factory=dict)


@dataclass(slots=True)
class Erasure:
    """An erasure under way: whose, on whose word, and what went so far."""

    account: Account
    actor: Account | None
    override: str
    step: Callable[[], None]
    removed: Removed = field(default_factory=Removed)

    def count(self, some: Removed) -> None:
        """Add what went."""
        self.removed.update(some)
        self.step()


def refuse(held: int) -> None:
    """Raise Conflict, for so many sessions are on hold."""
    message = ngettext(
        "%(count)s session is on hold: erasing needs a reason to pass over that.",
        "%(count)s sessions are on hold: erasing needs a reason to pass over that.",
        held,
    )
    raise Conflict(message % {"count": f"{held:,}"}, sessions=held)


def find(account: Account) -> list[Elsewhere]:
    """Return what the journal knows of it: one walk through all of it, which is rare."""
    ops = ("message.append", "message.edit")
    rows = Change.objects.filter(actor=account, table="message", op__in=ops)
    others = rows.exclude(account=account).order_by("session", "pk")
    found = others.values_list("session", "op", "row", "at")
    return [_gathered(*one) for one in groupby(found, key=itemgetter(0))]


def _gathered(session: UUID, rows: Iterator[Any]) -> Elsewhere:
    one = Elsewhere(session)
    for _session, op, row, at in rows:
        if op == "message.append":
            one.said.append(row)
        else:
            one.changed.setdefault(row, set()).add(at)
    return one


def take_back(work: Erasure, one: Elsewhere) -> None:
    """Take back what they said in one session. Raises Conflict for one on hold, Unavailable."""
    session = Session.objects.select_related("account").filter(uuid=one.session).first()
    if session is None:
        return
    left = session.messages.filter(revision__gt=0)
    for i in range(0, len(one.said), CHUNK):
        while found := list(left.filter(uuid__in=one.said[i : i + CHUNK])):
            work.count(_empty(work, session, found))
    for uuid, times in one.changed.items():
        while (message := left.filter(uuid=uuid).first()) and _is_theirs(message, times):
            work.count(_take_text_back(work, session, message, times))


def _empty(work: Erasure, session: Session, messages: Sequence[Message]) -> Removed:
    """Leave tombstones of their messages, and nothing of the words in what lists show."""
    docs = removing.tokens_of(session, messages)
    titles = _titles(session, messages, Revision.objects.filter(message__in=messages))
    with Operation(session.account, work.actor, OP) as op:
        fresh = _locked(op, session, work)
        if fresh is None:
            return Removed()
        mine = removing.unmoved(messages)
        living = [message for message in mine if message.deleted_at is None]
        ledger.note(op.account.uuid, fresh.uuid, [message.uuid for message in mine])
        removing.unindex([doc for message in mine for doc in docs.get(message.pk, [])])
        fresh.message_count -= len(living)
        fresh.total_tokens -= sum(message.tokens for message in living)
        if fresh.head_seq in {message.seq for message in mine}:
            fresh.preview, fresh.preview_revision = None, fresh.preview_revision + 1
        removed = removing.empty(op, fresh, mine) + _untitle(fresh, titles)
        removing.touch(op, fresh, *_SHOWN)
    return removed


def _titles(session: Session, messages: Sequence[Message], earlier: QuerySet[Revision]) -> set[str]:
    """Return the automatic titles that texts of theirs have made, or may have."""
    said = [records.or_damaged(records.open_body, message, session) for message in messages]
    rows = earlier.select_related("message")
    said += [records.or_damaged(records.open_revision, row, session) for row in rows]
    return {text.title_from(body.content) for body in said if body is not None}


def _untitle(session: Session, titles: set[str]) -> Removed:
    """Take away a title made of their words, and the before-images that still have one."""
    if session.title_source == Session.TitleSource.AUTO and _title(session) in titles:
        removing.untitle(session)
        pipeline.index_title(session)
    images = removing.images_of(session).filter(table="session")
    theirs = [change.pk for change in images if _title_before(change, session) in titles]
    removed = Removed()
    while count := removing.blank(images.filter(pk__in=theirs)):
        removed["before_images"] += count
    return removed


def _title_before(change: Change, session: Session) -> str | None:
    change.account = session.account
    before = records.or_damaged(records.open_before, change, session) or {}
    title: str | None = before.get("title")
    return title


def _title(session: Session) -> str | None:
    return records.or_damaged(records.title_of, session) if session.title else None


def _locked(op: Operation, session: Session, work: Erasure) -> Session | None:
    fresh = bulk.get(Session, id=session.pk, account=op.account.pk)
    if fresh is not None:
        fresh.account = op.account
        if fresh.hold and not work.override:
            refuse(1)
    return fresh


def _is_theirs(message: Message, times: set[datetime]) -> bool:
    """Tell whether a message of somebody else still holds a text of theirs."""
    earlier = message.revisions.filter(said_at__in=times)
    return message.edited_at in times or earlier.exists()


def _take_text_back(
    work: Erasure, session: Session, message: Message, times: set[datetime]
) -> Removed:
    """Remove their texts of a message of somebody else, which says again what it said before."""
    shown = message.edited_at in times
    before = _said_before(session, message, times) if shown else None
    if shown and (before is None or message.deleted_at is not None):
        return _empty(work, session, [message])
    docs = removing.tokens_of(session, [message]).get(message.pk, [])
    gone = Q(said_at__in=times)
    earlier = message.revisions.filter(gone)
    titles = _titles(session, [message] if shown else [], earlier)
    with Operation(session.account, work.actor, OP) as op:
        fresh = _locked(op, session, work)
        if fresh is None or not removing.unmoved([message]):
            return Removed()
        if before is not None:
            removing.unindex(docs)
            _put_back(op, fresh, message, *before)
            gone |= Q(pk=before[0].pk)
        theirs = Revision.objects.filter(gone, message=message)
        removed = Removed(revisions=removing.rows(op, "revision", theirs, fresh))
        removed += _untitle(fresh, titles)
        removing.call_hooks(op, fresh, [message])
        removing.touch(op, fresh, *_SHOWN)
    return removed


def _said_before(
    session: Session, message: Message, times: set[datetime]
) -> tuple[Revision, Body] | None:
    """Return the newest text that is not theirs and that opens."""
    for revision in message.revisions.exclude(said_at__in=times).order_by("-revision"):
        body = records.or_damaged(records.open_revision, revision, session)
        if body is not None:
            return revision, body
    return None


def _put_back(
    op: Operation, session: Session, message: Message, revision: Revision, body: Body
) -> None:
    keyed = keyring.account_keys(op.account).search
    key = keyring.session_key(op.account, session)
    message.revision += 1
    context = records.body_context(message.uuid, session.uuid, message.role, message.revision)
    message.body, message.block_id = crypto.seal(key, body.pack(), context), None
    is_first = revision.said_at <= message.created_at
    message.edited_at = None if is_first else revision.said_at
    session.total_tokens -= message.tokens
    message.tokens, message.length = text.count_tokens(body.content), len(body.content)
    session.total_tokens += message.tokens
    index().add([Doc(message.place, keyed.of_text(body.content))])
    message.indexed = upkeep.number()
    if session.head_seq == message.seq:
        records.set_column(session, "preview", text.preview_of(body.content))
    message.changed = op.record("message", message.uuid, session=session)
    bulk.update(message, _TAKEN_BACK)
