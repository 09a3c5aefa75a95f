"""Taking out of the trash for good: sessions, tombstones, and what the journal has kept of old."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from chathistory import bulk, ledger, registry, wiping
from chathistory.exceptions import Conflict, Damaged, Stale
from chathistory.journal import Operation
from chathistory.models import Account, Change, Message, Session
from chathistory.querysets import require
from chathistory.search.base import index
from chathistory.states import State

from . import accounts, removing, retention, vocabularies
from .removing import CHUNK, Removed

#: How long the journal can undo.
IMAGES_KEPT = timedelta(days=35)
_IMAGES_AT_ONCE = 100_000


def purge(session: Session, user: Any, *, version: int | None = None) -> None:
    """Remove a session in the trash for good, with all that hangs on it; again does nothing.

    Its uuid is in the erasure ledger before the first row goes. A process that dies on the way
    leaves a session that cannot be restored, and that the next run removes.

    Raises NotFound, NotAllowed, Stale, Conflict (not in the trash, or on hold) or Unavailable.
    """
    require(user, session, "own")
    for _removed in _steps(session, None if user is None else accounts.of(user), version):
        pass


def _steps(
    session: Session, actor: Account | None, version: int | None = None
) -> Iterator[Removed]:
    with Operation(session.account, actor, "session.purge") as op:
        fresh = bulk.get(Session, id=session.pk, account=op.account.pk)
        if fresh is None:
            return
        fresh.account = op.account
        if version is not None and fresh.version != version:
            raise Stale(version=fresh.version, epoch=op.account.epoch)
        _refuse(fresh)
        removing.mark(op, fresh)
    ledger.note(fresh.account.uuid, fresh.uuid)
    yield from removing.whole(fresh, actor, "session.purge")


def _refuse(session: Session) -> None:
    if session.state != State.DELETED:
        message = _("Only a session in the trash can be removed for good.")
        raise Conflict(message, state=session.state)
    if session.hold and session.purging_at is None:
        raise Conflict(_("The session is on hold: it cannot be removed."), hold=True)


# What runs by itself


@registry.job("purge")
def sweep(work: registry.Work) -> dict[str, Any]:
    """Remove what has been in the trash long enough, and leave nothing of it in the files."""
    now = timezone.now()
    removed = _sessions(work, _due(now), None)
    removed += _tombstones(work, now)
    removed += _old_images(work, now)
    vocabularies.clean(Account.objects.all(), lambda: work.step(0))
    return dict(removed) | {"files": scrub(lambda: work.step(0))}


registry.beat("purge", 3_600, "Remove for good what has been in the trash long enough")


@registry.job("cleanup", public=True)
def cleanup(work: registry.Work) -> dict[str, Any]:
    """Remove what has been in one person's trash long enough."""
    mine = _due(timezone.now()).filter(account=work.account)
    return dict(_sessions(work, mine, work.account))


def scrub(step: Callable[[], None]) -> str:
    """Rewrite what holds removed bytes, calling ``step`` now and then; return what came of it.

    ``clean``: nothing removed is left in the file or its log. ``busy``: something is, and another
    run goes on. ``vacuum``: it leaves the files with the server's next VACUUM (PostgreSQL).
    """
    if bulk.connection(Message).vendor != "sqlite":
        return "vacuum"
    mark = index().marked()
    if mark is not None and index().merge(step) and wiping.wipe(step):
        index().unmark(mark)
    return "clean" if wiping.truncate_log() and index().marked() is None else "busy"


def _due(now: datetime) -> QuerySet[Session, Session]:
    free = Q(hold=False) | Q(purging_at__isnull=False)
    return Session.objects.filter(free, state=State.DELETED, purge_after__lte=now)


def _sessions(
    work: registry.Work, due: QuerySet[Session, Session], actor: Account | None
) -> Removed:
    removed = Removed()
    keys = list(due.order_by("purge_after", "pk").values_list("pk", flat=True))
    for done, pk in enumerate(keys):
        session = Session.objects.select_related("account").filter(pk=pk).first()
        try:
            for some in _steps(session, actor) if session else ():
                removed += some
                work.step(done, len(keys))
        except Conflict:  # restored, or put on hold, since it was found
            removed["kept"] += 1
    return removed


def _tombstones(work: registry.Work, now: datetime) -> Removed:
    """Empty the messages that were deleted from sessions that live on, when their time is over."""
    removed = Removed()
    after: tuple[datetime, int] | None = None
    while found := _deleted(now, after):
        after = (found[-1].deleted_at or now, found[-1].pk)
        for session, messages in _by_session(_over(found, now)):
            removed += _empty(session, messages)
            work.step(0)
    return removed


def _deleted(now: datetime, after: tuple[datetime, int] | None) -> list[Message]:
    """Return the next tombstones that still hold what was said, oldest first."""
    rows = Message.objects.filter(deleted_at__isnull=False, revision__gt=0, deleted_at__lte=now)
    if after is not None:
        at, pk = after
        rows = rows.filter(Q(deleted_at__gt=at) | Q(pk__gt=pk), deleted_at__gte=at)
    living = rows.filter(session__hold=False).exclude(session__state=State.DELETED)
    return list(living.select_related("session__account").order_by("deleted_at", "pk")[:CHUNK])


def _over(messages: Sequence[Message], now: datetime) -> list[Message]:
    """Return those that have been deleted for as long as a trash keeps."""
    sessions = list({row.session_id: row.session for row in messages}.values())
    terms = zip(sessions, retention.effective_all(sessions), strict=True)
    keep = {session.pk: term.trash_for for session, term in terms}
    return [
        row
        for row in messages
        if row.deleted_at and (time := keep[row.session_id]) and row.deleted_at + time <= now
    ]


def _by_session(messages: Sequence[Message]) -> Iterator[tuple[Session, list[Message]]]:
    def key(row: Message) -> int:
        return row.session_id

    for _pk, group in groupby(sorted(messages, key=key), key=key):
        rows = list(group)
        yield rows[0].session, rows


def _empty(session: Session, messages: Sequence[Message]) -> Removed:
    """Empty tombstones of one session; one whose block is damaged stays, and is counted."""
    try:
        return _empty_all(session, messages)
    except Damaged:
        if len(messages) == 1:
            return Removed(damaged=1)
    return sum((_empty(session, [message]) for message in messages), Removed())


def _empty_all(session: Session, messages: Sequence[Message]) -> Removed:
    with Operation(session.account, None, "message.purge") as op:
        fresh = bulk.get(Session, id=session.pk, account=op.account.pk)
        if fresh is None or fresh.hold or fresh.state == State.DELETED:
            return Removed()
        fresh.account = op.account
        mine = removing.unmoved(messages)
        ledger.note(op.account.uuid, fresh.uuid, [row.uuid for row in mine])
        return removing.empty(op, fresh, mine)


def _old_images(work: registry.Work, now: datetime) -> Removed:
    """Take the oldest before-images out of the journal; a run takes so many, the next the rest."""
    removed = Removed()
    # By time and not by key: where the clock once stood ahead, what is due comes later.
    due = Change.objects.filter(before__isnull=False, at__lt=now - IMAGES_KEPT).order_by("at")
    while removed["before_images"] < _IMAGES_AT_ONCE and (count := removing.blank(due)):
        removed["before_images"] += count
        work.step(0)
    return removed
