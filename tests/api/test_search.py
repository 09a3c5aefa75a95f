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


@pytest.mark.parametrize("query", ["content:yeast", "yeast AND NOT", "a' OR 1=1 --x", "yeast;"])
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
        ("yeast AND OR", 10),
        ("(((", 0),
        ("…", 0),
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
        ("sort", "best"),
        *(("group", bad) for bad in ("", "message", "session,role")),
        *(("facets", bad) for bad in ("", "yes", "workflow")),
        ("state", "nope"),
        ("updated_before", "soon"),
        ("colour", "red"),
        ("format", "xml"),
    ],
)
def test_a_bad_parameter_is_named(api: Api, name: str, value: str) -> None:
    problem(api.get("search", **{"q": "yeast", name: value}), 400, "invalid", name)


@pytest.mark.parametrize(
    ("query", "position"),
    [("role:king yeast", 5), ("yeast (bread", 6), ("yeast OR", 6), ("on:soon", 3), ("meta:x", 0)],
)
def test_so_is_a_bad_filter(api: Api, query: str, position: int) -> None:
    said = problem(api.get("search", q=query), 400, "invalid_query", "q")
    assert said["position"] == position


def test_filters_are_part_of_the_query(api: Api, chat: str) -> None:
    assert found(api.get("search", q="sugar role:assistant")) == ["It eats sugar."]
    assert found(api.get("search", q="sugar OR yeast role:user workflow:translator")) == []
    assert len(found(api.get("search", q=f"session:{chat}"))) == 3
    (title,) = api.get("search", q="in:title bread").json()["sessions"]
    assert title["session_id"] == chat


def test_one_row_for_each_session_says_how_many_more(api: Api, chat: str) -> None:
    for _ in range(3):
        api.say(chat, "rye")
    answer = api.get("search", q="rye", group="session").json()
    assert [hit["more"] for hit in answer["results"]] == [2]
    assert answer["more_complete"] is True
    assert [hit["more"] for hit in api.get("search", q="rye").json()["results"]] == [None] * 3


def test_facets_are_counted_where_asked_for(api: Api, charlie_api: Api, chat: str) -> None:
    api.patch(f"sessions/{chat}", {"tags": ["Bread"]})
    told = api.get("search", q="yeast OR sugar", facets="true").json()["facets"]
    assert (told["counted"], told["complete"]) == (2, True)
    assert told["tag"] == [{"value": "Bread", "count": 2}]
    assert told["workflow"] == [{"value": "tutor", "count": 2}]
    assert {one["value"] for one in told["role"]} == {"user", "assistant"}
    assert [one["count"] for one in told["month"]] == [2]
    assert api.get("search", q="yeast").json()["facets"] is None
    told = charlie_api.get("search", q="yeast", facets="1").json()["facets"]
    assert told["counted"] == 0
    assert told["role"] == told["tag"] == told["month"] == told["workflow"] == []


def test_the_schema_says_what_can_be_typed(api: Api) -> None:
    asked = api.get("schema", format="json").json()["paths"]
    (path,) = (path for path in asked if path.rstrip("/").endswith("/search"))
    parameters = {one["name"]: one for one in asked[path]["get"]["parameters"]}
    assert "`yeast -bread`" in parameters["q"]["description"]
    assert parameters["group"]["schema"]["enum"] == ["session"]


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


def test_the_last_word_may_still_be_typed(api: Api, charlie_api: Api, chat: str) -> None:
    assert found(api.get("search", q="yea")) == []
    assert len(found(api.get("search", q="yea", typing="1"))) == 1
    assert len(found(api.get("search", q="sug", typing="true", facets="1"))) == 1
    assert api.get("search", q="sug", typing="1").json()["complete"] is True
    assert found(charlie_api.get("search", q="yea", typing="1")) == []
    problem(api.get("search", q="yea", typing="yes"), 400, "invalid", "typing")
    problem(api.get("search", q='"yea', typing="1"), 400, "invalid_query", "q")


def test_it_says_what_may_have_been_meant(api: Api, charlie_api: Api, chat: str) -> None:
    said = api.get("search", q="yaest role:user").json()
    assert (said["results"], said["did_you_mean"]) == ([], "yeast role:user")
    assert [hit["role"] for hit in said["close"]] == ["user"]
    assert api.get("search", q="yeast").json()["did_you_mean"] is None
    assert charlie_api.get("search", q="yaest").json()["did_you_mean"] is None
