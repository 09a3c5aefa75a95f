"""``search``, ``import``, ``jobs``, ``workflows``, ``tags`` and ``healthz``."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Count
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from chathistory import records, represent, workflows
from chathistory.actions import accounts, exchange, jobs
from chathistory.conf import settings
from chathistory.exceptions import LimitExceeded, NotFound
from chathistory.models import Job, Tag
from chathistory.search import find

from . import filters, serializers
from .base import View, number, owned, parsed
from .sessions import FILTERS

_ENVELOPE = 65_536  # bytes of a multipart request beside the file


class SearchView(View):
    """Words, "phrases" and -not, over everything you may read."""

    parameters = filters.NAMES | {"q", "sort", "limit", "cursor"}

    @extend_schema(
        operation_id="search",
        parameters=[
            OpenApiParameter("q", str, required=True),
            OpenApiParameter("sort", str, enum=list(find.SORTS)),
            OpenApiParameter("limit", int),
            OpenApiParameter("cursor", str),
            *FILTERS,
        ],
        responses=serializers.SearchOut,
    )
    def get(self, request: Request) -> Response:
        """Answer messages found, and on the first page sessions found by title."""
        query = request.query_params.get("q", "")
        answer = find.search(
            request.user,
            query,
            sort=request.query_params.get("sort", "newest"),
            limit=number(request, "limit", 20, 1, find.MAX_LIMIT),
            cursor=request.query_params.get("cursor") or None,
            narrow=filters.narrow(request),
        )
        return Response(
            {
                "query": query,
                "results": [_hit(hit) for hit in answer.hits],
                "sessions": [
                    represent.session_json(row, owned=owned(request, row)) for row in answer.titles
                ],
                "next_cursor": answer.cursor,
                "complete": answer.complete,
            }
        )


def _hit(hit: find.Hit) -> dict[str, Any]:
    return {
        "session_id": str(hit.session.uuid),
        "workflow_type": hit.session.workflow,
        "title": records.or_damaged(records.title_of, hit.session),
        "message_id": str(hit.message.uuid),
        "seq": hit.message.seq,
        "role": hit.message.role,
        "timestamp": represent.moment(hit.message.created_at),
        "snippet": hit.snippet,
        "highlights": hit.highlights,
        "score": round(hit.score, 4),
    }


class ImportView(View):
    """Bring chats in from ChatGPT or from our own export."""

    largest = "file"
    forms = {"POST": serializers.Import}

    def most_bytes(self) -> int:
        """Refuse more before it is read: what is read past memory lands on disk."""
        return settings.MAX_IMPORT_BYTES + _ENVELOPE

    @extend_schema(
        operation_id="import",
        request={"multipart/form-data": serializers.Import},
        responses={201: serializers.JobOut},
    )
    def post(self, request: Request) -> Response:
        """Import a file within the request; its report is the job's result."""
        values = parsed(serializers.Import, request)
        file = values["file"]
        if file.size > settings.MAX_IMPORT_BYTES:
            limit = settings.MAX_IMPORT_BYTES
            raise LimitExceeded("Bytes of a file", limit, file.size, field="file")
        options = {"copy": values["copy"], "dry_run": values["dry_run"]}

        def work() -> dict[str, Any]:
            return exchange.import_file(request.user, file, **options).as_dict()

        account = accounts.of(request.user)
        job = jobs.run(account, "import", {"file": file.name, **options}, work)
        return Response(_job(job), status=201)


class JobView(View):
    """Long work."""

    @extend_schema(operation_id="jobs_read", responses=serializers.JobOut)
    def get(self, request: Request, job_id: UUID) -> Response:
        """Answer how far a job is and what came of it."""
        return Response(_job(jobs.reach(request.user, job_id)))


class JobsView(View):
    """Your jobs, newest first."""

    @extend_schema(operation_id="jobs_list", responses=serializers.JobList)
    def get(self, request: Request) -> Response:
        """Answer the newest hundred."""
        rows = Job.objects.filter(account=accounts.of(request.user)).select_related("account")
        return Response({"jobs": [_job(row) for row in rows.order_by("-id")[:100]]})


def _job(job: Job) -> dict[str, Any]:
    outcome = records.or_damaged(records.open_job, job, "result") or {}
    return {
        "id": str(job.uuid),
        "kind": job.kind,
        "state": job.state,
        "progress": job.progress,
        "total": job.total,
        "created_at": represent.moment(job.created_at),
        "finished_at": represent.moment(job.finished_at),
        "result": outcome.get("result"),
        "error": outcome.get("error"),
    }


class WorkflowsView(View):
    """The kinds of conversation this site offers."""

    @extend_schema(operation_id="workflows", responses=serializers.WorkflowList)
    def get(self, request: Request) -> Response:
        """Answer them in the site's order."""
        names = ("name", "label", "icon", "description")
        rows = workflows.known().values()
        return Response({"workflows": [{n: getattr(row, n) for n in names} for row in rows]})


class TagsView(View):
    """Your tags."""

    @extend_schema(operation_id="tags", responses=serializers.TagList)
    def get(self, request: Request) -> Response:
        """Answer each with how many sessions bear it."""
        account = accounts.of(request.user)
        rows = Tag.objects.filter(account=account).annotate(used=Count("sessions"))
        shown = [
            {
                "id": str(row.uuid),
                "name": records.or_damaged(records.tag_name, row, account),
                "sessions": row.used,
            }
            for row in rows
        ]
        return Response({"tags": sorted(shown, key=lambda tag: tag["name"] or "")})


class HealthzView(View):
    """Whether the process answers; asks nothing of the database."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(operation_id="healthz", responses=serializers.HealthOut)
    def get(self, request: Request) -> Response:
        """Answer ok."""
        return Response({"status": "ok"})


class NothingView(View):
    """Every other path of the API."""

    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Answer 404, to whom is signed in; 401 to whom is not."""
        super().initial(request, *args, **kwargs)
        raise NotFound("There is nothing at this address.")
