"""Working on a job: claimed by one, kept by its lease, finished once.

Whoever claims a job holds it until its lease ends, and renews the lease meanwhile. What is
written at the end is written only by who still holds it, so a job that two worked on, because
one of them seemed dead, has one result. Claims, leases and progress are no changes of the
journal: lost, they cost time only.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event, Thread
from typing import Any
from uuid import UUID, uuid4

from django.db import DatabaseError, connections
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _

from chathistory import bulk, records, registry, spool
from chathistory.conf import settings
from chathistory.exceptions import ChatHistoryError
from chathistory.journal import Operation
from chathistory.models import Account, Job

logger = logging.getLogger(__name__)

#: How often a job may be begun; whatever kills its worker each time is to be looked at.
ATTEMPTS = 5
#: Seconds between two notes of progress.
PACE = 1.0
#: Jobs tried before another worker is left to it: each may be claimed by somebody faster.
_TRIED = 20
#: Those that are not over.
OPEN = (Job.State.QUEUED, Job.State.RUNNING)


class Stopped(BaseException):
    """The work is to stop; no error, so that nobody takes it for one of their own."""


class Cancelled(Stopped):
    """Somebody asked for the job to be cancelled."""


class TakenOver(Stopped):
    """The lease ended and somebody else holds the job, or it is gone."""


@dataclass(slots=True)
class Work:
    """A job in hand: what its function is given."""

    job: Job
    holder: UUID
    arguments: dict[str, Any] = field(default_factory=dict)
    #: Whether somebody has begun it before.
    again: bool = False
    #: Set by the heartbeat when the job is no longer ours.
    lost: bool = False
    #: The file that the job leaves, with its key, if it leaves one.
    file: dict[str, Any] | None = None
    _next: float = 0.0

    @property
    def account(self) -> Account:
        """The account that the job belongs to."""
        return self.job.account

    @property
    def uuid(self) -> UUID:
        """The job's uuid, by which whatever it makes can be named so that it is made once."""
        return self.job.uuid

    def step(self, done: int, total: int | None = None) -> None:
        """Say how far the work is; it is noted about once a second. Raises Stopped."""
        self.job.progress, self.job.total = done, total
        if self.lost:
            raise TakenOver
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PACE
            self._note()

    @contextmanager
    def create_file(self, name: str) -> Iterator[spool.Writer]:
        """Give a file to be written, which the job's owner may then fetch under ``name``."""
        with spool.Writer(self.uuid) as writer:
            yield writer
            writer.finish()
        self.file = {"name": name, "bytes": writer.size, "key": writer.raw_key.hex()}

    def mine(self) -> QuerySet[Job, Job]:
        """Return the row while it is ours."""
        return Job.objects.filter(pk=self.job.pk, state=Job.State.RUNNING, holder=self.holder)

    def _note(self) -> None:
        if not self.mine().update(progress=self.job.progress, total=self.job.total):
            raise TakenOver
        if self.mine().filter(cancel=True).exists():
            raise Cancelled


def perform_next() -> bool:
    """Work on the job that waits longest, first on those whose worker died; return if any did.

    Which job a worker was told of does not matter: what was lost is found before what is new.
    """
    waiting = Job.objects.filter(free(timezone.now())).order_by("-state", "created_at")
    return any(perform(uuid) for uuid in waiting.values_list("uuid", flat=True)[:_TRIED])


def perform(uuid: UUID) -> bool:
    """Work on a job to its end; return whether it was free to be worked on.

    A worker that is stopped meanwhile puts the job back to where others find it.
    """
    work = _claim(uuid)
    if work is None:
        return False
    try:
        with _kept(work):
            state, outcome = _outcome(work)
        finish(work, state, outcome)
    except TakenOver:
        logger.warning("Job %s is somebody else's by now, or gone.", uuid)
    except BaseException as error:
        _hand_back(work, counts=isinstance(error, Exception))
        raise
    return True


def hold(job: Job) -> Work:
    """Return work on a job that is about to be stored, held from its first moment."""
    work = Work(job, job.uuid)
    job.state, job.holder, job.attempts = Job.State.RUNNING, work.holder, 1
    job.lease = timezone.now() + _lease()
    return work


def is_inline(job: Job) -> bool:
    """Tell whether whoever stored a job works on it, and never asks whether it is cancelled."""
    return job.holder == job.uuid


def inline(work: Work, function: Callable[[], Any]) -> Any:
    """Run ``function`` for a job in hand, finish the job by what comes of it, and return that.

    Errors are raised on, and so is what stops the process, which cancels the job.
    """
    try:
        with _kept(work):
            result = function()
    except ChatHistoryError as error:
        finish(work, Job.State.FAILED, _problem(error))
        raise
    except Exception:
        finish(work, Job.State.FAILED, _unexpected())
        raise
    except BaseException:
        _close_link()
        finish(work, Job.State.CANCELLED, {})
        raise
    finish(work, Job.State.DONE, {"result": result})
    return result


def free(now: datetime) -> Q:
    """Return which jobs may be claimed: queued ones, and those whose holder seems dead.

    A lease that ends too far in the future was given before the clock was set back.
    """
    lapsed = Q(lease__lt=now) | Q(lease__gt=now + 2 * _lease())
    return Q(state=Job.State.QUEUED) | Q(lapsed, state=Job.State.RUNNING)


def finish(work: Work, state: str, outcome: dict[str, Any]) -> None:
    """Write what came of a job, once. Raises TakenOver where it is no longer ours."""
    job = work.job
    if not work.mine().exists():
        raise TakenOver
    with Operation(job.account, job.account, f"job.{job.kind}") as op:
        before = {"state": job.state}
        job.account, job.state, job.finished_at = op.account, state, max(op.at, timezone.now())
        records.seal_job(job, "result", outcome)
        changed = op.record("job", job.uuid, before=before)
        columns = ("state", "finished_at", "result", "result_revision", "progress", "total")
        new = {name: getattr(job, name) for name in columns}
        if not work.mine().update(**new, changed=changed, holder=None, lease=None):
            raise TakenOver
    if work.file is None:
        spool.delete(job.uuid)


def _claim(uuid: UUID) -> Work | None:
    now, holder = timezone.now(), uuid4()
    taken = Job.objects.filter(free(now), uuid=uuid).update(
        state=Job.State.RUNNING,
        holder=holder,
        lease=now + _lease(),
        attempts=F("attempts") + 1,
        started_at=Coalesce("started_at", now),
    )
    rows = Job.objects.select_related("account__user")
    job = rows.filter(uuid=uuid, holder=holder).first() if taken else None
    return Work(job, holder, again=job.started_at != now) if job else None


def _outcome(work: Work) -> tuple[str, dict[str, Any]]:
    """Return the state that a job ends in, and what is kept of it."""
    try:
        result = _result(work)
        records.dump(result)
    except Cancelled:
        return Job.State.CANCELLED, {}
    except ChatHistoryError as error:
        return Job.State.FAILED, _problem(error)
    except Exception as error:  # noqa: BLE001  (kept as failed; where it happened is logged)
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.error("Job %s failed:\n%s%s", work.uuid, where, type(error).__name__)
        return Job.State.FAILED, _unexpected()
    outcome = {"result": result}
    return Job.State.DONE, outcome | ({"file": work.file} if work.file else {})


def _result(work: Work) -> Any:
    if work.job.cancel:
        raise Cancelled
    if work.job.attempts > ATTEMPTS:
        raise _GaveUp(_("It was begun %(n)d times and never came to its end.") % {"n": ATTEMPTS})
    kind = registry.KINDS.get(work.job.kind)
    if kind is None:
        raise _UnknownKind(_("This site does not know this kind of job."))
    work.arguments = records.open_job(work.job, "arguments") or {}
    return kind.function(work)


class _GaveUp(ChatHistoryError):
    code = "gave_up"


class _UnknownKind(ChatHistoryError):
    code = "unknown_kind"


def _problem(error: ChatHistoryError) -> dict[str, Any]:
    return {"error": {"code": error.code, "detail": str(error)}}


def _unexpected() -> dict[str, Any]:
    return {"error": {"code": "unexpected", "detail": _("It stopped at an unexpected error.")}}


def _hand_back(work: Work, *, counts: bool) -> None:
    """Queue a job again; being stopped from outside does not count as an attempt."""
    _close_link()
    attempts = F("attempts") if counts else F("attempts") - 1
    work.mine().update(state=Job.State.QUEUED, holder=None, lease=None, attempts=attempts)


def _close_link() -> None:
    """Begin anew after a stop, which may have come in the middle of a statement."""
    link = bulk.connection(Job)
    if not link.in_atomic_block:
        link.close()


@contextmanager
def _kept(work: Work) -> Iterator[None]:
    """Renew the lease from a thread of its own, four times in its length."""
    ended = Event()
    thread = Thread(target=_renew, args=(work, ended), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(1)


def _renew(work: Work, ended: Event) -> None:
    try:
        while not ended.wait(settings.JOB_LEASE / 4) and not work.lost:
            try:
                work.lost = not work.mine().update(lease=timezone.now() + _lease())
            except DatabaseError as error:  # locked, or away: the next may do
                logger.warning("A lease could not be renewed: %s.", type(error).__name__)
    finally:
        connections.close_all()


def _lease() -> timedelta:
    return timedelta(seconds=settings.JOB_LEASE)
