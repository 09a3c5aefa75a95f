"""``POST sessions``."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.cases import DEEP, NO_OBJECT
from tests.api.client import LARGE, Api, problem, unchanged

NEW = {"workflow_type": "agentic_rag"}


def test_it_answers_the_founding_documents_session(api: Api) -> None:
    answer = api.post("sessions", NEW | {"title": "Load Test", "metadata": {"team": "blue"}})
    assert answer.status_code == 201
    session = answer.json()
    assert session["user_id"] == "alice"
    assert (session["workflow_type"], session["title"]) == ("agentic_rag", "Load Test")
    assert session["metadata"]["team"] == "blue"
    assert session["metadata"]["total_tokens"] == 0
    named = {"session_id", "user_id", "workflow_type", "created_at", "updated_at", "title"}
    assert named | {"state", "version", "metadata"} <= session.keys()
    read = api.get(f"sessions/{session['session_id']}")
    assert (read.json()["title"], read["ETag"]) == ("Load Test", answer["ETag"])


def test_without_a_title_it_is_called_by_the_end_of_its_id(api: Api) -> None:
    session = api.post("sessions/", NEW).json()
    assert session["title"] == f"Chat {session['session_id'][-8:]}"


def test_the_same_id_again_answers_what_is_there(api: Api) -> None:
    new = NEW | {"session_id": str(uuid4()), "title": "Mine"}
    first = api.post("sessions", new)
    with unchanged():
        again = api.post("sessions", new)
    assert (again.status_code, again.json()) == (201, first.json())


def test_a_taken_id_is_409_whoever_has_it(api: Api, charlie_api: Api, chat: str) -> None:
    with unchanged():
        mine = api.post("sessions", NEW | {"session_id": chat})
        problem(mine, 409, "conflict", "session_id")
        theirs = charlie_api.post("sessions", {"workflow_type": "tutor", "session_id": chat})
        problem(theirs, 409, "conflict", "session_id")
    assert mine.json() == theirs.json()


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"workflow_type": "nowhere"}, "workflow_type"),
        ({"workflow_type": None}, "workflow_type"),
        ({"workflow_type": ["tutor"]}, "workflow_type"),
        ({"workflow_type": "tutor\0"}, "workflow_type"),
        ({"workflow_type": "\ud800"}, "workflow_type"),
        ({"title": ""}, "title"),
        ({"title": " "}, "title"),
        ({"title": 5}, "title"),
        ({"title": "a\0b"}, "title"),
        ({"title": "\ud800"}, "title"),
        ({"session_id": "x"}, "session_id"),
        ({"session_id": None}, "session_id"),
        ({"session_id": -1}, "session_id"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": {"a": "\0"}}, "metadata"),
        ({"user_id": "bob"}, "user_id"),
    ],
)
def test_a_bad_value_is_refused_by_field(api: Api, bad: Any, field: str) -> None:
    with unchanged():
        problem(api.post("sessions", NEW | bad), 400, "invalid", field)


@pytest.mark.parametrize("body", NO_OBJECT)
def test_what_is_no_object_is_refused(api: Api, body: bytes) -> None:
    with unchanged():
        problem(api.post("sessions", body), 400, "invalid")


def test_what_is_too_much_is_refused(api: Api) -> None:
    with unchanged():
        for length in (201, LARGE):
            answer = api.post("sessions", NEW | {"title": "x" * length})
            problem(answer, 413, "limit_exceeded", "title")
        big = {"metadata": {"a": "🍞" * 17_000}}
        problem(api.post("sessions", NEW | big), 413, "limit_exceeded", "metadata")
        deep = b'{"workflow_type": "tutor", "metadata": ' + DEEP + b"}"
        problem(api.post("sessions", deep), 400, "invalid", "metadata")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
def test_other_methods_are_405(api: Api, method: str) -> None:
    with unchanged():
        answer = api.send(method, "sessions", NEW)
        problem(answer, 405, "method_not_allowed")
    assert answer["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_an_unknown_parameter_is_named(api: Api) -> None:
    with unchanged():
        problem(api.post("sessions?dry_run=1", NEW), 400, "invalid", "dry_run")
