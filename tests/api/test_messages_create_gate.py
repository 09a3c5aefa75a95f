"""``POST sessions/{id}/messages``: who may, ids that are taken, stale versions, the trash."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.client import Api, problem, unchanged

SAID = {"role": "user", "content": "Why does bread rise?"}


@pytest.fixture
def path(chat: str) -> str:
    return f"sessions/{chat}/messages"


def test_a_parent_in_another_session_is_refused(api: Api, path: str) -> None:
    elsewhere = api.say(api.session(), "elsewhere")["id"]
    with unchanged():
        problem(api.post(path, SAID | {"parent_id": elsewhere}), 400, "invalid", "parent_id")


def test_an_id_with_other_content_is_409(api: Api, chat: str, path: str) -> None:
    taken = api.get(path).json()["messages"][0]["id"]
    elsewhere = api.say(api.session(), SAID["content"])["id"]
    with unchanged():
        problem(api.post(path, SAID | {"id": taken}), 409, "conflict", "id")
        problem(api.post(path, SAID | {"id": elsewhere}), 409, "conflict", "id")


def test_somebody_elses_id_is_the_same_409(api: Api, charlie_api: Api, chat: str) -> None:
    own = charlie_api.session()
    charlie_api.say(own, "mine", id=(mine := str(uuid4())))
    theirs = api.get(f"sessions/{chat}").json()["messages"][0]
    answers = []
    with unchanged():
        for taken in (theirs["id"], mine):
            said = SAID | {"id": taken, "content": theirs["content"]}
            answer = charlie_api.post(f"sessions/{own}/messages", said)
            answers.append(problem(answer, 409, "conflict", "id")["code"])
    assert answers[0] == answers[1]


def test_a_stranger_finds_nothing(api: Api, charlie_api: Api, chat: str, path: str) -> None:
    with unchanged():
        problem(charlie_api.post(path, SAID), 404, "not_found")
        problem(charlie_api.post(f"sessions/{uuid4()}/messages", SAID), 404, "not_found")
        problem(charlie_api.post("sessions/not-a-uuid/messages", SAID), 404, "not_found")


def test_the_invited_need_the_verb(bob_api: Api, grant: Any, chat: str, path: str) -> None:
    share = grant(chat, "read")
    with unchanged():
        problem(bob_api.post(path, SAID), 403, "not_allowed")
    share.verbs |= 2
    share.save()
    said = bob_api.post(path, SAID)
    assert (said.status_code, said.json()["author"]) == (201, "bob")


def test_a_stale_version_is_412(api: Api, chat: str, path: str) -> None:
    seen = api.get(f"sessions/{chat}")["ETag"]
    assert api.post(path, SAID, headers={"If-Match": seen}).status_code == 201
    with unchanged():
        for stale in (seen, '"9-1"', "garbage", '"1-"', '"1-²"'):
            answer = api.post(path, SAID, headers={"If-Match": stale})
            problem(answer, 412, "stale")


def test_nothing_is_said_in_the_trash(api: Api, chat: str, path: str) -> None:
    api.delete(f"sessions/{chat}")
    with unchanged():
        problem(api.post(path, SAID), 409, "conflict")
    assert api.get(path).status_code == 200
