"""``jobs/{id}/file``: what an export leaves, for its owner, for a day."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from chathistory import spool
from chathistory.actions import working
from chathistory.models import Session
from tests.api.client import Api, leave, problem


def export(api: Api, **more: Any) -> dict[str, Any]:
    """Ask for an export and do it."""
    job = api.post("jobs", {"kind": "export", **more}).json()
    working.perform(UUID(job["id"]))
    return dict(api.get(f"jobs/{job['id']}").json())


def fetched(answer: Any) -> bytes:
    assert answer.status_code == 200, answer.content
    content = b"".join(answer.streaming_content)
    assert int(answer["Content-Length"]) == len(content)
    leave(answer)
    return content


def test_everything_goes_out_and_in_again(api: Api, charlie_api: Api, chat: str) -> None:
    other = api.session(title="Ünïcode ☃")
    api.say(other, "Snow?")
    trashed = api.session()
    api.delete(f"sessions/{trashed}")
    job = export(api)
    assert (job["state"], job["progress"], job["total"]) == ("done", 2, 2)
    assert job["result"]["sessions"] == 2
    assert job["file"] == {"name": "chats.json", "bytes": job["result"]["bytes"]}
    answer = api.get(f"jobs/{job['id']}/file")
    assert answer["Content-Disposition"] == 'attachment; filename="chats.json"'
    assert answer["Content-Type"] == "application/json"
    assert answer["Cache-Control"] == "private, no-store"
    content = fetched(answer)
    assert {one["session_id"] for one in json.loads(content)["sessions"]} == {chat, other}
    report = charlie_api.upload("x.json", content).json()["result"]
    assert report["sessions_new"] == 2, report
    again = api.upload("x.json", content).json()["result"]
    assert again["sessions_unchanged"] == 2
    assert fetched(api.get(f"jobs/{job['id']}/file")) == content


def test_named_sessions_alone(api: Api, chat: str) -> None:
    api.session()
    job = export(api, sessions=[chat])
    assert job["result"]["sessions"] == 1
    content = json.loads(fetched(api.get(f"jobs/{job['id']}/file")))
    assert [one["session_id"] for one in content["sessions"]] == [chat]


def test_what_was_shared_only_to_be_read_does_not_go_out(
    bob_api: Api, grant: Any, chat: str
) -> None:
    grant(chat, "read")
    assert export(bob_api, sessions=[chat])["error"]["code"] == "not_allowed"
    Session.objects.get(uuid=chat).shares.all().delete()
    grant(chat, "read", "export")
    assert export(bob_api, sessions=[chat])["state"] == "done"


def test_what_was_taken_back_meanwhile_does_not_go_out(bob_api: Api, grant: Any, chat: str) -> None:
    share = grant(chat, "read", "export")
    job = bob_api.post("jobs", {"kind": "export", "sessions": [chat]}).json()
    share.delete()
    working.perform(UUID(job["id"]))
    failed = bob_api.get(f"jobs/{job['id']}").json()
    assert (failed["error"]["code"], failed["file"]) == ("not_found", None)
    assert list(spool.folder().glob(f"{job['id']}*")) == []


def test_it_lies_sealed_and_the_key_is_shown_to_nobody(api: Api, chat: str) -> None:
    job = export(api)
    (path,) = spool.folder().glob(f"{job['id']}*")
    assert b"session_id" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    assert "key" not in json.dumps(api.get("jobs").json())


@pytest.mark.parametrize("why", ["queued", "another kind", "swept"])
def test_there_is_no_file(api: Api, why: str) -> None:
    if why == "queued":
        job = api.post("jobs", {"kind": "export"}).json()
    elif why == "swept":
        job = export(api)
        spool.delete(UUID(job["id"]))
    else:
        job = api.post("jobs", {"kind": "cleanup"}).json()
        working.perform(UUID(job["id"]))
    problem(api.get(f"jobs/{job['id']}/file"), 404, "not_found")


def test_a_file_that_was_touched_is_not_served(api: Api) -> None:
    job = export(api)
    (path,) = spool.folder().glob(f"{job['id']}*")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    problem(api.get(f"jobs/{job['id']}/file"), 409, "damaged")
