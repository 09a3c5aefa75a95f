"""The pages: parse, call one verb or look-up, render."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast
from urllib.parse import unquote_to_bytes
from uuid import UUID

from django.conf import settings as host
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from . import listing, policy, reading, workflows
from .actions import lifecycle
from .actions import sessions as verbs
from .exceptions import (
    ChatHistoryError,
    Conflict,
    Damaged,
    Invalid,
    InvalidQuery,
    LimitExceeded,
    NotAllowed,
    NotFound,
)
from .listing import Narrow
from .models import Session
from .querysets import SessionQuerySet
from .search import find
from .search.query import HELP
from .states import LIVE, State
from .workflows import Workflow

_FORM = "application/x-www-form-urlencoded"
TALK, READ, LIST, RECENT = 50, 100, 20, 5  # rows of a page

_P = ParamSpec("_P")
View = Callable[Concatenate[HttpRequest, _P], HttpResponse]

#: What a person is told, and the status; the first class that fits decides.
_ERRORS: list[tuple[type[ChatHistoryError], int]] = [
    (NotFound, 404),
    (NotAllowed, 403),
    (Conflict, 409),
    (Damaged, 409),
    (LimitExceeded, 413),
    (Invalid, 400),
    (ChatHistoryError, 503),
]


def page(view: View[_P]) -> View[_P]:
    """Make a view a private page: signed in, uncached, errors shown as a page."""

    @wraps(view)
    def shown(request: HttpRequest, *args: _P.args, **kwargs: _P.kwargs) -> HttpResponse:
        try:
            response = view(request, *args, **kwargs)
        except ChatHistoryError as error:
            response = _error(request, error)
        response["Cache-Control"] = "private, no-store"
        return response

    return cast(View[_P], transaction.non_atomic_requests(login_required(shown)))


def _error(request: HttpRequest, error: ChatHistoryError) -> HttpResponse:
    status = next(status for kind, status in _ERRORS if isinstance(error, kind))
    context = {"status": status, "message": None if status in (404, 503) else str(error)}
    return render(request, "chathistory/error.html", context, status=status)


@page
@require_safe
def start(request: HttpRequest) -> HttpResponse:
    """Pick a workflow, or go on with a recent chat."""
    recent = listing.page(request.user, limit=RECENT, narrow=_resumable, order="shown")
    context = {"workflows": _answering(), "recent": reading.cards(recent.sessions, request.user)}
    return render(request, "chathistory/start.html", context)


@page
@require_safe
def chat(request: HttpRequest, workflow: str) -> HttpResponse:
    """Talk: a new chat, or the one that ``session`` names."""
    kind = _workflow(workflow)
    asked = request.GET.get("session")
    if not asked:
        return _talk(request, kind, None, reading.Window())
    found = verbs.open(request.user, workflow, _uuid(asked))
    if not kind.responder or found.state == State.DELETED:
        return redirect("chathistory:session", found.uuid)
    window = reading.window(found, TALK, before=_number(request, "before"))
    return _talk(request, kind, found, window)


def _talk(
    request: HttpRequest, kind: Workflow, found: Session | None, window: reading.Window
) -> HttpResponse:
    if not kind.responder:
        raise NotFound
    context = {
        "workflow": kind,
        "card": found and reading.card(found, request.user, window.parts),
        "window": window,
        "may_write": found is None or _may(request.user, found, "write"),
        "api": reverse("chathistory-api:sessions"),
        "login": resolve_url(host.LOGIN_URL),
    }
    return render(request, "chathistory/chat.html", context)


@page
@require_safe
def history(request: HttpRequest) -> HttpResponse:
    """List or search the chats that the person may read."""
    asked = {name: request.GET.get(name, "").strip() for name in ("q", "workflow", "state", "sort")}
    trash = "trash" in request.GET
    context: dict[str, Any] = asked | {
        "trash": trash,
        "workflows": workflows.known().values(),
        "states": [(one.value, one.label) for one in LIVE],
        "undo": _just_deleted(request),
        "query": _query_without(request, "cursor", "deleted"),
        "help": HELP,
    }
    if asked["workflow"]:
        _workflow(asked["workflow"])
    if asked["state"] not in ("", *LIVE):
        raise NotFound
    narrow = _narrow(asked["workflow"], State.DELETED if trash else asked["state"])
    cursor = request.GET.get("cursor") or None
    if not asked["q"] or trash:
        found = listing.page(request.user, limit=LIST, cursor=cursor, narrow=narrow, order="shown")
        context["page"] = found
        context["cards"] = reading.cards(found.sessions, request.user)
        return render(request, "chathistory/history.html", context)
    try:
        context |= _search(request.user, asked, narrow, cursor)
        context["meant"] = _query_with(request, "q", context["answer"].did_you_mean)
    except InvalidQuery as error:
        context |= {"error": error, "position": error.position + 1}
    status = 400 if "error" in context else 200
    return render(request, "chathistory/history.html", context, status=status)


def _search(
    user: Any, asked: dict[str, str], narrow: Narrow | None, cursor: str | None
) -> dict[str, Any]:
    sort = asked["sort"] if asked["sort"] in find.SORTS else "relevance"
    answer = find.search(user, asked["q"], sort=sort, limit=LIST, cursor=cursor, narrow=narrow)
    return {
        "answer": answer,
        "hits": _with_cards(answer.hits, user),
        "close": _with_cards(answer.close, user),
        "titles": reading.cards(answer.titles, user),
    }


def _with_cards(hits: list[find.Hit], user: Any) -> list[tuple[reading.Card, find.Hit]]:
    return list(zip(reading.cards([hit.session for hit in hits], user), hits, strict=True))


@page
@require_safe
def session(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Read one chat; ``message`` opens it at that message, on its branch."""
    return _read(request, Session.objects.reach(request.user, session_id))


def _read(request: HttpRequest, found: Session, error: str = "") -> HttpResponse:
    asked = request.GET.get("message")
    target = _uuid(asked) if asked else None
    before, after = _number(request, "before"), _number(request, "after")
    window = reading.window(found, READ, message=target, before=before, after=after)
    context = {
        "card": reading.card(found, request.user, window.parts),
        "window": window,
        "target": str(target or ""),
        "may": {verb: _may(request.user, found, verb) for verb in [*policy.VERBS, "own"]},
        "error": error,
    }
    return render(request, "chathistory/session.html", context, status=400 if error else 200)


@page
@require_POST
def rename(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Give a chat another title."""
    found = Session.objects.reach(request.user, session_id)
    try:
        verbs.rename(found, request.user, _posted(request, "title"))
    except (Invalid, LimitExceeded) as error:
        return _read(request, found, str(error))
    return redirect("chathistory:session", session_id)


@page
@require_POST
def pin(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Pin a chat to the top of the list, or let it go."""
    found = Session.objects.reach(request.user, session_id)
    verbs.pin(found, request.user, request.POST.get("pinned") == "1")
    return redirect("chathistory:session", session_id)


@page
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Ask whether to move a chat to the trash, and do it."""
    found = Session.objects.reach(request.user, session_id)
    if request.method != "POST":
        context = {"card": reading.card(found, request.user)}
        return render(request, "chathistory/delete.html", context)
    verbs.delete(found, request.user)
    return HttpResponseRedirect(f"{reverse('chathistory:history')}?deleted={session_id}")


@page
@require_POST
def archive(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Put a chat away."""
    lifecycle.archive(Session.objects.reach(request.user, session_id), request.user)
    return redirect("chathistory:session", session_id)


@page
@require_POST
def resume(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Take a chat out of the archive."""
    lifecycle.resume(Session.objects.reach(request.user, session_id), request.user)
    return redirect("chathistory:session", session_id)


@page
@require_POST
def restore(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Take a chat out of the trash."""
    found = Session.objects.reach(request.user, session_id)
    verbs.restore(found, request.user)
    return redirect("chathistory:session", session_id)


def _answering() -> list[Workflow]:
    return [kind for kind in workflows.known().values() if kind.responder]


def _begun(rows: SessionQuerySet) -> SessionQuerySet:
    """Leave out chats whose first question never came through."""
    return rows.exclude(last_seq=0, title__isnull=True)


def _resumable(rows: SessionQuerySet) -> SessionQuerySet:
    rows = _begun(rows)
    return rows.filter(state__in=LIVE, workflow__in=[kind.name for kind in _answering()])


def _workflow(name: str) -> Workflow:
    try:
        return workflows.get(name)
    except Invalid:
        raise NotFound from None


def _narrow(workflow: str, state: str) -> Narrow:
    only = {"workflow": workflow} if workflow else {}

    def narrow(rows: SessionQuerySet) -> SessionQuerySet:
        rows = _begun(rows.filter(**only))
        return rows.filter(state=state) if state else rows.exclude(state=State.DELETED)

    return narrow


def _just_deleted(request: HttpRequest) -> reading.Card | None:
    try:
        asked = _uuid(request.GET.get("deleted", ""))
        found = Session.objects.reach(request.user, asked)
    except NotFound:
        return None
    return reading.card(found, request.user) if found.state == State.DELETED else None


def _may(user: Any, found: Session, verb: str) -> bool:
    if found.account.user_id == user.pk:
        return True
    return verb != "own" and Session.objects.visible_to(user, verb).filter(pk=found.pk).exists()


def _query_without(request: HttpRequest, *names: str) -> str:
    query = request.GET.copy()
    for name in names:
        query.pop(name, None)
    return query.urlencode()


def _query_with(request: HttpRequest, name: str, value: str | None) -> str:
    query = request.GET.copy()
    query[name] = value or ""
    return query.urlencode()


def _posted(request: HttpRequest, name: str) -> str:
    """Return a text of a form. Raises Invalid where it was not sent in UTF-8."""
    given = request.POST.get(name, "")
    if request.content_type == _FORM:
        is_utf8 = _is_utf8(unquote_to_bytes(request.body))
    else:  # of any other form only what Django made of it is left
        is_utf8 = request.encoding in (None, "utf-8") and "\ufffd" not in given
    if not is_utf8:
        raise Invalid(_("The form is not in UTF-8."), field=name)
    return given


def _is_utf8(given: bytes) -> bool:
    try:
        given.decode()
    except UnicodeDecodeError:
        return False
    return True


def _number(request: HttpRequest, name: str) -> int | None:
    given = request.GET.get(name, "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else None


def _uuid(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise NotFound(_("There is nothing here.")) from None
