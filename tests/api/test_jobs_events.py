"""``jobs/{id}/events``: the job whenever it changes, until its end."""

from __future__ import annotations

import json
import threading
from typing import Any
from uuid import UUID

import pytest
from django.db import connections

from chathistory.actions import jobs, working
from chathistory.api import streams
from chathistory.models import Job
from tests.actions.kinds import register
from tests.api.client import Api, leave, problem


def events(answer: Any) -> list[tuple[str, Any]]:
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream")
    blocks = b"".join(answer.streaming_content).decode().strip().split("\n\n")
    leave(answer)
    pairs = [block.split("\n", 1) for block in blocks]
    return [(name[7:], json.loads(data[6:])) for name, data in pairs]


def test_a_job_that_has_ended_says_so(api: Api) -> None:
    job = api.post("jobs", {"kind": "export"}).json()["id"]
    working.perform(UUID(job))
    assert events(api.get(f"jobs/{job}/events")) == [("end", api.get(f"jobs/{job}").json())]


@pytest.mark.django_db(transaction=True)
def test_it_follows_a_job_to_its_end(api: Api, monkeypatch: Any) -> None:
    seen = threading.Event()

    def work(held: working.Work) -> str:
        held.step(1, 2)
        assert seen.wait(30)
        return "done"

    job = api.post("jobs", {"kind": register(monkeypatch, work)}).json()["id"]
    answer = api.get(f"jobs/{job}/events")
    stream = iter(answer.streaming_content)
    assert b'"state": "queued"' in next(stream)

    def perform() -> None:
        try:
            working.perform(UUID(job))
        finally:
            connections.close_all()

    worker = threading.Thread(target=perform)
    worker.start()
    while b'"progress": 1, "total": 2' not in next(stream):
        pass
    seen.set()
    *_, last = stream
    worker.join()
    leave(answer)
    assert last.startswith(b"event: end\n")
    assert b'"result": "done"' in last


def test_watchers_leave_places_for_answers(api: Api, chat: str) -> None:
    job = api.post("jobs", {"kind": "export"}).json()["id"]
    watching = [api.get(f"jobs/{job}/events") for _ in range(2)]
    problem(api.get(f"jobs/{job}/events"), 503, "unavailable")
    answering = api.post(f"sessions/{chat}/reply", {"content": "Why?"})
    assert answering.status_code == 200
    for one in (*watching, answering):
        leave(one)
    again = api.get(f"jobs/{job}/events")
    assert again.status_code == 200
    leave(again)


def test_it_ends_when_the_server_is_to_stop(api: Api, monkeypatch: Any) -> None:
    job = api.post("jobs", {"kind": "export"}).json()["id"]
    answers = iter([True, True, False])
    monkeypatch.setattr(streams, "is_serving", lambda: next(answers))
    assert [name for name, _ in events(api.get(f"jobs/{job}/events"))] == ["progress"]


def test_it_ends_when_the_job_is_gone(api: Api) -> None:
    job = api.post("jobs", {"kind": "export"}).json()["id"]
    answer = api.get(f"jobs/{job}/events")
    stream = iter(answer.streaming_content)
    next(stream)
    jobs.reach(api.user, UUID(job))
    Job.objects.all().delete()
    assert list(stream) == []
    leave(answer)


@pytest.mark.django_db(transaction=True)
def test_who_watches_for_long_makes_room_and_comes_again(api: Api, monkeypatch: Any) -> None:
    monkeypatch.setattr("chathistory.api.jobs._TURN", 0)
    job = api.post("jobs", {"kind": "export"}).json()["id"]
    for _ in range(3):
        answer = api.get(f"jobs/{job}/events")
        first, last = b"".join(answer.streaming_content).decode().strip().split("\n\n")
        leave(answer)
        assert first.startswith("event: progress")
        assert last == "retry: 3000"
