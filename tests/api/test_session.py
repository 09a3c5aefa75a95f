"""``sessions/{id}``: read, change, delete and restore."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.cases import NO_OBJECT
from tests.api.client import Api, problem, unchanged


def test_it_shows_the_newest_fifty_and_how_to_go_back(api: Api) -> None:
    session = api.session()
    for number in range(53):
        api.say(session, str(number))
    shown = api.get(f"sessions/{session}").json()
    assert [one["content"] for one in shown["messages"]] == [str(n) for n in range(3, 53)]
    assert (shown["has_more"], shown["message_count"]) == (True, 53)
    assert shown["head_id"] == shown["messages"][-1]["id"]
    earlier = api.get(f"sessions/{session}/messages", cursor=shown["earlier_cursor"]).json()
    assert [one["content"] for one in earlier["messages"]] == ["0", "1", "2"]


def test_it_is_called_by_its_first_question(api: Api) -> None:
    session = api.session()
    api.say(session, "Hello", role="system")
    api.say(session, "How long does a sourdough starter live in the refrigerator, really?")
    title = api.get(f"sessions/{session}").json()["title"]
    assert title == "How long does a sourdough starter live in the..."


def test_a_change_counts_and_moves_the_etag(api: Api, chat: str) -> None:
    seen = api.get(f"sessions/{chat}")
    new = {"title": "Rye", "pinned": True, "tags": ["b", "a"], "metadata": {"x": 1}}
    answer = api.patch(f"sessions/{chat}", new, headers={"If-Match": seen["ETag"]})
    changed = answer.json()
    assert (changed["title"], changed["pinned"], changed["tags"]) == ("Rye", True, ["a", "b"])
    assert (changed["metadata"]["x"], changed["title_source"]) == (1, "user")
    assert changed["version"] == seen.json()["version"] + 1
    with unchanged():
        again = api.patch(f"sessions/{chat}", new, headers={"If-Match": answer["ETag"]})
        assert again.json() == changed
        for stale in (seen["ETag"], '"9-1"', "x", ""):
            late = api.patch(f"sessions/{chat}", {"title": "x"}, headers={"If-Match": stale})
            problem(late, 412, "stale")
            problem(api.delete(f"sessions/{chat}", headers={"If-Match": stale}), 412, "stale")
    assert api.patch(f"sessions/{chat}", new, headers={"If-Match": "*"}).status_code == 200


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"title": None}, "title"),
        ({"title": ""}, "title"),
        ({"title": "\0"}, "title"),
        ({"pinned": "x"}, "pinned"),
        ({"pinned": None}, "pinned"),
        ({"tags": "x"}, "tags"),
        ({"tags": [1]}, "tags"),
        ({"tags": [""]}, "tags"),
        ({"tags": ["\ud800"]}, "tags"),
        ({"tags": None}, "tags"),
        ({"metadata": 1}, "metadata"),
        ({"state": "deleted"}, "state"),
        ({"version": 9}, "version"),
    ],
)
def test_a_bad_value_is_refused_by_field(api: Api, chat: str, bad: Any, field: str) -> None:
    with unchanged():
        problem(api.patch(f"sessions/{chat}", {"title": "good"} | bad), 400, "invalid", field)


@pytest.mark.parametrize("body", NO_OBJECT)
def test_what_is_no_object_is_refused(api: Api, chat: str, body: bytes) -> None:
    with unchanged():
        problem(api.patch(f"sessions/{chat}", body), 400, "invalid")


def test_too_many_or_too_long_tags_are_413(api: Api, chat: str) -> None:
    with unchanged():
        for tags in (["x" * 51], [str(n) for n in range(51)]):
            answer = api.patch(f"sessions/{chat}", {"tags": tags})
            problem(answer, 413, "limit_exceeded", "tags")


def test_it_goes_to_the_trash_and_comes_back(api: Api, chat: str) -> None:
    assert api.delete(f"sessions/{chat}").status_code == 204
    with unchanged():
        assert api.delete(f"sessions/{chat}").status_code == 204
        problem(api.patch(f"sessions/{chat}", {"title": "x"}), 409, "conflict")
    shown = api.get(f"sessions/{chat}").json()
    assert (shown["state"], bool(shown["deleted_at"])) == ("deleted", True)
    restored = api.post(f"sessions/{chat}/restore")
    assert (restored.status_code, restored.json()["state"]) == (200, "active")
    with unchanged():
        assert api.post(f"sessions/{chat}/restore").json() == restored.json()


def test_a_stranger_finds_nothing(charlie_api: Api, chat: str) -> None:
    with unchanged():
        for uuid in (chat, str(uuid4())):
            problem(charlie_api.get(f"sessions/{uuid}"), 404, "not_found")
            problem(charlie_api.patch(f"sessions/{uuid}", {"title": "x"}), 404, "not_found")
            problem(charlie_api.delete(f"sessions/{uuid}"), 404, "not_found")
            problem(charlie_api.post(f"sessions/{uuid}/restore"), 404, "not_found")


def test_the_invited_need_the_verb(api: Api, bob_api: Api, grant: Any, chat: str) -> None:
    api.patch(f"sessions/{chat}", {"pinned": True, "tags": ["private"]})
    share = grant(chat, "read", "write")
    with unchanged():
        problem(bob_api.patch(f"sessions/{chat}", {"title": "x"}), 403, "not_allowed")
        problem(bob_api.delete(f"sessions/{chat}"), 403, "not_allowed")
        problem(bob_api.post(f"sessions/{chat}/restore"), 403, "not_allowed")
    share.verbs |= 4
    share.save()
    changed = bob_api.patch(f"sessions/{chat}", {"title": "Ours"}).json()
    assert (changed["title"], changed["tags"], changed["pinned"]) == ("Ours", [], False)
    with unchanged():
        problem(bob_api.patch(f"sessions/{chat}", {"tags": ["x"]}), 403, "not_allowed")


def test_an_unknown_parameter_is_named(api: Api, chat: str) -> None:
    problem(api.get(f"sessions/{chat}", render="pdf"), 400, "invalid", "render")
    problem(api.get(f"sessions/{chat}", colour="red"), 400, "invalid", "colour")
