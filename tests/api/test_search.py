"""``GET search``."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.client import Api, problem


def found(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [one["snippet"] for one in answer.json()["results"]]


def test_it_finds_words_phrases_and_leaves_out(api: Api, chat: str) -> None:
    answer = api.get("search", q="YEAST")
    (hit,) = answer.json()["results"]
    assert hit["session_id"] == chat
    ((start, end),) = hit["highlights"]
    assert hit["snippet"][start:end] == "yeast"
    assert found(api.get("search", q='"eats sugar"')) == ["It eats sugar."]
    assert found(api.get("search", q='"sugar eats"')) == []
    assert found(api.get("search", q="it -sugar")) == []
    assert [one["session_id"] for one in api.get("search", q="bread").json()["sessions"]] == [chat]


def test_it_pages_by_cursor_newest_first_or_by_relevance(api: Api, chat: str) -> None:
    for number in range(5):
        api.say(chat, f"rye {number}")
    page = api.get("search", q="rye", limit=3).json()
    assert [one["snippet"] for one in page["results"]] == ["rye 4", "rye 3", "rye 2"]
    assert found(api.get("search", q="rye", limit=3, cursor=page["next_cursor"])) == [
        "rye 1",
        "rye 0",
    ]
    assert len(found(api.get("search", q="rye", sort="relevance"))) == 5


def test_it_narrows_by_the_lists_filters(api: Api, chat: str) -> None:
    api.patch(f"sessions/{chat}", {"tags": ["Bread"]})
    assert len(found(api.get("search", q="yeast", tag="bread", workflow="tutor"))) == 1
    assert found(api.get("search", q="yeast", workflow="translator")) == []


@pytest.mark.parametrize("query", ["NEAR(yeast sugar)", "yeast*", "^yeast", "{yeast sugar}"])
def test_fts5_syntax_is_only_words(api: Api, chat: str, query: str) -> None:
    assert api.get("search", q=query).status_code == 200


@pytest.mark.parametrize("query", ["content:yeast", "yeast AND OR", "a' OR 1=1 --x", "yeast;"])
def test_neither_is_other_peoples_syntax(api: Api, chat: str, query: str) -> None:
    assert api.get("search", q=query).status_code == 200


@pytest.mark.parametrize(
    ("query", "position"),
    [
        ("", 0),
        ("   ", 0),
        ('say "open', 4),
        ("-", 0),
        ("-yeast", 0),
        ("(((", 0),
        ("🍞", 0),
        ("yeast -", 6),
        ("a" * 1_001, 1_000),
    ],
)
def test_a_bad_query_is_400_at_its_character(api: Api, query: str, position: int) -> None:
    said = problem(api.get("search", q=query), 400, "invalid_query", "q")
    assert said["position"] == position


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("q", "\0"),
        *(("limit", bad) for bad in ("0", "101", "x")),
        *(("cursor", bad) for bad in ("zz", "f" * 20, "8" + "0" * 15, "-1", "\0")),
        *(("cursor", bad) for bad in ("٣", "0x1", "1_0", " 1", "+1", "A")),
        ("sort", "oldest"),
        ("state", "nope"),
        ("updated_before", "soon"),
        ("colour", "red"),
        ("format", "xml"),
    ],
)
def test_a_bad_parameter_is_named(api: Api, name: str, value: str) -> None:
    problem(api.get("search", **{"q": "yeast", name: value}), 400, "invalid", name)


def test_without_a_query_it_says_so(api: Api) -> None:
    problem(api.get("search"), 400, "invalid_query", "q")


def test_only_what_one_may_read_and_nothing_in_the_trash(
    api: Api, bob_api: Api, charlie_api: Api, grant: Any, chat: str
) -> None:
    assert found(bob_api.get("search", q="yeast")) == []
    grant(chat, "read")
    assert len(found(bob_api.get("search", q="yeast"))) == 1
    assert len(bob_api.get("search", q="bread").json()["sessions"]) == 1
    assert found(charlie_api.get("search", q="yeast")) == []
    api.delete(f"sessions/{chat}")
    assert found(bob_api.get("search", q="yeast")) == found(api.get("search", q="yeast")) == []
    assert found(api.get("search", q="yeast", state="deleted")) == []
