"""Erasing a person: all they own, what they said in the sessions of others, and last their keys.

Each step finds what is left of it, so an erasure that was cut short is finished by the next run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db.models import Model, Q, QuerySet
from django.utils.translation import gettext as _

from chathistory import bulk, keyring, ledger, registry, spool, text
from chathistory.backups import keysets
from chathistory.exceptions import ChatHistoryError, Invalid, NotAllowed, NotFound
from chathistory.journal import Operation
from chathistory.models import (
    Account,
    Change,
    DataKey,
    Job,
    RetentionPolicy,
    Session,
    Share,
    Tag,
    Token,
    Vocabulary,
)
from chathistory.search import learned
from chathistory.search.base import index

from . import accounts, archives, jobs, purge, removing, unsaying, vocabularies
from .removing import CHUNK, Removed
from .unsaying import OP, Elsewhere, Erasure, refuse

_REASON = 500  # characters
#: What else an account owns, by its name in the journal and in the proof, in the order it can go.
_OWNED: tuple[tuple[str, str, type[Model]], ...] = (
    ("job", "jobs", Job),
    ("token", "tokens", Token),
    ("policy", "policies", RetentionPolicy),
    ("tag", "tags", Tag),
)


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
    work = Erasure(account, actor, override, step)
    elsewhere = unsaying.find(account)
    held = _held(account, elsewhere)
    if held and not override:
        refuse(held)
    ledger.note(account.uuid, override=override if held else "")
    if held:
        _record_override(account, override)
    _let_go(work)
    while not _finish(work, elsewhere):
        pass
    vocabularies.clean(vocabularies.of_sessions([one.session for one in elsewhere]), step)
    keyring.forget()
    learned.forget(account)
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


# Whose user was deleted


def ask(account: Account) -> Job:
    """Keep the wish that a person be erased, whose user is being deleted, and queue it.

    What a hold stands against is tried again by each later run.
    """
    with Operation(account, None, "account.leave") as op:
        if account.erase_asked_at is None:
            op.record("account", account.uuid)
            op.account.erase_asked_at = op.at
            bulk.update(op.account, ["erase_asked_at"])
        return jobs.enqueue(accounts.system(), "erase", {})


def pending() -> QuerySet[Account]:
    """Return the accounts that wait to be erased; one that was given a user again does not."""
    waiting = Account.objects.filter(erase_asked_at__isnull=False, erased_at=None, user=None)
    return waiting.order_by("erase_asked_at", "pk")


@registry.job("erase")
def _erase(work: registry.Work) -> dict[str, Any]:
    """Erase whose user was deleted; tell the proofs, and why whom it leaves for the next run."""
    proofs: list[dict[str, Any]] = []
    waiting: dict[str, str] = {}
    for account in pending():
        try:
            proofs.append(erase(account, None, step=lambda: work.step(len(proofs))))
        except ChatHistoryError as error:
            waiting[str(account.uuid)] = error.code
    return {"erased": proofs, "waiting": waiting}


registry.beat("erase", 3_600, "Erase whose user was deleted, once nothing of theirs is on hold")


# Holds


def _held(account: Account, elsewhere: Sequence[Elsewhere]) -> int:
    own = Q(account=account, purging_at=None) | Q(uuid__in=[one.session for one in elsewhere])
    return Session.objects.filter(own, hold=True).count()


def _record_override(account: Account, override: str) -> None:
    with Operation(accounts.system(), None, "account.override") as op:
        op.record("account", account.uuid, before={"override": override})


# Step by step


def _let_go(work: Erasure) -> None:
    """Part the account from its user: what they begin from now on is another's, so this ends."""
    with Operation(work.account, work.actor, OP) as op:
        account = Account.objects.get(pk=op.account.pk)
        if account.user_id is None:
            return
        op.record("account", account.uuid)
        op.account.user, op.account.erase_asked_at = None, account.erase_asked_at or op.at
        bulk.update(op.account, ["user", "erase_asked_at"])


def _finish(work: Erasure, elsewhere: Sequence[Elsewhere]) -> bool:
    """Remove everything; return whether nothing came in meanwhile, and the keys are gone."""
    for session in _left(work.account):
        _erase_session(work, session)
    for one in elsewhere:
        unsaying.take_back(work, one)
    while received := Share.objects.filter(grantee=work.account).select_related("account").first():
        work.count(Removed(shares_received=_give_back(work, received.account)))
    for table, counted, model in _OWNED:
        while count := _erase_owned(work, table, model):
            work.count(Removed({counted: count}))
    _erase_archives(work)
    while count := removing.blank(_images(work.account)):
        work.count(Removed(before_images=count))
    return _close(work)


def _left(account: Account) -> Iterator[Session]:
    """Yield what is left of an account's sessions."""
    while found := Session.objects.filter(account=account).order_by("pk").first():
        found.account = account
        yield found


def _erase_session(work: Erasure, session: Session) -> None:
    with Operation(work.account, work.actor, OP) as op:
        fresh = bulk.get(Session, id=session.pk, account=op.account.pk)
        if fresh is None:
            return
        fresh.account = op.account
        if fresh.hold and fresh.purging_at is None and not work.override:
            refuse(1)
        removing.mark(op, fresh)
    for some in removing.whole(fresh, work.actor, OP):
        work.count(some)


def _erase_owned(work: Erasure, table: str, model: Any) -> int:
    rows = model._base_manager.filter(account=work.account)
    named = dict(rows.values_list("pk", "uuid")[:CHUNK])
    if not named:
        return 0
    if model is Job:
        for uuid in named.values():
            spool.delete(uuid)
    with Operation(work.account, work.actor, OP) as op:
        return removing.rows(op, table, rows.filter(pk__in=named))


def _erase_archives(work: Erasure) -> None:
    """Remove their archives: the files first, for the rows say which they are."""
    if count := archives.discard(work.account):
        work.count(Removed(archives=count))
    while archives.of(work.account).exists():
        with Operation(work.account, work.actor, OP) as op:
            removing.rows(op, "backup", archives.of(op.account))
        work.step()


def _give_back(work: Erasure, owner: Account) -> int:
    """Remove grants that somebody gave them."""
    with Operation(owner, work.actor, OP) as op:
        received = Share.objects.filter(account=owner, grantee=work.account)
        return removing.rows(op, "share", received)


def _images(account: Account) -> QuerySet[Change, Change]:
    return Change.objects.filter(account=account, before__isnull=False)


def _close(work: Erasure) -> bool:
    """Destroy the keys; return False where something came in meanwhile."""
    with Operation(work.account, work.actor, OP) as op:
        account = Account.objects.get(pk=op.account.pk)
        owned: list[Any] = [Session, *(model for *_names, model in _OWNED)]
        if any(model._base_manager.filter(account=account).exists() for model in owned):
            return False
        if _images(account).exists() or archives.of(account).exists():
            return False
        if account.erased_at is not None:
            work.account.erased_at = account.erased_at
            return True
        Vocabulary.objects.filter(account=account).delete()
        keys = removing.delete(DataKey, list(account.keys.values_list("pk", flat=True)))
        index().mark()
        op.record("account", account.uuid)
        # Whoever still has the old version in mind finds no key under the new one.
        op.account.key_version += 1
        op.account.erased_at = op.at
        bulk.update(op.account, ["erased_at", "key_version"])
    work.count(Removed(keys=keys))
    return True


def _proof(work: Erasure) -> dict[str, Any]:
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
