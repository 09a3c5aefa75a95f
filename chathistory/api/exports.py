"""``sessions/{id}/export``: one chat, or one branch of it, in any format."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from django.utils.http import content_disposition_header
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from chathistory.actions import exporting, sessions
from chathistory.formats.writers import WRITERS

from .base import View, session_of
from .streams import AnyAnswer

_TYPES = sorted({writer.content_type.partition(";")[0] for writer in WRITERS.values()})
_MESSAGE = "Only the branch that ends at this message."


class ExportView(View):
    """One chat as a file."""

    parameters = frozenset({"message"})
    # The format is ours to choose: what is asked for is a file, whatever the client accepts.
    renderer_classes: Any = (JSONRenderer,)
    content_negotiation_class = AnyAnswer

    @extend_schema(
        operation_id="sessions_export",
        parameters=[
            OpenApiParameter("format", str, enum=list(WRITERS), description="By default json."),
            OpenApiParameter("message", UUID, description=_MESSAGE),
        ],
        responses={(200, kind): OpenApiResponse(bytes, "The file") for kind in _TYPES},
    )
    def get(self, request: Request, session_id: UUID) -> StreamingHttpResponse:
        """Answer the chat as a file."""
        asked = request.query_params
        session = session_of(request, session_id)
        leaf = sessions.as_uuid(asked["message"], "message") if "message" in asked else None
        file = exporting.one(request.user, session, asked.get("format", "json"), leaf=leaf)
        return answer(file)


def answer(file: exporting.File) -> StreamingHttpResponse:
    """Return a file as an answer that a browser keeps and never shows."""
    headers = {
        "Content-Disposition": content_disposition_header(True, file.name) or "attachment",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingHttpResponse(file.pieces, content_type=file.content_type, headers=headers)
