"""What every view of the API shares: who may come in, errors, negotiation, ETags."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings as host
from django.db import transaction
from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from rest_framework.authentication import SessionAuthentication
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, ListField, Serializer
from rest_framework.views import APIView

from chathistory.exceptions import Invalid, LimitExceeded, Stale
from chathistory.models import Account, Message, Session

from . import errors
from .authentication import HasScope, TokenAuthentication
from .parsers import Utf8FormParser, Utf8JSONParser, Utf8MultiPartParser
from .serializers import Nothing

#: Levels of objects and lists within a field of a request.
MAX_DEPTH = 100
#: How a query parameter says yes or no.
YES, NO = ("true", "True", "1"), ("false", "False", "0")


class Negotiation(DefaultContentNegotiation):
    """By ``Accept`` or ``?format=``, whose values are those of our renderers."""

    def filter_renderers(self, renderers: Any, format: str) -> Any:
        """Return the renderers of a format. Raises Invalid for one that there is not."""
        found = [one for one in renderers if one.format == format]
        if not found:
            known = ", ".join(one.format for one in renderers)
            raise Invalid(f"Unknown format; one of: {known}.", field="format")
        return found


class Door(APIView):
    """Who may come in, and how it is said who may not, whatever the host has configured."""

    authentication_classes: Any = (TokenAuthentication, SessionAuthentication)
    permission_classes: Any = (IsAuthenticated, HasScope)

    def get_exception_handler(self) -> Callable[..., Response | None]:
        """Answer with our problems."""
        return errors.handle

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep private answers out of every cache; problems are JSON, or a page in a browser."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer["Cache-Control"] = "private, no-store"
        if isinstance(answer, Response) and answer.content_type == errors.CONTENT_TYPE:
            if isinstance(answer.accepted_renderer, BrowsableAPIRenderer):
                answer.content_type = None
            else:
                answer.accepted_renderer = JSONRenderer()
        return answer


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class View(Door):
    """A door: parse, call one verb, render."""

    parser_classes: Any = (Utf8JSONParser, Utf8FormParser, Utf8MultiPartParser)
    renderer_classes: Any = (JSONRenderer, BrowsableAPIRenderer)
    content_negotiation_class: Any = Negotiation
    throttle_classes = ()
    #: The query parameters that a view reads; any other is refused.
    parameters: ClassVar[frozenset[str]] = frozenset()
    #: The field that makes a request too large, where there is only one.
    largest: ClassVar[str] = ""
    #: What a body may hold, by method; where a POST is not named, nothing. For the forms too.
    forms: ClassVar[dict[str, type[BaseSerializer[Any]]]] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse what is too large before any of it is read, and what nobody would look at."""
        if "Transfer-Encoding" in request.headers and not request.headers.get("Content-Length"):
            raise errors.LengthRequired
        given, limit = content_length(request), self.most_bytes()
        if limit is not None and given > limit:
            raise LimitExceeded("Bytes of a request", limit, given, field=self.largest)
        super().initial(request, *args, **kwargs)
        check_parameters(request, self.parameters)
        if request.method == "POST" and hasattr(self, "post") and "POST" not in self.forms:
            parsed(Nothing, request)

    def most_bytes(self) -> int | None:
        """Return how large a request may be; Django itself does not look at JSON."""
        limit: int | None = host.DATA_UPLOAD_MAX_MEMORY_SIZE
        return limit

    def get_serializer(self, *args: Any, **kwargs: Any) -> BaseSerializer[Any]:
        """Return the serializer of the method at hand, for the browsable API's forms."""
        return self.forms.get(str(self.request.method), Serializer)(*args, **kwargs)


def content_length(request: Request) -> int:
    """Return how many bytes a request announces; 0 where it does not, as Django has it."""
    return _whole(str(request.META.get("CONTENT_LENGTH") or "")) or 0


def _whole(given: str) -> int | None:
    """Return a whole number of up to 18 digits, or None for anything else."""
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else None


def check_parameters(request: Request, known: frozenset[str]) -> None:
    """Raise Invalid for a query parameter not in ``known``, given twice, or with a NUL."""
    known = known | {"format"}
    for name, values in request.query_params.lists():
        if name not in known:
            names = ", ".join(sorted(known))
            raise Invalid(f"Unknown parameter; one of: {names}.", field=name)
        if any("\0" in value for value in values):
            raise Invalid("A NUL character.", field=name)
        if len(values) > 1:
            raise Invalid(_("Given more than once."), field=name)


def as_html(request: Request) -> bool:
    """Tell whether ``render=html`` is asked for. Raises Invalid for any other rendering."""
    if (given := request.query_params.get("render", "html")) != "html":
        raise Invalid(f"Only html, not {given}.", field="render")
    return "render" in request.query_params


def parsed(kind: type[BaseSerializer[Any]], request: Request) -> dict[str, Any]:
    """Return the validated body. Raises Invalid or DRF's ValidationError."""
    if not isinstance(request.data, dict):
        raise Invalid(f"A JSON object is needed, not {type(request.data).__name__}.")
    for name, value in request.data.items():
        if not _is_shallow(value):
            raise Invalid(f"More than {MAX_DEPTH} levels deep.", field=str(name))
    serializer = kind(data=request.data)
    _check_once(request.data, serializer)
    serializer.is_valid(raise_exception=True)
    values: dict[str, Any] = serializer.validated_data
    return values


def _check_once(data: dict[str, Any], serializer: Any) -> None:
    """Raise Invalid for a field of a form that is there twice but can have one value only."""
    if isinstance(data, MultiValueDict):
        for name, values in data.lists():
            is_list = isinstance(serializer.fields.get(name), ListField)
            if len(values) > 1 and not is_list:
                raise Invalid(_("Given more than once."), field=name)


def _is_shallow(value: Any) -> bool:
    """Tell whether JSON can be written and read again wherever the stack may stand by then."""
    level = [value]
    for _level in range(MAX_DEPTH):
        level = [one for one in level if isinstance(one, dict | list)]
        if not level:
            return True
        level = [one for outer in level for one in _within(outer)]
    return False


def _within(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """Return a whole-number query parameter. Raises Invalid outside ``low`` to ``high``."""
    given = request.query_params.get(name)
    if given is None:
        return default
    value = _whole(given)
    if value is None or not low <= value <= high:
        raise Invalid(f"A whole number from {low:,} to {high:,}.", field=name)
    return value


def flag(request: Request, name: str) -> bool:
    """Return a yes-or-no query parameter, no where it is not given. Raises Invalid."""
    given = request.query_params.get(name, "false")
    if given not in (*YES, *NO):
        raise Invalid("Either true or false.", field=name)
    return given in YES


def session_of(request: Request, session_id: UUID) -> Session:
    """Return a session through the gate: NotFound to whom may not even read it."""
    return Session.objects.reach(request.user, session_id, "read")


def owned(request: Request, row: Session) -> bool:
    """Tell whether the asker owns the session."""
    owner = row.account.user_id
    return owner is not None and bool(owner == request.user.pk)


def session_etag(session: Session) -> str:
    """Return the ETag of a session: a restore's new epoch kills the old ones."""
    return f'"{session.account.epoch}-{session.version}"'


def message_etag(message: Message) -> str:
    """Return the ETag of a message."""
    return f'"{message.session.account.epoch}-m{message.changed}"'


def expected(request: HttpRequest | Request, row: Session | Message) -> int | None:
    """Return the version of ``row`` that ``If-Match`` asks for, if any; of several the present.

    Raises Stale where it names none of this epoch.
    """
    given = request.headers.get("If-Match")
    if given is None or given.strip() == "*":
        return None
    present = row.changed if isinstance(row, Message) else row.version
    etag = message_etag(row) if isinstance(row, Message) else session_etag(row)
    start = etag.strip('"').removesuffix(str(present))
    tags = [tag.strip().removeprefix("W/").strip('"') for tag in given.split(",")]
    numbers = [_whole(tag.removeprefix(start)) for tag in tags if tag.startswith(start)]
    versions = [number for number in numbers if number is not None]
    if not versions:
        raise Stale(epoch=_account(row).epoch)
    return present if present in versions else versions[0]


def _account(row: Session | Message) -> Account:
    return row.session.account if isinstance(row, Message) else row.account
