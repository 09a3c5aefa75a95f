"""``sessions/{id}/archive`` and ``sessions/{id}/resume``."""

from __future__ import annotations

from typing import Any

import pytest

from chathistory.models import Session
from tests.api.client import Api, problem, unchanged


def listed(api: Api, state: str) -> list[str]:
    return [one["session_id"] for one in api.get("sessions", state=state).json()["sessions"]]


def test_it_is_archived_listed_read_and_resumed(api: Api, chat: str) -> None:
    answer = api.post(f"sessions/{chat}/archive")
    assert answer.status_code == 200
    body = answer.json()
    assert body["state"] == "archived"
    assert body["archived_at"] == body["updated_at"]
    assert listed(api, "archived") == [chat]
    assert listed(api, "active") == []
    shown = api.get(f"sessions/{chat}")
    assert (shown.json()["state"], len(shown.json()["messages"])) == ("archived", 3)
    assert shown["ETag"] == answer["ETag"]
    with unchanged():
        assert api.post(f"sessions/{chat}/archive").json() == body
    back = api.post(f"sessions/{chat}/resume").json()
    assert (back["state"], back["archived_at"]) == ("active", None)
    with unchanged():
        assert api.post(f"sessions/{chat}/resume").json() == back


def test_a_message_wakes_it(api: Api, chat: str) -> None:
    api.post(f"sessions/{chat}/archive")
    api.say(chat, "And then?")
    assert api.get(f"sessions/{chat}").json()["state"] == "active"


def test_an_idle_one_is_listed_by_its_state_and_resumed(api: Api, chat: str) -> None:
    Session.objects.update(state="idle")
    assert listed(api, "idle") == [chat]
    assert api.post(f"sessions/{chat}/resume").json()["state"] == "active"


def test_one_in_the_trash_tells_when_it_is_purged(api: Api, chat: str) -> None:
    api.post(f"sessions/{chat}/archive")
    api.delete(f"sessions/{chat}")
    with unchanged():
        for verb in ("archive", "resume"):
            problem(api.post(f"sessions/{chat}/{verb}"), 409, "conflict")
    shown = api.get(f"sessions/{chat}").json()
    assert shown["purge_after"] > shown["deleted_at"]
    assert shown["hold"] is False
    back = api.post(f"sessions/{chat}/restore").json()
    assert (back["state"], back["purge_after"]) == ("archived", None)


def test_others_may_not(api: Api, bob_api: Api, charlie_api: Api, grant: Any, chat: str) -> None:
    grant(chat, "read", "edit")
    with unchanged():
        for verb in ("archive", "resume"):
            problem(bob_api.post(f"sessions/{chat}/{verb}"), 403, "not_allowed")
            problem(charlie_api.post(f"sessions/{chat}/{verb}"), 404, "not_found")
            problem(Api().post(f"sessions/{chat}/{verb}"), 401, "not_authenticated")


@pytest.mark.parametrize("verb", ["archive", "resume"])
def test_a_stale_copy_changes_nothing(api: Api, chat: str, verb: str) -> None:
    if verb == "resume":
        api.post(f"sessions/{chat}/archive")
    with unchanged():
        stale = {"If-Match": '"1-1"'}
        problem(api.post(f"sessions/{chat}/{verb}", headers=stale), 412, "stale")
    tag = api.get(f"sessions/{chat}")["ETag"]
    assert api.post(f"sessions/{chat}/{verb}", headers={"If-Match": tag}).status_code == 200


@pytest.mark.parametrize("verb", ["archive", "resume"])
def test_only_posts(api: Api, chat: str, verb: str) -> None:
    assert api.get(f"sessions/{chat}/{verb}").status_code == 405
    with unchanged():
        problem(api.post(f"sessions/{chat}/{verb}?x=1"), 400, "invalid", "x")
