"""``POST sessions/bulk``."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.client import Api, problem, unchanged


def test_each_session_succeeds_or_fails_by_itself(
    api: Api, bob_api: Api, grant: Any, chat: str
) -> None:
    shared, hidden, nowhere = bob_api.session(), bob_api.session(), str(uuid4())
    grant(chat, "read")
    wanted = [chat, shared, hidden, nowhere]
    answer = bob_api.post("sessions/bulk", {"action": "delete", "session_ids": wanted})
    assert answer.json() == {
        "done": [shared, hidden],
        "failed": {chat: "not_allowed", nowhere: "not_found"},
    }
    back = {"action": "restore", "session_ids": [shared, shared]}
    assert bob_api.post("sessions/bulk", back).json()["done"] == [shared]
    assert bob_api.get(f"sessions/{shared}").json()["state"] == "active"


def test_tags_are_added_and_taken_off(api: Api, chat: str) -> None:
    other = api.session()
    body: dict[str, Any] = {"session_ids": [chat, other], "tags": ["Rye", "Oats"]}
    api.patch(f"sessions/{chat}", {"tags": ["kept"]})
    assert api.post("sessions/bulk", body | {"action": "tag"}).json()["failed"] == {}
    assert api.get(f"sessions/{chat}").json()["tags"] == ["Oats", "Rye", "kept"]
    with unchanged():
        api.post("sessions/bulk", body | {"action": "tag"})
    api.post("sessions/bulk", body | {"action": "untag", "tags": ["rye"]})
    assert api.get(f"sessions/{other}").json()["tags"] == ["Oats"]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"action": "nuke"}, "action"),
        ({"session_ids": []}, "session_ids"),
        ({"session_ids": "x"}, "session_ids"),
        ({"session_ids": ["x"]}, "session_ids"),
        ({"session_ids": [None]}, "session_ids"),
        ({"tags": []}, "tags"),
        ({"tags": "abc"}, "tags"),
        ({"tags": ["\0"]}, "tags"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_value_is_refused_by_field(api: Api, chat: str, bad: Any, field: str) -> None:
    body = {"action": "tag", "session_ids": [chat], "tags": ["x"]} | bad
    with unchanged():
        problem(api.post("sessions/bulk", body), 400, "invalid", field)


def test_a_thousand_at_once_and_no_more(api: Api) -> None:
    wanted = [str(uuid4()) for _ in range(1_001)]
    with unchanged():
        answer = api.post("sessions/bulk", {"action": "delete", "session_ids": wanted})
        problem(answer, 413, "limit_exceeded", "session_ids")
        problem(api.post("sessions/bulk", []), 400, "invalid")
