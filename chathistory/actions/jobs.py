"""Long work: a row that says what was asked, how far it is and what came of it.

The row is the truth and the message to the workers a hint: whatever becomes of the message, the
sweep finds the row.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from chathistory import bulk, hints, ids, records, registry, spool
from chathistory.conf import settings
from chathistory.exceptions import Conflict, Invalid, LimitExceeded, NotFound, TooMany
from chathistory.journal import Operation
from chathistory.models import Account, Job, Session

from . import accounts, working

#: The task that works on the job that waited longest; doors register it under this name.
TASK = "chathistory.run"
#: Days that a finished job is kept.
KEPT = 30
_LATE = timedelta(seconds=10)
_AT_ONCE = 500  # jobs of one transaction
_HINTS = 100  # of one sweep: whoever follows one finds the next job by itself


def ask(user: Any, kind: str, arguments: dict[str, Any]) -> Job:
    """Queue a job that ``user`` asked for: of a public kind, about what they may see.

    ``sessions`` is a list of uuids. Raises Invalid, LimitExceeded, TooMany or NotFound, or what the
    kind's own check does.
    """
    account = accounts.of(user)
    known = {name: one for name, one in registry.KINDS.items() if one.public}
    if kind not in known:
        names = ", ".join(sorted(known))
        raise Invalid(_("Unknown kind of job; one of: %(names)s.") % {"names": names}, field="kind")
    for name in arguments.keys() - known[kind].takes:
        raise Invalid(_("This kind of job does not take this."), field=name)
    if check := known[kind].check:
        check(arguments)
    if "sessions" in arguments:
        arguments = arguments | {"sessions": _seen(user, arguments["sessions"])}
    return enqueue(account, kind, arguments)


def enqueue(
    account: Account, kind: str, arguments: dict[str, Any], *, uuid: UUID | None = None
) -> Job:
    """Store a job, and when that is committed tell a worker. ``arguments`` are JSON.

    Raises TooMany where the account, unless it is the site's own, has too many open ones.
    """
    with Operation(account, account, f"job.{kind}") as op:
        _require_room(account)
        job = _store(op, Job(kind=kind, uuid=uuid or ids.new_id()), arguments)
        transaction.on_commit(_hint, using=bulk.connection(Job).alias)
    return job


def run(
    account: Account,
    kind: str,
    arguments: dict[str, Any],
    work: Callable[[], Any],
    *,
    uuid: UUID | None = None,
) -> Job:
    """Do ``work`` now, inline, and keep its result or error in a Job row.

    An error fails the job, an interrupt cancels it, and either is raised on; the row stays. Raises
    Conflict where it took so long without a sign of life that somebody else has ended the job.
    """
    job = Job(kind=kind, uuid=uuid or ids.new_id())
    held = working.hold(job)
    with Operation(account, account, f"job.{kind}") as op:
        job.started_at = op.at
        _store(op, job, arguments)
    try:
        working.inline(held, work)
    except working.TakenOver:
        raise Conflict(_("The job was ended by somebody else meanwhile.")) from None
    return job


def cancel(user: Any, uuid: UUID) -> Job:
    """Cancel a job of ``user``: a queued one at once, a running one at its next step.

    Raises NotFound, or Conflict for a finished one and for one that runs within its request.
    """
    account = reach(user, uuid).account
    with Operation(account, account, "job.cancel") as op:
        job = reach(user, uuid)
        if job.state not in working.OPEN:
            raise Conflict(_("The job has finished already."), state=job.state)
        if working.is_inline(job):
            raise Conflict(_("It runs within its request, to the end."), state=job.state)
        if not _cancel_queued(op, job) and not job.cancel:
            job.cancel = True
            changed = op.record("job", job.uuid, before={"cancel": False})
            Job.objects.filter(pk=job.pk).update(cancel=True, changed=changed)
    return reach(user, uuid)


def reach(user: Any, uuid: UUID) -> Job:
    """Return a job of ``user``. Raises NotFound."""
    job = Job.objects.select_related("account").filter(uuid=uuid, account__user=user).first()
    if job is None:
        raise NotFound("There is no such job.")
    return job


def outcome_of(job: Job) -> dict[str, Any]:
    """Return what is kept of a finished job: ``result`` or ``error``, and perhaps ``file``.

    Empty for one that has not finished, or whose record does not open.
    """
    found: dict[str, Any] = records.or_damaged(records.open_job, job, "result") or {}
    return found


def beat(kind: str) -> bool:
    """Run a job of the system's own unless one of this kind is open; return whether it ran.

    Raises Invalid for a kind that does not exist.
    """
    if kind not in registry.KINDS:
        raise Invalid(_("Unknown kind of job: %(kind)s.") % {"kind": kind}, field="kind")
    account = accounts.system()
    with Operation(account, account, f"job.{kind}") as op:
        if Job.objects.filter(account=account, kind=kind, state__in=working.OPEN).exists():
            return False
        job = _store(op, Job(kind=kind), {})
    return working.perform(job.uuid)


def sweep() -> int:
    """Tell workers again, once for each job that nobody works on; return how often."""
    now = timezone.now()
    # A job from the future was made before the clock was set back.
    late = Q(created_at__lt=now - _LATE) | Q(created_at__gt=now) | Q(state=Job.State.RUNNING)
    waiting = Job.objects.filter(working.free(now), late)[:_HINTS].count()
    return next((told for told in range(waiting) if not hints.send(TASK)), waiting)


@registry.job("tidy")
def tidy(work: registry.Work) -> dict[str, int]:
    """Remove jobs that finished 30 days ago, and files older than a day that no job waits for."""
    oldest, jobs = timezone.now() - timedelta(days=KEPT), 0
    while rows := _finished(oldest):
        for account, group in groupby(rows, key=lambda job: job.account):
            jobs += _remove(account, list(group))
            work.step(jobs)
    return {"jobs": jobs, "files": sum(_clear(*found) for found in spool.left_over())}


registry.beat("tidy", 3_600, "Remove old jobs and the files they left")


def _store(op: Operation, job: Job, arguments: dict[str, Any]) -> Job:
    job.account, job.created_at = op.account, op.at
    records.seal_job(job, "arguments", arguments)
    job.changed = op.record("job", job.uuid)
    job.save(force_insert=True)
    return job


def _hint() -> None:
    hints.send(TASK)


def _require_room(account: Account) -> None:
    """Let the site have as many jobs as it makes."""
    mine = Job.objects.filter(account=account, state__in=working.OPEN)
    if account.uuid != accounts.SYSTEM and mine.count() >= settings.MAX_JOBS:
        raise TooMany(_("Open jobs"), settings.MAX_JOBS, settings.MAX_JOBS + 1)


def _seen(user: Any, uuids: list[UUID]) -> list[str]:
    """Return each session once that ``user`` may see."""
    if len(uuids) > settings.MAX_BULK:
        raise LimitExceeded("Sessions", settings.MAX_BULK, len(uuids), field="sessions")
    return [str(Session.objects.reach(user, uuid).uuid) for uuid in dict.fromkeys(uuids)]


def _cancel_queued(op: Operation, job: Job) -> bool:
    """Cancel a job that nobody has claimed; whoever claims it at this moment is first."""
    queued = Job.objects.filter(pk=job.pk, state=Job.State.QUEUED)
    at = max(op.at, timezone.now())
    if not queued.update(state=Job.State.CANCELLED, cancel=True, finished_at=at):
        return False
    changed = op.record("job", job.uuid, before={"state": Job.State.QUEUED, "cancel": job.cancel})
    Job.objects.filter(pk=job.pk).update(changed=changed)
    transaction.on_commit(partial(spool.delete, job.uuid), using=bulk.connection(Job).alias)
    return True


def _finished(before: datetime) -> list[Job]:
    """Return some jobs that finished before a moment, those of an account together."""
    rows = Job.objects.filter(finished_at__lt=before).exclude(state__in=working.OPEN)
    rows = rows.select_related("account").defer("arguments", "result")
    return list(rows.order_by("account_id", "id")[:_AT_ONCE])


def _remove(account: Account, jobs: list[Job]) -> int:
    with Operation(account, accounts.system(), "job.remove") as op:
        # Another run may have been faster.
        there = set(
            Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("pk", flat=True)
        )
        jobs = [job for job in jobs if job.pk in there]
        for job in jobs:
            before = {"kind": job.kind, "state": job.state}
            times = {"created_at": job.created_at, "finished_at": job.finished_at}
            op.record("job", job.uuid, before=before | {k: str(v) for k, v in times.items()})
        Job.objects.filter(pk__in=there).delete()
    for job in jobs:
        spool.delete(job.uuid)
    return len(jobs)


def _clear(path: Path, uuid: UUID | None) -> bool:
    if uuid and Job.objects.filter(uuid=uuid, state__in=working.OPEN).exists():
        return False
    path.unlink(missing_ok=True)
    return True
