"""Long work: a row that says what was asked, how far it is and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.utils import timezone

from chathistory import records
from chathistory.exceptions import ChatHistoryError, NotFound
from chathistory.journal import Operation
from chathistory.models import Account, Job


def run(account: Account, kind: str, arguments: dict[str, Any], work: Callable[[], Any]) -> Job:
    """Do ``work`` now, inline, and keep its result or error in a Job row.

    An error fails the job and is raised on; the row stays.
    """
    job = _start(account, kind, arguments)
    try:
        result = work()
    except ChatHistoryError as error:
        _finish(job, Job.State.FAILED, {"error": {"code": error.code, "detail": str(error)}})
        raise
    except Exception:
        failed = {"code": ChatHistoryError.code, "detail": "It stopped at an unexpected error."}
        _finish(job, Job.State.FAILED, {"error": failed})
        raise
    _finish(job, Job.State.DONE, {"result": result})
    return job


def reach(user: Any, uuid: UUID) -> Job:
    """Return a job of ``user``. Raises NotFound."""
    job = Job.objects.select_related("account").filter(uuid=uuid, account__user=user).first()
    if job is None:
        raise NotFound("There is no such job.")
    return job


def _start(account: Account, kind: str, arguments: dict[str, Any]) -> Job:
    with Operation(account, account, f"job.{kind}") as op:
        job = Job(account=op.account, kind=kind, state=Job.State.RUNNING)
        job.created_at = job.started_at = op.at
        records.seal_job(job, "arguments", arguments)
        job.changed = op.record("job", job.uuid)
        job.save(force_insert=True)
    return job


def _finish(job: Job, state: str, outcome: dict[str, Any]) -> None:
    with Operation(job.account, job.account, f"job.{job.kind}") as op:
        before = {"state": job.state}
        job.account = op.account
        job.state, job.finished_at = state, max(op.at, timezone.now())
        records.seal_job(job, "result", outcome)
        job.changed = op.record("job", job.uuid, before=before)
        job.save()
