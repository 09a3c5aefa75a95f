"""``workflows``, ``tags``, ``healthz``, and every other address."""

from __future__ import annotations

import pytest

from tests.api.client import Api, problem, unchanged


def test_the_twelve_workflows_and_the_imported(api: Api) -> None:
    workflows = api.get("workflows").json()["workflows"]
    assert len(workflows) == 13
    assert workflows[0]["name"] == "agentic_rag"
    assert workflows[-1]["name"] == "imported"
    assert all(one["label"] and one["icon"] and one["description"] for one in workflows)


def test_tags_say_how_many_sessions_bear_them(api: Api, charlie_api: Api, chat: str) -> None:
    api.patch(f"sessions/{chat}", {"tags": ["rye", "Oats"]})
    other = api.session()
    api.patch(f"sessions/{other}", {"tags": ["RYE"]})
    tags = [(one["name"], one["sessions"]) for one in api.get("tags").json()["tags"]]
    assert tags == [("Oats", 1), ("rye", 2)]
    assert charlie_api.get("tags").json() == {"tags": []}


def test_healthz_asks_nobody_and_no_database(
    anonymous: Api, django_assert_num_queries: object
) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert anonymous.get("healthz").json() == {"status": "ok"}
    problem(anonymous.post("healthz"), 405, "method_not_allowed")


def test_the_root_tells_where_everything_is(api: Api, anonymous: Api) -> None:
    found = api.get("").json()
    assert "sessions" in found
    for address in found.values():
        assert api.client.get(address + "?q=x" * address.endswith("search")).status_code in (
            200,
            405,
        )
    problem(anonymous.get(""), 401, "not_authenticated")


@pytest.mark.parametrize("path", ["nowhere", "sessions/x", "sessions/1/messages", "jobs/0"])
def test_there_is_nothing_elsewhere(api: Api, anonymous: Api, path: str) -> None:
    with unchanged():
        problem(api.get(path), 404, "not_found")
        problem(api.post(path), 404, "not_found")
        problem(anonymous.get(path), 401, "not_authenticated")


@pytest.mark.parametrize("path", ["jobs", "workflows", "tags"])
def test_an_unknown_parameter_is_named(api: Api, path: str) -> None:
    problem(api.get(path, colour="red"), 400, "invalid", "colour")
    problem(api.client.get(f"/api/chat_history/{path}?%ED%A0%80=1"), 400, "invalid", "\ufffd" * 3)


@pytest.mark.parametrize("path", ["workflows", "tags"])
def test_there_is_nothing_to_post(api: Api, path: str) -> None:
    problem(api.post(path), 405, "method_not_allowed")
