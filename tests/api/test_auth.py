"""Who may come in: sessions with CSRF, our tokens with their scopes, nobody else."""

from __future__ import annotations

import io
from datetime import timedelta
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from chathistory.actions import tokens
from chathistory.models import Token
from tests.api.client import ROOT, Api, problem, unchanged

NOBODYS = UUID(int=1)
NEW = {"workflow_type": "agentic_rag", "title": "Load Test"}
ENDPOINTS = [
    *(("GET", path) for path in ("sessions", "search?q=x", "jobs", "workflows", "tags")),
    *(("GET", path) for path in ("schema", "docs", "", "nowhere", f"jobs/{NOBODYS}")),
    *(("POST", path) for path in ("sessions", "sessions/bulk", "import", "nowhere")),
    *((method, f"sessions/{NOBODYS}") for method in ("GET", "PATCH", "DELETE", "OPTIONS")),
    *((method, f"messages/{NOBODYS}") for method in ("GET", "PATCH", "DELETE", "PUT")),
    *((method, f"sessions/{NOBODYS}/messages") for method in ("GET", "POST")),
    *(("POST", f"sessions/{NOBODYS}/{verb}") for verb in ("reply", "fork", "pin", "restore")),
]


def with_token(secret: str) -> Api:
    return Api(Authorization=f"Token {secret}")


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_nobody_gets_401_everywhere(anonymous: Api, method: str, path: str) -> None:
    with unchanged():
        answer = anonymous.send(method, path, NEW)
        problem(answer, 401, "not_authenticated")
    assert answer["WWW-Authenticate"] == "Token"
    assert answer["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    "header",
    ["Token", "Token ", "Token x", "Token a b", "Token cht_é", "Bearer x", "Basic YTpi", ""],
)
def test_a_wrong_header_is_401(db: None, header: str) -> None:
    with unchanged():
        problem(Api(Authorization=header).post("sessions", NEW), 401, "not_authenticated")


def test_a_token_from_the_command_signs_its_owner_in(api: Api) -> None:
    out = io.StringIO()
    call_command("chat_token", "alice", stdout=out)
    secret = out.getvalue().strip()
    assert len(out.getvalue().splitlines()) == 1
    answer = with_token(secret).post("sessions", NEW)
    assert (answer.status_code, answer.json()["user_id"]) == (201, "alice")
    assert secret not in str(list(Token.objects.values()))
    with pytest.raises(CommandError, match="no user"):
        call_command("chat_token", "nobody")


def test_a_token_does_what_its_scopes_say(api: Api) -> None:
    reader = with_token(tokens.create(api.user, ["read"]))
    writer = with_token(tokens.create(api.user, ["write"]))
    assert reader.get("sessions").status_code == 200
    with unchanged():
        problem(reader.post("sessions", NEW), 403, "not_allowed")
        problem(writer.get("sessions"), 403, "not_allowed")
    assert writer.post("sessions", NEW).status_code == 201


def test_a_revoked_or_expired_token_opens_nothing(api: Api) -> None:
    program = with_token(tokens.create(api.user))
    token = Token.objects.get()
    assert program.get("sessions").status_code == 200
    token.expires_at = timezone.now() - timedelta(seconds=1)
    token.save()
    problem(program.get("sessions"), 401, "not_authenticated")
    Token.objects.update(expires_at=None)
    assert program.get("sessions").status_code == 200
    tokens.revoke(token, api.user)
    problem(program.get("sessions"), 401, "not_authenticated")


def test_who_was_deactivated_gets_in_by_neither_way(api: Api) -> None:
    program = with_token(tokens.create(api.user))
    assert api.user is not None
    api.user.is_active = False
    api.user.save()
    problem(program.get("sessions"), 401, "not_authenticated")
    problem(api.get("sessions"), 401, "not_authenticated")


def test_a_browser_needs_its_csrf_token_and_a_program_does_not(api: Api) -> None:
    browser = Client(enforce_csrf_checks=True)
    assert api.user is not None
    browser.force_login(api.user)
    path, kind = f"{ROOT}sessions", "application/json"
    with unchanged():
        problem(browser.post(path, NEW, content_type=kind), 403, "not_allowed")
    browser.get("/chat/history/")
    browser.cookies["csrftoken"] = "a" * 32
    allowed = {"X-CSRFToken": "a" * 32}
    assert browser.post(path, NEW, content_type=kind, headers=allowed).status_code == 201
    program = Client(
        enforce_csrf_checks=True, headers={"Authorization": f"Token {tokens.create(api.user)}"}
    )
    assert program.post(path, NEW, content_type=kind).status_code == 201
