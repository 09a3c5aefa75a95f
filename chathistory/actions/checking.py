"""The full check: every sealed record of every account is opened once; what does not is marked.

A session keeps the number of its records that do not open, and so says ``damaged`` wherever it
is shown; everything else is served as ever, and nothing is removed or repaired here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from django.db.models import Max, Model, QuerySet

from chathistory import blocks, bulk, health, keyring, records, registry
from chathistory.exceptions import Conflict, Damaged
from chathistory.health import fails
from chathistory.journal import Operation
from chathistory.models import Account, Change, Job, Message, Revision, Session, Tag
from chathistory.registry import Work

from . import accounts, jobs, pipeline

KIND = "check"
_AT_ONCE = 200  # rows of one step

Row = TypeVar("Row", bound=Model)


def queue() -> Job | None:
    """Queue the full check, unless one is waiting or at work: then return None."""
    account = accounts.system()
    with Operation(account, account, "check.queue"):
        busy = (Job.State.QUEUED, Job.State.RUNNING)
        if Job.objects.filter(account=account, kind=KIND, state__in=busy).exists():
            return None
        return jobs.enqueue(account, KIND, {})


@registry.job(KIND)
def check(work: Work) -> dict[str, Any]:
    """Open everything; return ``{total_sessions, recovered_sessions, corrupted_sessions, errors}``.

    The counts are those of a health.Report, after the marks are set. ``errors`` has a line for
    each other kind of record of which some do not open. Progress is the number of the last
    session read: a check that was interrupted goes on from there. Raises MasterKeyError, for a
    master key that is missing damages nothing.
    """
    actor = accounts.system()
    keyring.forget()  # what counts is what is stored
    _load_keys()
    last = Session.objects.aggregate(last=Max("pk"))["last"] or 0
    rest = Session.objects.filter(pk__gt=_so_far(work), pk__lte=last)
    for batch in _batches(rest.select_related("account")):
        for session in batch:
            _look(session, actor)
        work.step(batch[-1].pk, last)
    errors = [f"{name}: {count} do not open" for name, count in _others(work, last) if count]
    report = health.Report()
    health.count(report, set(Session.objects.filter(damaged__gt=0).values_list("pk", flat=True)))
    return {
        "total_sessions": report.total_sessions,
        "recovered_sessions": report.recovered_sessions,
        "corrupted_sessions": report.corrupted_sessions,
        "errors": errors,
    }


def _load_keys() -> None:
    for account in Account.objects.iterator(_AT_ONCE):
        with suppress(Damaged):
            keyring.account_keys(account)


def _so_far(work: Work) -> int:
    """Return the number of the last session that this job had read when it was interrupted."""
    mine = Job.objects.filter(account=work.account, kind=KIND, state=Job.State.RUNNING)
    return mine.order_by("pk").values_list("progress", flat=True).first() or 0


def _look(session: Session, actor: Account) -> None:
    if _damaged(session) == session.damaged == 0:
        return
    # Once more, where nobody can write meanwhile: only what is still so is marked.
    with suppress(Conflict), Operation(session.account, actor, "session.check") as op:
        fresh = pipeline.lock(op, session)
        found = _damaged(fresh)
        if found != fresh.damaged:
            _mark(op, fresh, found)


def _mark(op: Operation, session: Session, damaged: int) -> None:
    # Sealed by the account's key: the session's own may be what does not open. Without either
    # there is no before-image.
    lost = fails(keyring.account_keys, op.account)
    before = None if lost else {"damaged": session.damaged}
    session.changed = op.record("session", session.uuid, before=before)
    session.damaged = damaged
    bulk.update(session, ["damaged", "changed"])


def _damaged(session: Session) -> int:
    """Return how many records do not open: the session's own, its messages', earlier texts."""
    blocks.forget(session)
    said = Message.objects.filter(session=session, revision__gt=0).order_by("seq")
    earlier = Revision.objects.filter(message__session=session)
    return (
        health.damages(session)
        + _broken(said, records.open_packed, session)
        + _broken(earlier, records.open_revision, session)
    )


def _broken(rows: QuerySet[Row], read: Callable[[Row, Session], Any], session: Session) -> int:
    """Count what does not open; where a row cannot even be loaded, that one."""
    try:
        return sum(fails(read, row, session) for row in rows.iterator(_AT_ONCE))
    except Exception:  # noqa: BLE001  (a column may hold anything)
        return 1


def _others(work: Work, last: int) -> Iterator[tuple[str, int]]:
    """Yield what else is sealed, and how many of it do not open."""
    kinds: list[tuple[QuerySet[Any], Callable[[list[Any]], list[int]]]] = [
        (Tag.objects.all(), _broken_tags),
        (Job.objects.all(), _broken_jobs),
        (Change.objects.filter(before__isnull=False), _broken_changes),
    ]
    for kind, broken in kinds:
        rows, found = kind.select_related("account"), 0
        for batch in _batches(rows):
            # Once more: somebody may have removed one, and its key, since it was read.
            found += len(broken(list(rows.filter(pk__in=broken(batch)))))
            work.step(last, last)
        yield str(kind.model._meta.verbose_name), found


def _broken_tags(tags: list[Tag]) -> list[int]:
    return [tag.pk for tag in tags if fails(records.tag_name, tag, tag.account)]


def _broken_jobs(found: list[Job]) -> list[int]:
    columns = ("arguments", "result")
    return [job.pk for job in found if any(fails(records.open_job, job, name) for name in columns)]


def _broken_changes(changes: list[Change]) -> list[int]:
    named = {change.session for change in changes if change.session}
    known = Session.objects.only("uuid", "key_version").in_bulk(named, field_name="uuid")
    return [
        change.pk
        for change in changes
        if fails(records.open_before, change, known.get(change.session) if change.session else None)
    ]


def _batches(rows: QuerySet[Row]) -> Iterator[list[Row]]:
    """Yield rows by their number, some at a time."""
    last, known = 0, rows.order_by("pk").values_list("pk", flat=True)
    while keys := list(known.filter(pk__gt=last)[:_AT_ONCE]):
        if batch := _loaded(rows, keys):
            yield batch
        last = keys[-1]


def _loaded(rows: QuerySet[Row], keys: list[int]) -> list[Row]:
    """Return rows; of several of which one cannot be loaded, the others."""
    try:
        return list(rows.filter(pk__in=keys).order_by("pk"))
    except Exception:  # noqa: BLE001  (a column may hold anything)
        half = len(keys) // 2
        return _loaded(rows, keys[:half]) + _loaded(rows, keys[half:]) if half else []
