"""``GET sessions``: pages, cursors, order and filters."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from tests.api.client import Api, problem


def titles(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [one["title"] for one in answer.json()["sessions"]]


@pytest.fixture
def five(api: Api) -> list[str]:
    """Sessions one to five; the first is pinned, tagged and changed last."""
    names = ["one", "two", "three", "four", "five"]
    ids = [api.session("tutor" if len(name) > 3 else "translator", title=name) for name in names]
    api.patch(f"sessions/{ids[0]}", {"pinned": True, "tags": ["Bread"]})
    return ids


def test_it_answers_numbered_pages_newest_first(api: Api, five: list[str]) -> None:
    page = api.get("sessions", page=1, page_size=2)
    body = page.json()
    assert titles(page) == ["one", "five"]
    numbers = {name: body[name] for name in ("total", "page", "page_size", "total_pages")}
    assert numbers == {"total": 5, "page": 1, "page_size": 2, "total_pages": 3}
    assert titles(api.get("sessions", page=3, page_size=2)) == ["two"]
    assert titles(api.get("sessions", page=4, page_size=2)) == []
    assert api.get("sessions").json()["page_size"] == 20


def test_the_cursor_goes_on_where_a_page_ended(api: Api, five: list[str]) -> None:
    seen, cursor = [], ""
    while cursor is not None:
        page = api.get("sessions", page_size=2, cursor=cursor)
        seen += titles(page)
        cursor = page.json()["next_cursor"]
    assert seen == ["one", "five", "four", "three", "two"]
    by_number = api.get("sessions", page_size=2).json()["next_cursor"]
    assert titles(api.get("sessions", page_size=2, cursor=by_number)) == ["four", "three"]


def test_shown_has_the_pinned_on_top(api: Api, five: list[str]) -> None:
    api.say(five[1], "newest")
    assert titles(api.get("sessions", sort="shown"))[:2] == ["one", "two"]


def test_filters_narrow(api: Api, five: list[str]) -> None:
    assert titles(api.get("sessions", workflow="translator")) == ["one", "two"]
    assert titles(api.get("sessions", tag="bread")) == ["one"]
    assert titles(api.get("sessions", tag="cheese")) == []
    assert titles(api.get("sessions", pinned="true")) == ["one"]
    assert titles(api.get("sessions", pinned="false", workflow="translator")) == ["two"]
    third = api.get(f"sessions/{five[2]}").json()["created_at"]
    assert titles(api.get("sessions", created_before=third)) == ["one", "two"]
    assert titles(api.get("sessions", created_after=third, pinned="0")) == ["five", "four", "three"]
    assert titles(api.get("sessions", updated_after="2999-01-01T00:00:00Z")) == []


def test_the_trash_shows_only_when_asked_for(api: Api, five: list[str]) -> None:
    api.delete(f"sessions/{five[4]}")
    assert titles(api.get("sessions")) == ["one", "four", "three", "two"]
    assert titles(api.get("sessions", state="deleted")) == ["five"]


def test_it_holds_mine_and_what_was_shared_to_me(
    api: Api, bob_api: Api, charlie_api: Api, five: list[str], grant: Any
) -> None:
    own = bob_api.session(title="own")
    grant(five[0], "read")
    (shared, mine) = bob_api.get("sessions", sort="-updated_at").json()["sessions"][::-1]
    assert (mine["session_id"], shared["title"]) == (own, "one")
    assert (shared["pinned"], shared["tags"]) == (False, [])  # those are Alice's own
    assert titles(bob_api.get("sessions", pinned="true")) == []
    assert titles(bob_api.get("sessions", tag="Bread")) == []
    assert titles(charlie_api.get("sessions")) == []


def cursor(*values: Any) -> str:
    return urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("page", bad) for bad in ("0", "-1", "x", "10002", "9" * 30)),
        *(("page_size", bad) for bad in ("0", "101", "١")),
        *(("sort", bad) for bad in ("title", "updated_at", "")),
        *(("state", bad) for bad in ("nope", "\0")),
        *(("pinned", bad) for bad in ("maybe", "2")),
        *(("created_after", bad) for bad in ("yesterday", "2026-02-30", "9999999")),
        *(("created_before", bad) for bad in ("2026-01-01T00:00:00+99:99", "0001-01-01T00:00+14")),
        ("updated_after", "9999-12-31T23:59:59-14:00"),
        *(("cursor", bad) for bad in ("x", "\0", "é", cursor("updated"), cursor("shown", 1, 2))),
        ("cursor", cursor("updated", "0001-01-01T00:00:00+14:00", 1)),
        ("cursor", cursor("updated", "2026-01-01T00:00:00", 10**30)),
        ("cursor", cursor("updated", "2026-01-01T00:00:00", "1")),
        ("cursor", cursor("updated", "2026-01-01T00:00:00", True)),
        ("cursor", cursor("shown", 1, "2026-01-01T00:00:00", 1)),
        ("workflow", "tutor\0"),
        ("format", "xml"),
        ("colour", "red"),
        ("title__contains", "x"),
    ],
)
def test_a_bad_parameter_is_named(api: Api, name: str, value: str) -> None:
    problem(api.get("sessions", **{name: value}), 400, "invalid", name)


def test_pages_reach_so_deep_and_no_deeper(api: Api) -> None:
    problem(api.get("sessions", page=500, page_size=100), 400, "invalid", "page")
