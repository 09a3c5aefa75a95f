"""``messages/{id}``: read, change in place or beside, delete."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.cases import NO_OBJECT
from tests.api.client import LARGE, Api, problem, unchanged


@pytest.fixture
def message(api: Api, chat: str) -> str:
    return str(api.get(f"sessions/{chat}").json()["messages"][0]["id"])


def test_a_text_is_changed_in_place(api: Api, message: str) -> None:
    answer = api.patch(f"messages/{message}", {"content": "How does sourdough work?"})
    changed = answer.json()
    assert (answer.status_code, changed["id"], changed["revision"]) == (200, message, 2)
    assert api.get(f"messages/{message}").json() == changed
    with unchanged():
        again = api.patch(f"messages/{message}", {"content": "How does sourdough work?"})
    assert again.json() == changed


def test_or_said_beside_as_a_sibling(api: Api, message: str) -> None:
    answer = api.patch(f"messages/{message}", {"content": "And rye?", "sibling": True})
    beside = answer.json()
    assert (answer.status_code, beside["parent_id"]) == (201, None)
    assert beside["id"] != message
    assert api.get(f"messages/{message}").json()["revision"] == 1


def test_a_deleted_one_stays_as_a_tombstone(api: Api, chat: str, message: str) -> None:
    assert api.delete(f"messages/{message}").status_code == 204
    with unchanged():
        assert api.delete(f"messages/{message}").status_code == 204
    first, *others = api.get(f"sessions/{chat}").json()["messages"]
    assert (first["id"], first["content"], len(others)) == (message, "", 2)
    assert first["deleted_at"]
    with unchanged():
        problem(api.patch(f"messages/{message}", {"content": "x"}), 409, "conflict")


def test_a_stale_version_is_412(api: Api, message: str) -> None:
    path, seen = f"messages/{message}", api.get(f"messages/{message}")["ETag"]
    first = api.patch(path, {"content": "x"}, headers={"If-Match": seen})
    assert first.status_code == 200
    with unchanged():
        problem(api.patch(path, {"content": "y"}, headers={"If-Match": seen}), 412, "stale")
        problem(api.delete(path, headers={"If-Match": seen}), 412, "stale")
        problem(api.delete(path, headers={"If-Match": '"1-1"'}), 412, "stale")
    assert api.delete(path, headers={"If-Match": first["ETag"]}).status_code == 204


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "content"),
        ({"content": ""}, "content"),
        ({"content": 5}, "content"),
        ({"content": "\0"}, "content"),
        ({"content": "\udc00"}, "content"),
        ({"content": "x", "sibling": "perhaps"}, "sibling"),
        ({"content": "x", "role": "system"}, "role"),
    ],
)
def test_a_bad_value_is_refused_by_field(api: Api, message: str, body: Any, field: str) -> None:
    with unchanged():
        problem(api.patch(f"messages/{message}", body), 400, "invalid", field)


@pytest.mark.parametrize("body", NO_OBJECT)
def test_what_is_no_object_is_refused(api: Api, message: str, body: bytes) -> None:
    with unchanged():
        problem(api.patch(f"messages/{message}", body), 400, "invalid")


def test_too_long_is_413(api: Api, message: str) -> None:
    with unchanged():
        answer = api.patch(f"messages/{message}", {"content": "x" * LARGE})
        problem(answer, 413, "limit_exceeded", "content")


def test_a_stranger_finds_nothing(charlie_api: Api, message: str) -> None:
    with unchanged():
        for uuid in (message, str(uuid4())):
            problem(charlie_api.get(f"messages/{uuid}"), 404, "not_found")
            problem(charlie_api.patch(f"messages/{uuid}", {"content": "x"}), 404, "not_found")
            problem(charlie_api.delete(f"messages/{uuid}"), 404, "not_found")


def test_the_invited_need_the_verb(bob_api: Api, grant: Any, chat: str, message: str) -> None:
    share = grant(chat, "read", "write")
    assert bob_api.get(f"messages/{message}").status_code == 200
    with unchanged():
        problem(bob_api.patch(f"messages/{message}", {"content": "x"}), 403, "not_allowed")
        problem(bob_api.delete(f"messages/{message}"), 403, "not_allowed")
    share.verbs |= 4
    share.save()
    assert bob_api.patch(f"messages/{message}", {"content": "x"}).status_code == 200


def test_nothing_changes_in_the_trash(api: Api, chat: str, message: str) -> None:
    api.delete(f"sessions/{chat}")
    with unchanged():
        problem(api.patch(f"messages/{message}", {"content": "x"}), 409, "conflict")
        problem(api.delete(f"messages/{message}"), 409, "conflict")
    assert api.get(f"messages/{message}").status_code == 200


@pytest.mark.parametrize(("name", "value"), [("render", "pdf"), ("colour", "red")])
def test_a_bad_parameter_is_named(api: Api, message: str, name: str, value: str) -> None:
    problem(api.get(f"messages/{message}", **{name: value}), 400, "invalid", name)
    assert "content_html" in api.get(f"messages/{message}", render="html").json()
