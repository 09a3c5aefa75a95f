"""``sessions``: list, create, read, change, delete, fork, pin, archive, restore, bulk."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from chathistory import cache, listing
from chathistory.actions import lifecycle, purge, sessions
from chathistory.conf import settings
from chathistory.exceptions import ChatHistoryError, Invalid, LimitExceeded
from chathistory.models import Session
from chathistory.represent import messages_json, opened, parent_ids, session_json, tag_names
from chathistory.states import State

from . import filters, serializers
from .base import View, as_html, expected, number, owned, parsed, session_etag, session_of

SHOWN = 50
_SORTS = {"-updated_at": "updated", "shown": "shown"}
FILTERS = [
    OpenApiParameter("workflow", str),
    OpenApiParameter("state", str, enum=State.values),
    OpenApiParameter("pinned", bool),
    OpenApiParameter("tag", str),
    *(
        OpenApiParameter(f"{which}_{side}", OpenApiTypes.DATETIME)
        for which in ("created", "updated")
        for side in ("after", "before")
    ),
]


class SessionsView(View):
    """Chats that you may read, newest first."""

    parameters = filters.NAMES | {"page", "page_size", "cursor", "sort"}
    forms = {"POST": serializers.SessionCreate}

    @extend_schema(
        operation_id="sessions_list",
        parameters=[
            *FILTERS,
            OpenApiParameter("page", int),
            OpenApiParameter("page_size", int),
            OpenApiParameter("cursor", str),
            OpenApiParameter("sort", str, enum=list(_SORTS)),
        ],
        responses=serializers.SessionList,
    )
    def get(self, request: Request) -> Response:
        """Answer a numbered page, or what follows ``cursor``."""
        order = _SORTS.get(request.query_params.get("sort", "-updated_at"))
        if order is None:
            raise Invalid(f"Unknown sort; one of: {', '.join(_SORTS)}.", field="sort")
        size = number(request, "page_size", 20, 1, listing.MAX_LIMIT)
        narrow = filters.narrow(request)
        if "cursor" in request.query_params:
            return self._after(request, size, narrow, order)
        page = number(request, "page", 1, 1, listing.COUNTED)
        rows, total = listing.numbered(
            request.user, number=page, size=size, narrow=narrow, order=order
        )
        more = page * size < total and len(rows) == size
        numbers = {"total": total, "page": page, "total_pages": -(-total // size)}
        cursor = listing.cursor_after(rows[-1], order) if more else None
        return Response(
            self._shown(request, rows) | numbers | {"page_size": size, "next_cursor": cursor}
        )

    def _after(self, request: Request, size: int, narrow: listing.Narrow, order: str) -> Response:
        cursor = request.query_params["cursor"] or None
        page = listing.page(request.user, limit=size, cursor=cursor, narrow=narrow, order=order)
        shown = self._shown(request, page.sessions)
        return Response(shown | {"page_size": size, "next_cursor": page.cursor})

    def _shown(self, request: Request, rows: list[Session]) -> dict[str, Any]:
        return {"sessions": [session_json(row, owned=owned(request, row)) for row in rows]}

    @extend_schema(
        operation_id="sessions_create",
        request=serializers.SessionCreate,
        responses={201: serializers.SessionOut},
    )
    def post(self, request: Request) -> Response:
        """Create a session; the same ``session_id`` again answers the one there is."""
        values = parsed(serializers.SessionCreate, request)
        session = sessions.create(
            request.user,
            values["workflow_type"],
            session_id=values.get("session_id"),
            title=values.get("title"),
            metadata=values.get("metadata"),
        )
        return _answer(request, session, status=201)


class SessionView(View):
    """One chat."""

    parameters = frozenset({"render", "forever"})
    forms = {"PATCH": serializers.SessionChange, "PUT": serializers.SessionChange}

    @extend_schema(
        operation_id="sessions_read",
        parameters=[OpenApiParameter("render", str, enum=["html"])],
        responses=serializers.SessionDetail,
    )
    def get(self, request: Request, session_id: UUID) -> Response:
        """Answer the session with its newest 50 messages, oldest first."""
        session = session_of(request, session_id)
        html = as_html(request)
        name = "newest-html" if html else "newest"
        newest = cache.page(session, name, lambda: _newest(session, html=html))
        body = session_json(session, owned=owned(request, session), parts=newest["parts"])
        return Response(body | newest["page"], headers={"ETag": session_etag(session)})

    @extend_schema(
        operation_id="sessions_change",
        request=serializers.SessionChange,
        responses=serializers.SessionOut,
    )
    def patch(self, request: Request, session_id: UUID) -> Response:
        """Change title, pin, tags or metadata; ``If-Match`` guards against overwriting."""
        session = session_of(request, session_id)
        version = expected(request, session)
        values = parsed(serializers.SessionChange, request)
        changed = sessions.change(session, request.user, version=version, **values)
        return _answer(request, changed)

    @extend_schema(
        operation_id="sessions_delete",
        parameters=[OpenApiParameter("forever", int, enum=[0, 1])],
        responses={204: None},
    )
    def delete(self, request: Request, session_id: UUID) -> Response:
        """Move the session to the trash; with ``forever=1`` remove it from there for good."""
        session = session_of(request, session_id)
        version = expected(request, session)
        if number(request, "forever", 0, 0, 1):
            purge.purge(session, request.user, version=version)
        else:
            sessions.delete(session, request.user, version=version)
        return Response(status=204)


class ForkView(View):
    """Copy a branch into a session of your own."""

    forms = {"POST": serializers.Fork}

    @extend_schema(
        operation_id="sessions_fork",
        request=serializers.Fork,
        responses={201: serializers.SessionOut},
    )
    def post(self, request: Request, session_id: UUID) -> Response:
        """Fork at ``message_id``, by default at the message shown last."""
        session = session_of(request, session_id)
        at = parsed(serializers.Fork, request).get("message_id")
        return _answer(request, sessions.fork(session, request.user, at=at), status=201)


class PinView(View):
    """Pin a session, or let it go."""

    forms = {"POST": serializers.Pin}

    @extend_schema(
        operation_id="sessions_pin", request=serializers.Pin, responses=serializers.SessionOut
    )
    def post(self, request: Request, session_id: UUID) -> Response:
        """Pin the session; ``{"pinned": false}`` lets it go."""
        session = session_of(request, session_id)
        version = expected(request, session)
        pinned = parsed(serializers.Pin, request)["pinned"]
        return _answer(request, sessions.pin(session, request.user, pinned, version=version))


class ArchiveView(View):
    """Put a session away."""

    @extend_schema(operation_id="sessions_archive", request=None, responses=serializers.SessionOut)
    def post(self, request: Request, session_id: UUID) -> Response:
        """Archive the session; a new message, or ``resume``, brings it back."""
        session = session_of(request, session_id)
        version = expected(request, session)
        return _answer(request, lifecycle.archive(session, request.user, version=version))


class ResumeView(View):
    """Go on with a session."""

    @extend_schema(operation_id="sessions_resume", request=None, responses=serializers.SessionOut)
    def post(self, request: Request, session_id: UUID) -> Response:
        """Make an idle or archived session active."""
        session = session_of(request, session_id)
        version = expected(request, session)
        return _answer(request, lifecycle.resume(session, request.user, version=version))


class RestoreView(View):
    """Take a session out of the trash."""

    @extend_schema(operation_id="sessions_restore", request=None, responses=serializers.SessionOut)
    def post(self, request: Request, session_id: UUID) -> Response:
        """Restore the session as it was."""
        session = session_of(request, session_id)
        version = expected(request, session)
        return _answer(request, sessions.restore(session, request.user, version=version))


class BulkView(View):
    """One verb for many sessions."""

    forms = {"POST": serializers.Bulk}

    @extend_schema(
        operation_id="sessions_bulk", request=serializers.Bulk, responses=serializers.BulkOut
    )
    def post(self, request: Request) -> Response:
        """Tag, untag, delete or restore; each session succeeds or fails by itself."""
        values = parsed(serializers.Bulk, request)
        wanted = list(dict.fromkeys(values["session_ids"]))
        if len(wanted) > settings.MAX_BULK:
            raise LimitExceeded(
                "Sessions at once", settings.MAX_BULK, len(wanted), field="session_ids"
            )
        if "tag" in values["action"] and not values.get("tags"):
            raise Invalid("Which tags?", field="tags")
        tags = sessions.clean_tags(values.get("tags", []))
        done, failed = [], {}
        for session_id in wanted:
            try:
                _bulk_one(request, session_id, values["action"], tags)
                done.append(str(session_id))
            except ChatHistoryError as error:
                failed[str(session_id)] = error.code
        return Response({"done": done, "failed": failed})


def _bulk_one(request: Request, session_id: UUID, action: str, tags: list[str]) -> None:
    session = session_of(request, session_id)
    if action == "delete":
        sessions.delete(session, request.user)
    elif action == "restore":
        sessions.restore(session, request.user)
    else:
        sessions.retag(session, request.user, tags, add=action == "tag")


def _answer(request: Request, session: Session, status: int = 200) -> Response:
    body = session_json(session, owned=owned(request, session))
    return Response(body, status=status, headers={"ETag": session_etag(session)})


def _newest(session: Session, *, html: bool) -> tuple[dict[str, Any], bool]:
    """Return the opened end of a session, and whether all of it opened."""
    rows = list(session.messages.order_by("-seq")[: SHOWN + 1])
    shown = list(reversed(rows[:SHOWN]))
    parts = opened(session)
    page: dict[str, Any] = {
        "head_id": _head_id(session, shown),
        "messages": messages_json(session, shown, html=html),
        "has_more": len(rows) > SHOWN,
        "earlier_cursor": f"b{shown[0].seq}" if len(rows) > SHOWN else None,
    }
    whole = None not in parts.values() and not any(row["damaged"] for row in page["messages"])
    return {"parts": parts | {"tags": tag_names(session)}, "page": page}, whole


def _head_id(session: Session, shown: list[Any]) -> str | None:
    known = parent_ids(session, shown)
    if session.head_seq is None or session.head_seq in known:
        return known.get(session.head_seq or 0)
    row = session.messages.filter(seq=session.head_seq).values_list("uuid", flat=True).first()
    return str(row) if row else None
