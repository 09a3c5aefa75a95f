"""Founding document, load tests: its curl line, fifty at once, against a real server."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.founding.site import Site

BODY = {"workflow_type": "agentic_rag", "title": "Load Test"}


def fifty(send: Any) -> Counter[int]:
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: send("POST", "sessions", BODY), range(50)))
    return Counter(status for status, _ in answers)


def test_fifty_at_once_are_all_created_once_signed_in(site: Site) -> None:
    with site.serving():
        before = site.signed("GET", "sessions")[1]["total"]
        assert fifty(site.ask) == {401: 50}
        assert site.signed("GET", "sessions")[1]["total"] == before
        assert fifty(site.signed) == {201: 50}
        assert site.signed("GET", "sessions")[1]["total"] == before + 50


def test_fifty_at_once_in_one_session_are_all_kept_in_one_order(site: Site) -> None:
    with site.serving():
        _, made = site.signed("POST", "sessions", BODY)
        path = f"sessions/{made['session_id']}/messages"

        def say(number: int) -> Any:
            return site.signed("POST", path, {"role": "user", "content": f"number {number}"})

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(say, range(50)))
        assert {status for status, _ in answers} == {201}
        _, page = site.signed("GET", path)
    assert {one["id"] for one in page["messages"]} == {said["id"] for _, said in answers}
    assert [one["seq"] for one in page["messages"]] == list(range(1, 51))
