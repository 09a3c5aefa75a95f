"""``GET sessions/{id}/messages``."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.client import Api, problem


@pytest.fixture
def path(api: Api) -> str:
    session = api.session()
    for number in range(7):
        api.say(session, f"number {number}")
    return f"sessions/{session}/messages"


def said(page: Any) -> list[str]:
    return [one["content"][-1] for one in page["messages"]]


def test_it_goes_by_offset_and_limit(api: Api, path: str) -> None:
    page = api.get(path, offset=2, limit=3).json()
    assert (said(page), page["total"], page["has_more"]) == (["2", "3", "4"], 7, True)
    page = api.get(path, offset=5, limit=3).json()
    assert (said(page), page["has_more"], page["next_cursor"]) == (["5", "6"], False, None)
    assert said(api.get(path, offset=2_147_483_648).json()) == []


def test_it_goes_by_cursor_to_the_end_and_back(api: Api, path: str) -> None:
    page = api.get(path, limit=4).json()
    assert said(api.get(path, cursor=page["next_cursor"], limit=4).json()) == ["4", "5", "6"]
    page = api.get(path, cursor="b6", limit=3).json()
    assert said(page) == ["2", "3", "4"]
    assert said(api.get(path, cursor=page["next_cursor"], limit=3).json()) == ["0", "1"]


def test_it_renders_html_when_asked(api: Api, path: str) -> None:
    (one,) = api.get(path, limit=1, render="html").json()["messages"]
    assert one["content_html"].strip() == "<p>number 0</p>"
    assert "content_html" not in api.get(path, limit=1).json()["messages"][0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("offset", bad) for bad in ("-1", "x", "1.5", "٣", "9" * 30)),
        *(("limit", bad) for bad in ("0", "501", "")),
        *(("cursor", bad) for bad in ("", "z", "a", "a\0", "b99999999999999", "c3")),
        ("render", "pdf"),
        ("format", "xml"),
        ("colour", "red"),
    ],
)
def test_a_bad_parameter_is_named(api: Api, path: str, name: str, value: str) -> None:
    problem(api.get(path, **{name: value}), 400, "invalid", name)


def test_a_stranger_finds_nothing_and_the_invited_reads(
    api: Api, bob_api: Api, charlie_api: Api, grant: Any, path: str
) -> None:
    problem(bob_api.get(path), 404, "not_found")
    grant(path.split("/")[1], "read")
    assert said(bob_api.get(path).json()) == list("0123456")
    problem(charlie_api.get(path), 404, "not_found")
