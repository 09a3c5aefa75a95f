"""Erasing a person: all they own, what they said in the sessions of others, and last their keys.

Each step finds what is left of it, so an erasure that was cut short is finished by the next run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.db.models import Model, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chathistory import bulk, crypto, keyring, ledger, records, registry, spool, text
from chathistory.backups import keysets
from chathistory.exceptions import Conflict, Invalid, NotAllowed, NotFound
from chathistory.journal import Operation
from chathistory.models import (
    Account,
    Change,
    DataKey,
    Job,
    Message,
    RetentionPolicy,
    Revision,
    Session,
    Share,
    Tag,
    Token,
)
from chathistory.records import Body
from chathistory.search.base import VERSION, Doc, index

from . import accounts, pipeline, purge, removing
from .removing import CHUNK, Removed

_OP = "account.erase"
_REASON = 500  # characters
#: What else an account owns, by its name in the journal and in the proof, in the order it can go.
_OWNED: tuple[tuple[str, str, type[Model]], ...] = (
    ("job", "jobs", Job),
    ("token", "tokens", Token),
    ("policy", "policies", RetentionPolicy),
    ("tag", "tags", Tag),
)
_TAKEN_BACK = ("body", "block", "revision", "edited_at", "tokens", "length", "indexed", "changed")
_SHOWN = (
    *("message_count", "total_tokens", "preview", "preview_revision"),
    *("title", "title_revision", "indexed"),
)


@dataclass(slots=True)
class _Elsewhere:
    """What a person said in one session of somebody else."""

    session: UUID
    #: Messages they added, and when they changed messages of others, by message.
    said: list[UUID] = field(default_factory=list)
    changed: dict[UUID, set[datetime]] = field(default_factory=dict)


@dataclass(slots=True)
class _Erasure:
    """Whose, on whose word, and what went so far."""

    account: Account
    actor: Account | None
    override: str
    step: Callable[[], None]
    removed: Removed = field(default_factory=Removed)

    def count(self, some: Removed) -> None:
        self.removed.update(some)
        self.step()


def erase(
    account: Account,
    actor: Account | None,
    *,
    override: str = "",
    step: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Erase a person and return the proof: what this run removed, and what lapses when.

    ``actor`` is the person, or None for the site; ``override`` is why the site passes over holds,
    kept in the erasure ledger and the journal; ``step`` is called now and then. Again does
    nothing. What others have copied for themselves stays theirs.

    Raises NotFound to anybody else, Conflict for sessions on hold, Invalid, NotAllowed,
    LimitExceeded or Unavailable.
    """
    _require(account, actor)
    override = _clean(account, actor, override)
    work = _Erasure(account, actor, override, step)
    elsewhere = _elsewhere(account)
    held = _held(account, elsewhere)
    if held and not override:
        _refuse(held)
    ledger.note(account.uuid, override=override if held else "")
    if held:
        _record_override(account, override)
    while not _finish(work, elsewhere):
        pass
    keyring.forget()
    return _proof(work)


def _require(account: Account, actor: Account | None) -> None:
    if actor is not None and actor != account:
        raise NotFound(_("There is no such account."))
    if account.uuid == accounts.SYSTEM:
        raise Invalid(_("This account is the site's own, nobody's."), field="account")


def _clean(account: Account, actor: Account | None, override: str) -> str:
    if not override:
        return ""
    if actor is not None:
        raise NotAllowed(_("Only the site passes over a hold."))
    reason = text.clean(override)
    text.check_length(_("Characters of a reason"), len(reason), _REASON, "override")
    return reason


@registry.job("erase")
def _erase(work: registry.Work) -> dict[str, Any]:
    """Erase whose user was deleted."""
    uuid = work.arguments["account"]
    account = Account.objects.filter(uuid=uuid).first()
    if account is None:
        raise NotFound(_("There is no such account."))
    return erase(account, None, step=lambda: work.step(0))


# Holds


def _held(account: Account, elsewhere: Sequence[_Elsewhere]) -> int:
    own = Q(account=account, purging_at=None) | Q(uuid__in=[one.session for one in elsewhere])
    return Session.objects.filter(own, hold=True).count()


def _refuse(held: int) -> None:
    message = ngettext(
        "%(count)s session is on hold: erasing needs a reason to pass over that.",
        "%(count)s sessions are on hold: erasing needs a reason to pass over that.",
        held,
    )
    raise Conflict(message % {"count": f"{held:,}"}, sessions=held)


def _record_override(account: Account, override: str) -> None:
    with Operation(accounts.system(), None, "account.override") as op:
        op.record("account", account.uuid, before={"override": override})


# Step by step


def _finish(work: _Erasure, elsewhere: Sequence[_Elsewhere]) -> bool:
    """Remove everything; return whether nothing came in meanwhile, and the keys are gone."""
    for session in _left(work.account):
        _erase_session(work, session)
    for one in elsewhere:
        _erase_elsewhere(work, one)
    while received := Share.objects.filter(grantee=work.account).select_related("account").first():
        work.count(Removed(shares_received=_give_back(work, received.account)))
    for table, counted, model in _OWNED:
        while count := _erase_owned(work, table, model):
            work.count(Removed({counted: count}))
    while count := removing.blank(_images(work.account)):
        work.count(Removed(before_images=count))
    return _close(work)


def _left(account: Account) -> Iterator[Session]:
    """Yield what is left of an account's sessions."""
    while found := Session.objects.filter(account=account).order_by("pk").first():
        found.account = account
        yield found


def _erase_session(work: _Erasure, session: Session) -> None:
    with Operation(work.account, work.actor, _OP) as op:
        fresh = bulk.get(Session, id=session.pk, account=op.account.pk)
        if fresh is None:
            return
        fresh.account = op.account
        if fresh.hold and fresh.purging_at is None and not work.override:
            _refuse(1)
        removing.mark(op, fresh)
    for some in removing.whole(fresh, work.actor, _OP):
        work.count(some)


def _erase_owned(work: _Erasure, table: str, model: Any) -> int:
    found = model._base_manager.filter(account=work.account)
    if not found.exists():
        return 0
    if model is Job:
        for uuid in found.values_list("uuid", flat=True)[:CHUNK]:
            spool.delete(uuid)
    with Operation(work.account, work.actor, _OP) as op:
        return removing.rows(op, table, found)


def _give_back(work: _Erasure, owner: Account) -> int:
    """Remove grants that somebody gave them."""
    with Operation(owner, work.actor, _OP) as op:
        received = Share.objects.filter(account=owner, grantee=work.account)
        return removing.rows(op, "share", received)


def _images(account: Account) -> QuerySet[Change, Change]:
    return Change.objects.filter(account=account, before__isnull=False)


def _close(work: _Erasure) -> bool:
    """Destroy the keys and let go of the user; return False where something came in meanwhile."""
    with Operation(work.account, work.actor, _OP) as op:
        account = Account.objects.get(pk=op.account.pk)
        owned: list[Any] = [Session, *(model for *_names, model in _OWNED)]
        if any(model._base_manager.filter(account=account).exists() for model in owned):
            return False
        if _images(account).exists():
            return False
        if account.erased_at is not None:
            work.account.erased_at = account.erased_at
            return True
        keys = removing.delete(DataKey, list(account.keys.values_list("pk", flat=True)))
        index().mark()
        op.record("account", account.uuid)
        # Whoever still has the old version in mind finds no key under the new one.
        op.account.key_version += 1
        op.account.user, op.account.erased_at = None, op.at
        bulk.update(op.account, ["user", "erased_at", "key_version"])
    work.count(Removed(keys=keys))
    return True


def _proof(work: _Erasure) -> dict[str, Any]:
    erased_at = work.account.erased_at
    return {
        "account": str(work.account.uuid),
        "erased_at": erased_at.isoformat() if erased_at else None,
        "removed": dict(sorted((+work.removed).items())),
        "files": purge.scrub(work.step),
        # By file: when the key set is gone in which a backup may have the keys.
        "lapses": {name: at.isoformat() for name, at in keysets.lapsing()} or "none",
        "override": work.override,
    }


# What they said in the sessions of others


def _elsewhere(account: Account) -> list[_Elsewhere]:
    """Return what the journal knows of it: one walk through all of it, which is rare."""
    ops = ("message.append", "message.edit")
    rows = Change.objects.filter(actor=account, table="message", op__in=ops)
    others = rows.exclude(account=account).order_by("session", "pk")
    found = others.values_list("session", "op", "row", "at")
    return [_gathered(*one) for one in groupby(found, key=itemgetter(0))]


def _gathered(session: UUID, rows: Iterator[Any]) -> _Elsewhere:
    one = _Elsewhere(session)
    for _session, op, row, at in rows:
        if op == "message.append":
            one.said.append(row)
        else:
            one.changed.setdefault(row, set()).add(at)
    return one


def _erase_elsewhere(work: _Erasure, one: _Elsewhere) -> None:
    session = Session.objects.select_related("account").filter(uuid=one.session).first()
    if session is None:
        return
    left = session.messages.filter(revision__gt=0)
    for i in range(0, len(one.said), CHUNK):
        while found := list(left.filter(uuid__in=one.said[i : i + CHUNK])):
            work.count(_empty(work, session, found))
    for uuid, times in one.changed.items():
        while (message := left.filter(uuid=uuid).first()) and _is_theirs(message, times):
            work.count(_take_back(work, session, message, times))


def _empty(work: _Erasure, session: Session, messages: Sequence[Message]) -> Removed:
    """Leave tombstones of their messages, and nothing of the words in what lists show."""
    docs = removing.tokens_of(session, messages)
    titles = {text.title_from(content) for content in _texts(session, messages)}
    with Operation(session.account, work.actor, _OP) as op:
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
        if fresh.title_source == Session.TitleSource.AUTO and _title(fresh) in titles:
            removing.untitle(fresh)
            pipeline.index_title(fresh)
        removed = removing.empty(op, fresh, mine)
        removing.touch(op, fresh, *_SHOWN)
    return removed


def _texts(session: Session, messages: Sequence[Message]) -> Iterator[str]:
    for message in messages:
        body = records.or_damaged(records.open_body, message, session)
        if body is not None:
            yield body.content


def _title(session: Session) -> str | None:
    return records.or_damaged(records.title_of, session) if session.title else None


def _locked(op: Operation, session: Session, work: _Erasure) -> Session | None:
    fresh = bulk.get(Session, id=session.pk, account=op.account.pk)
    if fresh is not None:
        fresh.account = op.account
        if fresh.hold and not work.override:
            _refuse(1)
    return fresh


def _is_theirs(message: Message, times: set[datetime]) -> bool:
    """Tell whether a message of somebody else still holds a text of theirs."""
    earlier = message.revisions.filter(said_at__in=times)
    return message.edited_at in times or earlier.exists()


def _take_back(work: _Erasure, session: Session, message: Message, times: set[datetime]) -> Removed:
    """Remove their texts of a message of somebody else, which says again what it said before."""
    shown = message.edited_at in times
    before = _said_before(session, message, times) if shown else None
    if shown and (before is None or message.deleted_at is not None):
        return _empty(work, session, [message])
    docs = removing.tokens_of(session, [message]).get(message.pk, [])
    with Operation(session.account, work.actor, _OP) as op:
        fresh = _locked(op, session, work)
        if fresh is None or not removing.unmoved([message]):
            return Removed()
        gone = Q(said_at__in=times)
        if before is not None:
            removing.unindex(docs)
            _put_back(op, fresh, message, *before)
            gone |= Q(pk=before[0].pk)
        theirs = Revision.objects.filter(gone, message=message)
        removed = Removed(revisions=removing.rows(op, "revision", theirs, fresh))
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
    message.indexed = VERSION
    if session.head_seq == message.seq:
        records.set_column(session, "preview", text.preview_of(body.content))
    message.changed = op.record("message", message.uuid, session=session)
    bulk.update(message, _TAKEN_BACK)
