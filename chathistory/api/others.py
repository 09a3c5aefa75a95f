"""``search``, ``import``, ``workflows``, ``tags`` and ``healthz``."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Count
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from chathistory import records, represent, workflows
from chathistory.actions import accounts, exchange, jobs, transfers
from chathistory.conf import settings
from chathistory.exceptions import NotFound
from chathistory.models import Tag
from chathistory.search import facets, find, query
from chathistory.search.facets import Facets

from . import filters, serializers
from .base import View, flag, number, owned, parsed, session_of
from .jobs import job_json
from .sessions import FILTERS
from .uploads import SealedUpload, SealedUploadHandler

_ENVELOPE = 65_536  # bytes of a multipart request beside the file


_GROUP = "One message for each session, and in `more` how many others were found in it."
_FACETS = (
    f"Count the kinds among the newest {facets.COUNTED:,} messages that may match; `complete` says"
    " whether those are all. Months and tags can be asked for as `on:` and `tag:`."
)
_TYPING = (
    "For a query that is still being typed: from its second letter on the last word may be only"
    " begun. Where very many words begin so, the commonest of yours are looked for, and `complete`"
    " is false."
)


def _query_help() -> str:
    """Return what can be typed as Markdown."""
    lines = (f"- `{example}`: {what}" for example, what in query.HELP)
    return "\n".join(["All parts must hold; OR joins its two neighbours.", "", *lines])


class SearchView(View):
    """Words, "phrases", -not, OR, prefix* and filters, over everything you may read."""

    parameters = filters.NAMES | {"q", "sort", "limit", "cursor", "group", "facets", "typing"}

    @extend_schema(
        operation_id="search",
        parameters=[
            OpenApiParameter("q", str, required=True, description=_query_help()),
            OpenApiParameter("sort", str, enum=list(find.SORTS)),
            OpenApiParameter("limit", int),
            OpenApiParameter("cursor", str),
            OpenApiParameter("group", str, enum=list(find.GROUPS), description=_GROUP),
            OpenApiParameter("facets", bool, description=_FACETS),
            OpenApiParameter("typing", bool, description=_TYPING),
            *FILTERS,
        ],
        responses=serializers.SearchOut,
    )
    def get(self, request: Request) -> Response:
        """Answer messages found, and on the first page sessions found by title."""
        asked = request.query_params.get("q", "")
        answer = find.search(
            request.user,
            asked,
            sort=request.query_params.get("sort", "newest"),
            limit=number(request, "limit", 20, 1, find.MAX_LIMIT),
            cursor=request.query_params.get("cursor") or None,
            narrow=filters.narrow(request),
            group=request.query_params.get("group"),
            facets=flag(request, "facets"),
            typing=flag(request, "typing"),
        )
        return Response(
            {
                "query": asked,
                "results": [_hit(hit) for hit in answer.hits],
                "sessions": [
                    represent.session_json(row, owned=owned(request, row)) for row in answer.titles
                ],
                "next_cursor": answer.cursor,
                "complete": answer.complete,
                "more_complete": answer.counted,
                "did_you_mean": answer.did_you_mean,
                "close": [_hit(hit) for hit in answer.close],
                "facets": answer.facets and _facets(answer.facets),
            }
        )


class HitsView(View):
    """Where in a chat a query finds something, in order: what is next, what was before."""

    parameters = frozenset({"q"})

    @extend_schema(
        operation_id="session_hits",
        parameters=[OpenApiParameter("q", str, required=True, description=_query_help())],
        responses=serializers.HitsOut,
    )
    def get(self, request: Request, session_id: UUID) -> Response:
        """Answer the messages found in one chat by their numbers, on all its branches."""
        asked = request.query_params.get("q", "")
        found, complete = find.within(request.user, asked, session_of(request, session_id))
        hits = [{"message_id": str(uuid), "seq": seq} for seq, uuid in found]
        return Response({"query": asked, "hits": hits, "complete": complete})


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
        "path": hit.path,
        "more": hit.more,
    }


def _facets(found: Facets) -> dict[str, Any]:
    kinds = {
        name: [{"value": value, "count": count} for value, count in found.values(name)]
        for name in facets.NAMES
    }
    return {"counted": found.counted, "complete": found.complete, **kinds}


class ImportView(View):
    """Bring chats in from another product's export or from our own."""

    largest = "file"
    forms = {"POST": serializers.Import}

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Request:
        """Let no upload touch the disk but sealed; the body is not read before this."""
        request.upload_handlers = [SealedUploadHandler(request)]
        return super().initialize_request(request, *args, **kwargs)

    def most_bytes(self) -> int:
        """Refuse more before it is read."""
        return settings.MAX_UPLOAD_BYTES + _ENVELOPE

    @extend_schema(
        operation_id="import",
        request={"multipart/form-data": serializers.Import},
        responses={201: serializers.JobOut, 202: serializers.JobOut},
    )
    def post(self, request: Request) -> Response:
        """Import a file within the request, or a large one as a job; the result is its report."""
        values = parsed(serializers.Import, request)
        file = values["file"]
        options = {"copy": values["copy"], "dry_run": values["dry_run"]}
        given = values.get("format")
        exchange.check_format(given)
        if isinstance(file, SealedUpload):
            job = transfers.take_in(request.user, file, format_name=given, **options)
            file.is_kept = True
            return Response(job_json(job), status=202)

        def work() -> dict[str, Any]:
            report = exchange.import_file(request.user, file, format_name=given, **options)
            return report.as_dict()

        account = accounts.of(request.user)
        job = jobs.run(account, "import", {"file": file.name, "format": given, **options}, work)
        return Response(job_json(job), status=201)


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


class RootView(View):
    """Where everything is."""

    schema = None
    _NAMES = (
        "sessions",
        "search",
        "import",
        "jobs",
        "backups",
        "workflows",
        "tags",
        "healthz",
        "docs",
    )

    def get_view_name(self) -> str:
        """Return what the browsable API calls this page."""
        return _("Chat history")

    def get(self, request: Request) -> Response:
        """Answer the addresses to begin at."""
        return Response(
            {
                name: request.build_absolute_uri(reverse(f"chathistory-api:{name}"))
                for name in self._NAMES
            }
        )


class NothingView(View):
    """Every other path of the API."""

    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Answer 404, to whom is signed in; 401 to whom is not."""
        super().initial(request, *args, **kwargs)
        raise NotFound("There is nothing at this address.")
