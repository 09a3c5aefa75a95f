"""``sessions/{id}/export`` and the ``export`` job: chats as files, in every format."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any
from uuid import UUID, uuid4

import pytest

from chathistory.actions import working
from chathistory.formats.writers import WRITERS, typesetting
from chathistory.models import Message
from tests.api.client import Api, leave, problem

FORMS = [form for form in WRITERS if form != "pdf"]


def fetched(answer: Any) -> bytes:
    assert answer.status_code == 200, answer.content
    content = b"".join(answer.streaming_content)
    leave(answer)
    return content


def ids(api: Api, chat: str) -> list[str]:
    return [one["id"] for one in api.get(f"sessions/{chat}").json()["messages"]]


@pytest.mark.parametrize("form", FORMS)
def test_each_format_is_a_file_that_a_browser_keeps(api: Api, chat: str, form: str) -> None:
    answer = api.get(f"sessions/{chat}/export", format=form)
    assert answer["Content-Type"] == WRITERS[form].content_type
    name = f"-Beer-and-bread-{chat[-8:]}.{WRITERS[form].suffix}"
    assert answer["Content-Disposition"].startswith('attachment; filename="20')
    assert answer["Content-Disposition"].endswith(f'{name}"')
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == "private, no-store"
    assert b"It eats sugar." in fetched(answer)


def test_json_is_what_nobody_names_and_can_be_imported(
    api: Api, charlie_api: Api, chat: str
) -> None:
    content = fetched(api.client.get(f"/api/chat_history/sessions/{chat}/export/"))
    assert json.loads(content)["sessions"][0]["session_id"] == chat
    assert charlie_api.upload("x.json", content).json()["result"]["sessions_new"] == 1


@pytest.mark.parametrize("accept", ["text/html", "application/pdf", "image/png", ""])
def test_whatever_the_client_accepts_it_gets_the_file(api: Api, chat: str, accept: str) -> None:
    answer = api.client.get(f"/api/chat_history/sessions/{chat}/export", headers={"Accept": accept})
    assert answer["Content-Type"] == "application/json"
    fetched(answer)


def test_one_branch_alone(api: Api, chat: str) -> None:
    first, second, third = ids(api, chat)
    content = json.loads(fetched(api.get(f"sessions/{chat}/export", message=second)))
    (session,) = content["sessions"]
    assert [one["id"] for one in session["messages"]] == [first, second]
    assert session["head_id"] == second
    text = fetched(api.get(f"sessions/{chat}/export", message=third, format="text"))
    assert b"And then?" in text


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"format": "docx"}, "format"),
        ({"format": ""}, "format"),
        ({"format": "JSON"}, "format"),
        ({"message": "x"}, "message"),
        ({"message": str(uuid4())}, "message"),
        ({"colour": "red"}, "colour"),
        ({"format": "json\0"}, "format"),
    ],
)
def test_what_cannot_be_written_is_a_problem(
    api: Api, chat: str, parameters: dict[str, str], field: str
) -> None:
    answer = api.get(f"sessions/{chat}/export", **parameters)
    detail = problem(answer, 400, "invalid", field)["detail"]
    if parameters.get("format") == "docx":
        assert ", ".join(WRITERS) in detail


def test_without_the_extra_the_problem_names_it(
    api: Api, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typesetting, "find_spec", lambda name: None)
    answer = api.get(f"sessions/{chat}/export", format="pdf")
    assert "django-chathistory[pdf]" in problem(answer, 400, "invalid", "format")["detail"]
    answer = api.post("jobs", {"kind": "export", "format": "pdf"})
    assert "django-chathistory[pdf]" in problem(answer, 400, "invalid", "format")["detail"]


def test_strangers_readers_and_the_invited(
    api: Api, bob_api: Api, charlie_api: Api, anonymous: Api, grant: Any, chat: str
) -> None:
    problem(charlie_api.get(f"sessions/{chat}/export"), 404, "not_found")
    problem(anonymous.get(f"sessions/{chat}/export"), 401, "not_authenticated")
    share = grant(chat, "read")
    problem(bob_api.get(f"sessions/{chat}/export"), 403, "not_allowed")
    share.delete()
    grant(chat, "read", "export")
    assert fetched(bob_api.get(f"sessions/{chat}/export"))
    problem(api.get(f"sessions/{uuid4()}/export"), 404, "not_found")


def test_a_damaged_message_does_not_stop_it(api: Api, chat: str) -> None:
    row = Message.objects.get(uuid=ids(api, chat)[1])
    Message.objects.filter(pk=row.pk).update(body=row.body[:-1] + b"x")
    text = fetched(api.get(f"sessions/{chat}/export", format="markdown")).decode()
    assert "cannot be read" in text
    assert "And then?" in text


def test_a_pdf(api: Api, chat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = api.get(f"sessions/{chat}/export", format="pdf")
    assert answer["Content-Type"] == "application/pdf"
    assert fetched(answer).startswith(b"%PDF-")
    monkeypatch.setattr(typesetting, "MAX_SOURCE", 10)
    problem(api.get(f"sessions/{chat}/export", format="pdf"), 413, "limit_exceeded", "format")


def test_what_is_too_long_for_a_pdf_is_named_and_the_others_are_there(
    api: Api, chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = api.session(title="Long")
    api.say(long, "x" * 10_000)
    monkeypatch.setattr(typesetting, "MAX_SOURCE", 9_000)
    job, answer = run(api, format="pdf")
    assert list(job["result"]["failed"]) == [long]
    with zipfile.ZipFile(io.BytesIO(fetched(answer))) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(".pdf")]
        assert "Beer-and-bread" in name
        assert "at most 9,000" in archive.read("index.html").decode()


def run(api: Api, **more: Any) -> tuple[dict[str, Any], Any]:
    """Export as a job; return the job and its file."""
    answer = api.post("jobs", {"kind": "export", **more})
    assert answer.status_code == 202, answer.content
    working.perform(UUID(answer.json()["id"]))
    job = dict(api.get(f"jobs/{answer.json()['id']}").json())
    return job, api.get(f"jobs/{job['id']}/file")


@pytest.mark.parametrize("form", FORMS)
def test_everything_as_a_job(api: Api, chat: str, form: str) -> None:
    other = api.session(title="Other")
    api.say(other, "Snow?")
    job, answer = run(api, format=form)
    assert (job["state"], job["result"]["sessions"]) == ("done", 2)
    content = fetched(answer)
    assert len(content) == job["file"]["bytes"]
    if WRITERS[form].is_single:
        assert (job["file"]["name"], answer["Content-Type"]) == ("chats.zip", "application/zip")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert len(archive.namelist()) == 3
            assert b"Beer and bread" in archive.read("index.html")
    else:
        assert answer["Content-Type"] == WRITERS[form].content_type
        assert b"Snow?" in content


def test_what_a_query_finds_as_a_job(api: Api, chat: str) -> None:
    api.say(api.session(), "Snow?")
    job, answer = run(api, query="sugar OR beer")
    content = json.loads(fetched(answer))
    assert [one["session_id"] for one in content["sessions"]] == [chat]
    assert job["result"]["sessions"] == 1
    job, answer = run(api, query="nowhere", format="jsonl")
    assert (fetched(answer), job["result"]["sessions"]) == (b"", 0)


@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({"format": "docx"}, "invalid", "format"),
        ({"format": None}, "invalid", "format"),
        ({"query": '"open'}, "invalid_query", "q"),
        ({"query": ""}, "invalid_query", "q"),
        ({"query": "x", "sessions": [str(uuid4())]}, "invalid", "query"),
    ],
)
def test_a_job_that_could_not_be_done_is_refused(
    api: Api, more: dict[str, Any], code: str, field: str
) -> None:
    answer = api.post("jobs", {"kind": "export", **more})
    assert problem_of(answer) == (400, code, field)
    answer = api.post("jobs", {"kind": "cleanup", "format": "json"})
    assert problem_of(answer) == (400, "invalid", "format")


def problem_of(answer: Any) -> tuple[int, str, str | None]:
    body = answer.json()
    return answer.status_code, body["code"], body.get("field")
