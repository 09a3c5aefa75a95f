"""What every view of the API shares: who may come in, errors, negotiation, ETags."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest
from django.utils.decorators import method_decorator
from rest_framework.authentication import SessionAuthentication
from rest_framework.parsers import FormParser, JSONParser, MultiPartParser
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from chathistory.actions import accounts
from chathistory.exceptions import Invalid, Stale
from chathistory.models import Message, Session

from . import errors
from .authentication import HasScope, TokenAuthentication


class Utf8JSONParser(JSONParser):
    """JSON in UTF-8, without NaN; bytes that are no UTF-8 are bad input, not an error of ours."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """Return the parsed body."""
        try:
            return super().parse(stream, media_type, parser_context)
        except (UnicodeError, RecursionError, ValueError) as error:
            raise Invalid(f"The body is not JSON in UTF-8: {error}.") from None


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class View(APIView):
    """A door: parse, call one verb, render."""

    authentication_classes: Any = (TokenAuthentication, SessionAuthentication)
    permission_classes: Any = (IsAuthenticated, HasScope)
    parser_classes: Any = (Utf8JSONParser, FormParser, MultiPartParser)
    renderer_classes: Any = (JSONRenderer, BrowsableAPIRenderer)
    throttle_classes = ()
    #: The serializer of the browsable API's form, by method.
    forms: ClassVar[dict[str, type[BaseSerializer[Any]]]] = {}

    def get_exception_handler(self) -> Callable[..., Response | None]:
        """Answer with our problems, whatever the host has configured."""
        return errors.handle

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep private answers out of every cache."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer["Cache-Control"] = "private, no-store"
        return answer

    def get_serializer(self, *args: Any, **kwargs: Any) -> BaseSerializer[Any]:
        """Return the serializer of the method at hand, for the browsable API's forms."""
        return self.forms[str(self.request.method)](*args, **kwargs)


def parsed(kind: type[BaseSerializer[Any]], request: Request) -> dict[str, Any]:
    """Return the validated body. Raises Invalid or DRF's ValidationError."""
    if not isinstance(request.data, dict):
        raise Invalid(f"A JSON object is needed, not {type(request.data).__name__}.")
    serializer = kind(data=request.data)
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values


def number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """Return a whole-number query parameter. Raises Invalid outside ``low`` to ``high``."""
    given = request.query_params.get(name)
    if given is None:
        return default
    value = int(given) if given.isascii() and given.isdigit() and len(given) < 19 else -1
    if not low <= value <= high:
        raise Invalid(f"A whole number from {low:,} to {high:,}.", field=name)
    return value


def session_of(request: Request, session_id: UUID) -> Session:
    """Return a session through the gate: NotFound to whom may not even read it."""
    return Session.objects.reach(request.user, session_id, "read")


def owned(request: Request, row: Session) -> bool:
    """Tell whether the asker owns the session."""
    return bool(row.account.user_id == accounts.of(request.user).user_id)


def session_etag(session: Session) -> str:
    """Return the ETag of a session: a restore's new epoch kills the old ones."""
    return f'"{session.account.epoch}-{session.version}"'


def message_etag(message: Message) -> str:
    """Return the ETag of a message."""
    return f'"{message.session.account.epoch}-m{message.changed}"'


def expected(request: HttpRequest | Request, epoch: int, prefix: str = "") -> int | None:
    """Return the version that ``If-Match`` asks for, if any. Raises Stale for another epoch."""
    given = request.headers.get("If-Match")
    if given is None or given.strip() == "*":
        return None
    era, _, version = given.strip().removeprefix("W/").strip('"').partition("-")
    version = version.removeprefix(prefix) if prefix else version
    if era != str(epoch) or not (version.isascii() and version.isdigit()):
        raise Stale(epoch=epoch)
    return int(version)
