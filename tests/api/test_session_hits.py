"""``GET sessions/{id}/hits`` and the branch of a hit."""

from __future__ import annotations

from typing import Any

from tests.api.client import Api, problem


def seqs(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.content
    assert answer.json()["complete"] is True
    return [one["seq"] for one in answer.json()["hits"]]


def test_it_tells_what_is_next_and_what_was_before(api: Api, chat: str) -> None:
    said = [api.say(chat, f"rye {number}") for number in range(3)]
    answer = api.get(f"sessions/{chat}/hits", q="rye")
    assert [one["message_id"] for one in answer.json()["hits"]] == [one["id"] for one in said]
    assert seqs(answer) == sorted(seqs(answer))
    assert seqs(api.get(f"sessions/{chat}/hits", q='"rye 1"')) == [seqs(answer)[1]]
    assert seqs(api.get(f"sessions/{chat}/hits", q="nowhere")) == []


def test_a_hit_names_its_branch(api: Api, chat: str) -> None:
    last = api.say(chat, "rye")
    (hit,) = api.get("search", q="rye").json()["results"]
    assert hit["path"] == [[1, hit["seq"]]]
    assert hit["message_id"] == last["id"]


def test_only_who_may_read_it(
    api: Api, bob_api: Api, charlie_api: Api, grant: Any, chat: str
) -> None:
    assert seqs(api.get(f"sessions/{chat}/hits", q="yeast"))
    for stranger in (bob_api, charlie_api):
        problem(stranger.get(f"sessions/{chat}/hits", q="yeast"), 404, "not_found")
    grant(chat, "read")
    assert seqs(bob_api.get(f"sessions/{chat}/hits", q="yeast"))
    problem(charlie_api.get(f"sessions/{chat}/hits", q="yeast"), 404, "not_found")
    assert Api().get(f"sessions/{chat}/hits", q="yeast").status_code == 401


def test_a_bad_query_is_400_at_its_character(api: Api, chat: str) -> None:
    said = problem(api.get(f"sessions/{chat}/hits", q="a (b"), 400, "invalid_query", "q")
    assert said["position"] == 2
    problem(api.get(f"sessions/{chat}/hits"), 400, "invalid_query", "q")
    problem(api.get(f"sessions/{chat}/hits", q="a", limit=3), 400, "invalid", "limit")
