"""``POST sessions/{id}/messages``."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.cases import DEEP, NO_OBJECT
from tests.api.client import LARGE, Api, problem, unchanged

SAID = {"role": "user", "content": "Why does bread rise?"}


@pytest.fixture
def path(chat: str) -> str:
    return f"sessions/{chat}/messages"


def test_a_message_is_stored_as_it_was_said(api: Api, path: str) -> None:
    content = "  Why?\n```python\nprint(1)\n```\nhttps://example.org 🍞 "
    answer = api.post(path, {"role": "user", "content": content, "metadata": {"mood": "curious"}})
    assert answer.status_code == 201
    said = answer.json()
    assert (said["content"], said["role"], said["seq"]) == (content, "user", 4)
    assert said["metadata"]["mood"] == "curious"
    assert said["metadata"]["links"] == ["https://example.org"]
    assert said["metadata"]["code_blocks"][0]["language"] == "python"
    assert {"id", "role", "content", "timestamp", "metadata"} <= said.keys()
    assert api.get(f"messages/{said['id']}").json() == said


def test_a_slash_at_the_end_makes_no_difference(api: Api, path: str) -> None:
    assert api.post(f"{path}/", SAID).status_code == 201


def test_it_follows_the_last_one_or_the_parent_given_or_nobody(api: Api, chat: str) -> None:
    shown = api.get(f"sessions/{chat}").json()["messages"]
    assert api.say(chat, "next")["parent_id"] == shown[-1]["id"]
    assert api.say(chat, "beside", parent_id=shown[0]["id"])["parent_id"] == shown[0]["id"]
    assert api.say(chat, "root", parent_id=None)["parent_id"] is None


def test_the_same_id_and_text_again_answers_what_is_there(api: Api, path: str) -> None:
    said = SAID | {"id": str(uuid4())}
    first = api.post(path, said)
    with unchanged():
        again = api.post(path, said)
    assert (again.status_code, again.json()) == (201, first.json())


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"role": "robot"}, "role"),
        ({"role": ["user"]}, "role"),
        ({"role": "\ud800"}, "role"),
        ({"content": ""}, "content"),
        ({"content": " \n\t"}, "content"),
        ({"content": None}, "content"),
        ({"content": 5}, "content"),
        ({"content": ["x"]}, "content"),
        ({"content": "a\0b"}, "content"),
        ({"content": "a\ud800b"}, "content"),
        ({"parent_id": str(uuid4())}, "parent_id"),
        ({"parent_id": "x"}, "parent_id"),
        ({"parent_id": 10**40}, "parent_id"),
        ({"id": "x"}, "id"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"a": "\0"}}, "metadata"),
        ({"metadata": {"\ud800": 1}}, "metadata"),
        ({"blocks": ["x"]}, "blocks"),
        ({"blocks": [{"a": "\0"}]}, "blocks"),
        ({"tokens": -1}, "tokens"),
        ({"tokens": 2**31}, "tokens"),
        ({"tokens": "many"}, "tokens"),
        ({"colour": "red"}, "colour"),
        ({"\ud800": "red"}, "\ufffd"),
    ],
)
def test_a_bad_value_is_refused_by_field(api: Api, path: str, bad: Any, field: str) -> None:
    with unchanged():
        problem(api.post(path, SAID | bad), 400, "invalid", field)


@pytest.mark.parametrize("body", NO_OBJECT)
def test_what_is_no_object_is_refused(api: Api, path: str, body: bytes) -> None:
    with unchanged():
        problem(api.post(path, body), 400, "invalid")


def test_what_is_too_deep_to_be_read_again_is_refused(api: Api, path: str) -> None:
    body = b'{"role": "user", "content": "x", "metadata": ' + DEEP + b"}"
    with unchanged():
        problem(api.post(path, body), 400, "invalid", "metadata")


def test_too_long_is_413_and_as_long_as_allowed_is_stored(api: Api, path: str) -> None:
    with unchanged():
        said = problem(
            api.post(path, SAID | {"content": "x" * LARGE}), 413, "limit_exceeded", "content"
        )
        assert (said["limit"], said["given"]) == (2_000_000, LARGE)
        big = SAID | {"metadata": {"a": "x" * 70_000}}
        problem(api.post(path, big), 413, "limit_exceeded", "metadata")
        problem(api.post(path, b" " * (33 * 2**20)), 413, "limit_exceeded")
    longest = api.post(path, SAID | {"content": "x" * (LARGE - 1)})
    assert longest.status_code == 201


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "", "garbage;;;"])
def test_another_content_type_is_415(api: Api, path: str, kind: str) -> None:
    with unchanged():
        answer = api.post(path, SAID, content_type=kind)
        problem(answer, 415, "unsupported_media_type")


def test_a_form_will_do(api: Api, path: str) -> None:
    form = "application/x-www-form-urlencoded"
    answer = api.post(path, b"role=user&content=5", content_type=form)
    assert answer.json()["content"] == "5"
