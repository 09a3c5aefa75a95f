"""``jobs``: what takes longer than a request."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any
from uuid import UUID

from django.http import FileResponse, HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from chathistory import represent
from chathistory.actions import accounts, jobs, transfers
from chathistory.exceptions import NotFound
from chathistory.formats.writers import content_type_of
from chathistory.models import Job

from . import serializers, streams
from .base import View, parsed

_TYPES = ("application/json", "application/x-ndjson", "application/zip", "text/csv")
_PAUSE = 0.5  # seconds between two looks at a job
_SIGN_OF_LIFE = 15  # seconds: so that a server notices a client that went away
_TURN = 60  # seconds that one may watch at a stretch


def job_json(job: Job) -> dict[str, Any]:
    """Return a job as it is answered."""
    outcome = jobs.outcome_of(job)
    file = outcome.get("file")
    return {
        "id": str(job.uuid),
        "kind": job.kind,
        "state": job.state,
        "progress": job.progress,
        "total": job.total,
        "cancel": job.cancel,
        "created_at": represent.moment(job.created_at),
        "started_at": represent.moment(job.started_at),
        "finished_at": represent.moment(job.finished_at),
        "file": {name: file[name] for name in ("name", "bytes")} if file else None,
        "result": outcome.get("result"),
        "error": outcome.get("error"),
    }


class JobsView(View):
    """Your jobs, newest first."""

    forms = {"POST": serializers.JobCreate}

    @extend_schema(operation_id="jobs_list", responses=serializers.JobList)
    def get(self, request: Request) -> Response:
        """Answer the newest hundred."""
        rows = Job.objects.filter(account=accounts.of(request.user)).select_related("account")
        return Response({"jobs": [job_json(row) for row in rows.order_by("-id")[:100]]})

    @extend_schema(
        operation_id="jobs_create",
        request=serializers.JobCreate,
        responses={202: serializers.JobOut},
    )
    def post(self, request: Request) -> Response:
        """Queue a job: ``backup``, ``cleanup``, ``compress``, ``export``, or what the site adds."""
        values = parsed(serializers.JobCreate, request)
        job = jobs.ask(request.user, values.pop("kind"), values)
        return Response(job_json(job), status=202)


class JobView(View):
    """Long work."""

    @extend_schema(operation_id="jobs_read", responses=serializers.JobOut)
    def get(self, request: Request, job_id: UUID) -> Response:
        """Answer how far a job is and what came of it."""
        return Response(job_json(jobs.reach(request.user, job_id)))

    @extend_schema(operation_id="jobs_delete", responses=serializers.JobOut)
    def delete(self, request: Request, job_id: UUID) -> Response:
        """Cancel a job: a queued one at once, a running one at its next step."""
        return Response(job_json(jobs.cancel(request.user, job_id)))


class CancelView(View):
    """Cancel a job."""

    @extend_schema(operation_id="jobs_cancel", request=None, responses=serializers.JobOut)
    def post(self, request: Request, job_id: UUID) -> Response:
        """Cancel a job: a queued one at once, a running one at its next step."""
        return Response(job_json(jobs.cancel(request.user, job_id)))


class EventsView(View):
    """A job as it goes on."""

    renderer_classes: Any = (streams.EventStream,)
    content_negotiation_class = streams.AnyAnswer

    @extend_schema(
        operation_id="jobs_events",
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                str, "Events `progress` with the job, then `end`; cut after a minute: connect again"
            )
        },
    )
    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        """Stream the job whenever it changes, until it has ended or others have their turn."""
        job = jobs.reach(request.user, job_id)
        return streams.answer(streams.WATCHERS, lambda: _events(request.user, job))


class FileView(View):
    """The file that a job left."""

    @extend_schema(
        operation_id="jobs_file",
        responses={(200, kind): OpenApiResponse(bytes, "The file") for kind in _TYPES},
    )
    def get(self, request: Request, job_id: UUID) -> HttpResponseBase:
        """Answer the file, within a day after it was made."""
        known, file = transfers.file_of(request.user, job_id)
        answer = FileResponse(
            file,
            as_attachment=True,
            filename=known["name"],
            content_type=content_type_of(known["name"]),
        )
        answer["Content-Length"] = known["bytes"]
        answer["X-Content-Type-Options"] = "nosniff"
        return answer


def _events(user: Any, job: Job) -> Generator[bytes]:
    shown: dict[str, Any] | None = None
    said = begun = time.monotonic()
    while streams.is_serving():
        now = job_json(job)
        if job.finished_at is not None:
            yield streams.event("end", now)
            return
        if now != shown:
            shown, said = now, time.monotonic()
            yield streams.event("progress", now)
        elif time.monotonic() - begun > _TURN:
            yield b"retry: 3000\n\n"  # whoever watches comes again; places are few
            return
        elif time.monotonic() - said > _SIGN_OF_LIFE:
            said = time.monotonic()
            yield b":\n\n"
        time.sleep(_PAUSE)
        try:
            job = jobs.reach(user, job.uuid)
        except NotFound:  # purged meanwhile
            return
