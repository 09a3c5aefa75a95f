"""``sessions/{id}/fork`` and ``sessions/{id}/pin``."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.client import Api, problem, unchanged


def test_a_fork_holds_the_branch_up_to_the_message(api: Api, chat: str) -> None:
    first = api.get(f"sessions/{chat}").json()["messages"][0]
    answer = api.post(f"sessions/{chat}/fork", {"message_id": first["id"]})
    assert answer.status_code == 201
    copy = api.get(f"sessions/{answer.json()['session_id']}").json()
    assert [one["content"] for one in copy["messages"]] == [first["content"]]
    assert copy["metadata"]["forked_from"] == chat
    assert len(api.get(f"sessions/{chat}").json()["messages"]) == 3


def test_the_invited_fork_into_their_own(bob_api: Api, grant: Any, chat: str) -> None:
    with unchanged():
        problem(bob_api.post(f"sessions/{chat}/fork"), 404, "not_found")
    grant(chat, "read")
    copy = bob_api.post(f"sessions/{chat}/fork").json()
    assert (copy["user_id"], copy["message_count"]) == ("bob", 3)
    assert bob_api.delete(f"sessions/{copy['session_id']}").status_code == 204


@pytest.mark.parametrize(
    ("verb", "body", "field"),
    [
        ("fork", {"message_id": "x"}, "message_id"),
        ("fork", {"message_id": None}, "message_id"),
        ("fork", {"message_id": str(uuid4())}, "message_id"),
        ("fork", {"at": 1}, "at"),
        ("fork", [], None),
        ("fork", b"{", None),
        ("pin", {"pinned": "x"}, "pinned"),
        ("pin", {"pinned": None}, "pinned"),
        ("pin", {"pin": True}, "pin"),
        ("pin", [], None),
        ("pin", b"\xff", None),
    ],
)
def test_a_bad_value_is_refused(
    api: Api, chat: str, verb: str, body: Any, field: str | None
) -> None:
    with unchanged():
        problem(api.post(f"sessions/{chat}/{verb}", body), 400, "invalid", field)


def test_a_message_of_another_session_is_refused(api: Api, chat: str) -> None:
    elsewhere = api.say(api.session(), "elsewhere")["id"]
    with unchanged():
        answer = api.post(f"sessions/{chat}/fork", {"message_id": elsewhere})
        problem(answer, 400, "invalid", "message_id")


def test_it_is_pinned_and_let_go(api: Api, chat: str) -> None:
    first = api.post(f"sessions/{chat}/pin")
    assert (first.status_code, first.json()["pinned"]) == (200, True)
    with unchanged():
        api.post(f"sessions/{chat}/pin", {"pinned": True})
        stale = {"If-Match": '"1-1"'}
        problem(api.post(f"sessions/{chat}/pin", headers=stale), 412, "stale")
    assert api.post(f"sessions/{chat}/pin", {"pinned": False}).json()["pinned"] is False


def test_a_pin_is_the_owners_alone(
    api: Api, bob_api: Api, charlie_api: Api, grant: Any, chat: str
) -> None:
    grant(chat, "read", "write", "edit")
    with unchanged():
        problem(bob_api.post(f"sessions/{chat}/pin"), 403, "not_allowed")
        problem(charlie_api.post(f"sessions/{chat}/pin"), 404, "not_found")
        problem(charlie_api.post(f"sessions/{chat}/fork"), 404, "not_found")
    api.delete(f"sessions/{chat}")
    with unchanged():
        problem(api.post(f"sessions/{chat}/pin"), 409, "conflict")
