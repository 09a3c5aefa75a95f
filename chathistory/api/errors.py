"""From what went wrong to ``application/problem+json`` (RFC 9457): the only place with statuses."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.http import Http404
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions as drf
from rest_framework import status
from rest_framework.response import Response

from chathistory import text
from chathistory.exceptions import (
    ChatHistoryError,
    Conflict,
    Damaged,
    Invalid,
    LimitExceeded,
    NotAllowed,
    NotFound,
    Stale,
    TooMany,
    Unavailable,
)

logger = logging.getLogger(__name__)
CONTENT_TYPE = "application/problem+json"

#: The first class that fits decides.
STATUSES: list[tuple[type[ChatHistoryError], int]] = [
    (NotFound, status.HTTP_404_NOT_FOUND),
    (NotAllowed, status.HTTP_403_FORBIDDEN),
    (Stale, status.HTTP_412_PRECONDITION_FAILED),
    (Conflict, status.HTTP_409_CONFLICT),
    (TooMany, status.HTTP_429_TOO_MANY_REQUESTS),
    (LimitExceeded, status.HTTP_413_REQUEST_ENTITY_TOO_LARGE),
    (Invalid, status.HTTP_400_BAD_REQUEST),
    (Unavailable, status.HTTP_503_SERVICE_UNAVAILABLE),
    (Damaged, status.HTTP_409_CONFLICT),
]


class LengthRequired(drf.APIException):
    """A body that does not say how long it is: Django would take it for an empty one."""

    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_detail = _("The request needs a Content-Length.")


def handle(error: Exception, _context: dict[str, Any]) -> Response | None:
    """Return the problem of an exception, or None for one that is not ours to answer."""
    if isinstance(error, ChatHistoryError):
        return _ours(error)
    if isinstance(error, Http404):
        return problem(404, "not_found", "There is nothing here that you may see.")
    if isinstance(error, PermissionDenied):
        return problem(403, "not_allowed", str(error) or "You may not do that.")
    if isinstance(error, RequestDataTooBig):
        return problem(413, "limit_exceeded", "The request is larger than this site takes.")
    if isinstance(error, TooManyFieldsSent | TooManyFilesSent):
        return problem(413, "limit_exceeded", "The form has more fields or files than are taken.")
    return _of_framework(error) if isinstance(error, drf.APIException) else None


def problem(code: int, name: str, detail: str, **more: Any) -> Response:
    """Return one problem: ``{type, title, status, code, detail, ...}``."""
    title = name.replace("_", " ").capitalize()
    body = {"type": "about:blank", "title": title, "status": code, "code": name, "detail": detail}
    given = {key: value for key, value in more.items() if value not in ("", None)}
    return Response(_mended(body | given), status=code, content_type=CONTENT_TYPE)


def _mended(value: Any) -> Any:
    """Return what may repeat the client's own words fit to be sent back."""
    if isinstance(value, dict):
        return {text.mend(str(k)): _mended(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(v) for v in value]
    return text.mend(value) if isinstance(value, str) else value


def _ours(error: ChatHistoryError) -> Response:
    code = next((code for kind, code in STATUSES if isinstance(error, kind)), 400)
    if code == status.HTTP_503_SERVICE_UNAVAILABLE:
        logger.error("Unavailable: %s", error)
    answer = problem(code, error.code, str(error), **error.data)
    if "retry_after" in error.data:
        answer["Retry-After"] = str(error.data["retry_after"])
    return answer


def _of_framework(error: drf.APIException) -> Response:
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = error.auth_header  # type: ignore[attr-defined]
    if isinstance(error, drf.ValidationError):
        return _of_validation(error)
    names = {401: "not_authenticated", 403: "not_allowed", 405: "method_not_allowed"}
    names |= {400: "invalid", 406: "not_acceptable", 411: "length_required"}
    names |= {415: "unsupported_media_type"}
    name = names.get(error.status_code, "error")
    answer = problem(error.status_code, name, str(error.detail))
    for key, value in headers.items():
        answer[key] = value
    return answer


def _of_validation(error: drf.ValidationError) -> Response:
    errors = error.detail if isinstance(error.detail, dict) else {"": error.detail}
    said: Any
    field, said = next(iter(errors.items()))
    while isinstance(said, dict | list):
        said = next(iter(said.values() if isinstance(said, dict) else said), "")
    return problem(400, "invalid", str(said), field=str(field), errors=error.detail)
