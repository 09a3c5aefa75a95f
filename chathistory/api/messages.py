"""``sessions/{id}/messages``, ``messages/{id}`` and ``sessions/{id}/reply``."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any
from uuid import UUID

from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from chathistory.actions import messages, reply
from chathistory.actions.reply import Piece
from chathistory.exceptions import Invalid
from chathistory.models import Message, Session
from chathistory.represent import message_json, messages_json, parent_ids

from . import serializers, streams
from .base import View, as_html, expected, message_etag, number, parsed, session_of

_PAGE = 50
_MOST = 500


class MessagesView(View):
    """What was said in a session."""

    parameters = frozenset({"offset", "limit", "cursor", "render"})
    forms = {"POST": serializers.MessageCreate}

    @extend_schema(
        operation_id="messages_list",
        parameters=[
            OpenApiParameter("offset", int),
            OpenApiParameter("limit", int),
            OpenApiParameter("cursor", str),
            OpenApiParameter("render", str, enum=["html"]),
        ],
        responses=serializers.MessageList,
    )
    def get(self, request: Request, session_id: UUID) -> Response:
        """Answer messages, oldest first: from ``offset``, or from ``cursor``."""
        session = session_of(request, session_id)
        limit = number(request, "limit", _PAGE, 1, _MOST)
        offset = number(request, "offset", 0, 0, 2**31)
        cursor = request.query_params.get("cursor")
        rows, following = _page(session, cursor, offset, limit)
        html = as_html(request)
        return Response(
            {
                "messages": messages_json(session, rows, html=html),
                "total": session.last_seq if cursor else session.messages.count(),
                "has_more": following is not None,
                "next_cursor": following,
            }
        )

    @extend_schema(
        operation_id="messages_create",
        request=serializers.MessageCreate,
        responses={201: serializers.MessageOut},
    )
    def post(self, request: Request, session_id: UUID) -> Response:
        """Add a message; the same ``id`` and content again answers the one there is."""
        session = session_of(request, session_id)
        version = expected(request, session)
        values = parsed(serializers.MessageCreate, request)
        message = messages.append(
            session,
            request.user,
            values["role"],
            values["content"],
            message_id=values.get("id"),
            parent=values.get("parent_id", messages.HERE),
            metadata=values.get("metadata"),
            blocks=values.get("blocks"),
            tokens=values.get("tokens"),
            version=version,
        )
        return _answer(message, status=201)


class MessageView(View):
    """One message."""

    parameters = frozenset({"render"})
    forms = {"PATCH": serializers.MessageChange, "PUT": serializers.MessageChange}

    @extend_schema(
        operation_id="messages_read",
        parameters=[OpenApiParameter("render", str, enum=["html"])],
        responses=serializers.MessageOut,
    )
    def get(self, request: Request, message_id: UUID) -> Response:
        """Answer the message."""
        message = Message.objects.reach(request.user, message_id)
        return _answer(message, html=as_html(request))

    @extend_schema(
        operation_id="messages_change",
        request=serializers.MessageChange,
        responses={200: serializers.MessageOut, 201: serializers.MessageOut},
    )
    def patch(self, request: Request, message_id: UUID) -> Response:
        """Change the text in place, keeping the earlier one; or say it beside, as a sibling."""
        message = Message.objects.reach(request.user, message_id)
        values = parsed(serializers.MessageChange, request)
        if values["sibling"]:
            return _answer(messages.branch(message, request.user, values["content"]), status=201)
        seen = expected(request, message)
        return _answer(messages.edit(message, request.user, values["content"], changed=seen))

    @extend_schema(operation_id="messages_delete", responses={204: None})
    def delete(self, request: Request, message_id: UUID) -> Response:
        """Leave a tombstone in the tree."""
        message = Message.objects.reach(request.user, message_id)
        seen = expected(request, message)
        messages.delete(message, request.user, changed=seen)
        return Response(status=204)


class ReplyView(View):
    """Ask the workflow's responder."""

    forms = {"POST": serializers.Reply}
    renderer_classes: Any = (streams.EventStream,)
    content_negotiation_class = streams.AnyAnswer

    @extend_schema(
        operation_id="sessions_reply",
        request=serializers.Reply,
        responses={
            (200, "text/event-stream"): OpenApiResponse(
                str, "Events `message`, `delta`, then `done` or `error`"
            )
        },
    )
    def post(self, request: Request, session_id: UUID) -> HttpResponseBase:
        """Store the question, then stream the answer and store it."""
        session = session_of(request, session_id)
        content = parsed(serializers.Reply, request).get("content")
        return streams.answer(
            streams.ANSWERS, lambda: _events(*reply.ask(session, request.user, content))
        )


def _events(question: Message, pieces: Iterator[Piece]) -> Generator[bytes]:
    yield streams.event("message", _shown(question))
    for piece in pieces:
        if piece.kind == "delta":
            yield streams.event("delta", {"text": piece.text})
        elif piece.kind == "done" and piece.message:
            yield streams.event("done", _shown(piece.message))
        elif piece.message:
            problem = {"code": "responder_failed", "message": "The answer could not be finished."}
            yield streams.event("error", problem | {"retry": True, "id": str(piece.message.uuid)})


def _shown(message: Message) -> dict[str, Any]:
    parents = parent_ids(message.session, [message])
    return message_json(message, message.session, parents, html=True)


def _answer(message: Message, status: int = 200, *, html: bool = False) -> Response:
    (body,) = messages_json(message.session, [message], html=html)
    return Response(body, status=status, headers={"ETag": message_etag(message)})


def _page(
    session: Session, cursor: str | None, offset: int, limit: int
) -> tuple[list[Message], str | None]:
    if cursor is None:
        rows = list(session.messages.order_by("seq")[offset : offset + limit + 1])
        return rows[:limit], f"a{rows[limit - 1].seq}" if len(rows) > limit else None
    kind, seq = cursor[:1], cursor[1:]
    if kind not in ("a", "b") or not (seq.isascii() and seq.isdigit() and len(seq) < 12):
        raise Invalid("Not a cursor that this list gave.", field="cursor")
    if kind == "a":
        rows = list(session.messages.filter(seq__gt=seq).order_by("seq")[: limit + 1])
        return rows[:limit], f"a{rows[limit - 1].seq}" if len(rows) > limit else None
    rows = list(session.messages.filter(seq__lt=seq).order_by("-seq")[: limit + 1])
    shown = list(reversed(rows[:limit]))
    return shown, f"b{shown[0].seq}" if len(rows) > limit else None
