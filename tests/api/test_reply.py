"""``POST sessions/{id}/reply``: the question is stored, the answer streams and is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chathistory.conf import settings as conf
from chathistory.workflows import Conversation
from tests.api.client import LARGE, Api, leave, problem, unchanged


def answering(conversation: Conversation) -> Iterator[str]:
    yield from ("You asked: ", conversation.turns[-1].content)


def failing(_conversation: Conversation) -> Iterator[str]:
    yield "Well, "
    raise RuntimeError("the model is gone")


@pytest.fixture(autouse=True)
def workflows(settings: Any) -> None:
    settings.CHATHISTORY_WORKFLOWS = {
        name: {"label": name, "responder": f"{__name__}.{responder}"}
        for name, responder in (("tutor", "answering"), ("broken", "failing"))
    } | {"silent": {"label": "Silent"}, "missing": {"label": "x", "responder": "nowhere.at_all"}}


def events(answer: Any) -> list[tuple[str, Any]]:
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream")
    blocks = b"".join(answer.streaming_content).decode().strip().split("\n\n")
    pairs = [block.split("\n", 1) for block in blocks]
    return [(name[7:], json.loads(data[6:])) for name, data in pairs]


def test_the_answer_streams_and_both_are_stored(api: Api, chat: str) -> None:
    said = events(api.post(f"sessions/{chat}/reply", {"content": "Why rye?"}))
    assert [name for name, _ in said] == ["message", "delta", "delta", "done"]
    question, answer = said[0][1], said[-1][1]
    assert (answer["content"], answer["parent_id"]) == ("You asked: Why rye?", question["id"])
    last = api.get(f"sessions/{chat}").json()["messages"][-2:]
    assert [one["id"] for one in last] == [question["id"], answer["id"]]


def test_the_last_question_is_asked_again(api: Api, chat: str) -> None:
    said = events(api.post(f"sessions/{chat}/reply"))
    assert (said[0][1]["content"], said[-1][1]["content"]) == ("And then?", "You asked: And then?")
    with unchanged():
        problem(api.post(f"sessions/{chat}/reply"), 400, "invalid", "content")


def test_a_failed_answer_is_kept_marked_and_can_be_retried(api: Api) -> None:
    session = api.session("broken")
    said = events(api.post(f"sessions/{session}/reply", {"content": "Well?"}))
    assert [name for name, _ in said] == ["message", "delta", "error"]
    assert said[-1][1]["retry"] is True
    assert "the model is gone" not in str(said)
    *_, kept = api.get(f"sessions/{session}").json()["messages"]
    assert (kept["status"], kept["content"]) == ("failed", "Well,")
    assert events(api.post(f"sessions/{session}/reply"))[0][1]["content"] == "Well?"


def test_a_reader_who_leaves_finds_what_was_said(api: Api, chat: str) -> None:
    answer = api.post(f"sessions/{chat}/reply", {"content": "Why?"})
    stream = iter(answer.streaming_content)
    assert b"event: message" in next(stream)
    assert b"event: delta" in next(stream)
    leave(answer)
    *_, kept = api.get(f"sessions/{chat}").json()["messages"]
    assert (kept["status"], kept["content"]) == ("failed", "You asked:")


def test_places_come_back_however_an_answer_ends(api: Api, chat: str) -> None:
    for _ in range(conf.MAX_STREAMS + 1):
        problem(api.post(f"sessions/{chat}/reply", {"content": ""}), 400, "invalid", "content")
        leave(api.post(f"sessions/{chat}/reply", {"content": "left unread"}))
    assert events(api.post(f"sessions/{chat}/reply", {"content": "Still there?"}))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"content": " "}, "content"),
        ({"content": None}, "content"),
        ({"content": 5}, "content"),
        ({"content": "\0"}, "content"),
        ({"content": "\ud800"}, "content"),
        ({"question": "x"}, "question"),
        ([], None),
        (b"{", None),
        (b"\xff", None),
    ],
)
def test_a_bad_value_is_refused(api: Api, chat: str, body: Any, field: str | None) -> None:
    with unchanged():
        problem(api.post(f"sessions/{chat}/reply", body), 400, "invalid", field)
        long = {"content": "x" * LARGE}
        problem(api.post(f"sessions/{chat}/reply", long), 413, "limit_exceeded", "content")


def test_who_may_not_write_asks_nothing(
    api: Api, bob_api: Api, charlie_api: Api, grant: Any, chat: str
) -> None:
    grant(chat, "read")
    with unchanged():
        problem(bob_api.post(f"sessions/{chat}/reply", {"content": "x"}), 403, "not_allowed")
        problem(charlie_api.post(f"sessions/{chat}/reply", {"content": "x"}), 404, "not_found")
    api.delete(f"sessions/{chat}")
    with unchanged():
        problem(api.post(f"sessions/{chat}/reply", {"content": "x"}), 409, "conflict")


def test_where_nobody_answers_nothing_is_stored(api: Api) -> None:
    silent, missing = api.session("silent"), api.session("missing")
    with unchanged():
        problem(api.post(f"sessions/{silent}/reply", {"content": "x"}), 409, "conflict")
        problem(api.post(f"sessions/{missing}/reply", {"content": "x"}), 503, "unavailable")
