"""``jobs``: asked for, looked at, cancelled."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID, uuid4

import pytest

from chathistory import registry
from chathistory.actions import tokens, working
from chathistory.api.jobs import JobsView
from chathistory.models import Job
from tests.api.client import Api, problem, unchanged


def perform(job: dict[str, Any]) -> None:
    """Do what a worker does."""
    assert working.perform(UUID(job["id"])) is True


def test_jobs_are_listed_newest_first_to_their_owner_alone(api: Api, charlie_api: Api) -> None:
    api.upload("first.json", b"x")
    api.post("jobs", {"kind": "export"})
    newest, oldest = api.get("jobs").json()["jobs"]
    assert newest["created_at"] > oldest["created_at"]
    assert api.get(f"jobs/{newest['id']}").json() == newest
    assert charlie_api.get("jobs").json() == {"jobs": []}


def test_a_job_is_accepted_and_later_done(api: Api, chat: str) -> None:
    answer = api.post("jobs", {"kind": "cleanup"})
    job = answer.json()
    assert (answer.status_code, job["state"], job["kind"]) == (202, "queued", "cleanup")
    assert (job["result"], job["error"], job["started_at"]) == (None, None, None)
    perform(job)
    done = api.get(f"jobs/{job['id']}").json()
    assert (done["state"], done["error"]) == ("done", None)
    assert done["result"] is not None
    assert done["created_at"] <= done["started_at"] <= done["finished_at"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": None}, "kind"),
        ({"kind": 5}, "kind"),
        ({"kind": "paint"}, "kind"),
        ({"kind": "import"}, "kind"),
        ({"kind": "lifecycle"}, "kind"),
        ({"kind": "export\0"}, "kind"),
        ({"kind": "export", "sessions": []}, "sessions"),
        ({"kind": "export", "sessions": ["x"]}, "sessions"),
        ({"kind": "cleanup", "sessions": [str(uuid4())]}, "sessions"),
        ({"kind": "export", "colour": "red"}, "colour"),
        ([], None),
        (b"{", None),
    ],
)
def test_a_bad_value_is_refused(api: Api, body: Any, field: str | None) -> None:
    with unchanged():
        problem(api.post("jobs", body), 400, "invalid", field)


def test_an_unknown_kind_names_the_known(api: Api) -> None:
    said = problem(api.post("jobs", {"kind": "paint"}), 400, "invalid", "kind")["detail"]
    assert "cleanup" in said
    assert "export" in said
    assert "tidy" not in said


def test_its_description_names_every_kind() -> None:
    public = {name for name, kind in registry.KINDS.items() if kind.public}
    assert set(re.findall(r"``(\w+)``", JobsView.post.__doc__ or "")) == public


def test_a_queued_job_is_cancelled_either_way_and_once(api: Api) -> None:
    for cancel in (lambda id: api.delete(f"jobs/{id}"), lambda id: api.post(f"jobs/{id}/cancel")):
        job = api.post("jobs", {"kind": "export"}).json()
        answer = cancel(job["id"])
        assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
        with unchanged():
            problem(cancel(job["id"]), 409, "conflict")


def test_a_running_job_says_that_it_is_to_stop(api: Api) -> None:
    job = api.post("jobs", {"kind": "export"}).json()
    Job.objects.update(state="running")
    answer = api.delete(f"jobs/{job['id']}").json()
    assert (answer["state"], answer["cancel"]) == ("running", True)


def test_too_many_at_once_are_refused(api: Api, settings: Any) -> None:
    settings.CHATHISTORY_MAX_JOBS = 2
    for _ in range(2):
        assert api.post("jobs", {"kind": "export"}).status_code == 202
    with unchanged():
        said = problem(api.post("jobs", {"kind": "export"}), 429, "limit_exceeded")
    assert said["limit"] == 2


def test_strangers_find_nothing(api: Api, charlie_api: Api, anonymous: Api) -> None:
    job = api.post("jobs", {"kind": "export"}).json()["id"]
    asked = [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/events"), ("GET", "/file")]
    with unchanged():
        for method, path in asked:
            for uuid, who in ((job, charlie_api), (str(uuid4()), api)):
                problem(who.send(method, f"jobs/{uuid}{path}"), 404, "not_found")
            problem(anonymous.send(method, f"jobs/{job}{path}"), 401, "not_authenticated")
        problem(anonymous.post("jobs", {"kind": "export"}), 401, "not_authenticated")


def test_a_token_that_only_reads_starts_and_stops_nothing(api: Api) -> None:
    job = api.post("jobs", {"kind": "export"}).json()["id"]
    token = tokens.create(api.user, {"read"})
    bearer = {"HTTP_AUTHORIZATION": f"Token {token}"}
    reader = Api()
    assert reader.send("GET", f"jobs/{job}", **bearer).status_code == 200
    with unchanged():
        problem(reader.post("jobs", {"kind": "export"}, **bearer), 403, "not_allowed")
        problem(reader.delete(f"jobs/{job}", **bearer), 403, "not_allowed")
        problem(reader.post(f"jobs/{job}/cancel", **bearer), 403, "not_allowed")


def test_other_methods_are_none(api: Api) -> None:
    job = api.post("jobs", {"kind": "export"}).json()["id"]
    problem(api.patch(f"jobs/{job}"), 405, "method_not_allowed")
    problem(api.get(f"jobs/{job}/cancel"), 405, "method_not_allowed")
    problem(api.delete("jobs"), 405, "method_not_allowed")


def test_a_browser_gets_a_page_with_a_form(api: Api) -> None:
    page = api.client.get("/api/chat_history/jobs", HTTP_ACCEPT="text/html")
    assert page.status_code == 200
    assert 'name="kind"' in page.content.decode()
