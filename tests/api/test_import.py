"""``POST import``, and the job it leaves."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from chathistory.models import Message, Session
from tests.api.client import Api, problem, unchanged


def node(name: str, parent: str | None, role: str, text: str) -> dict[str, Any]:
    """One node of a ChatGPT export."""
    content = {"content_type": "text", "parts": [text]}
    message = {"id": name, "author": {"role": role}, "content": content, "create_time": 1.7e9}
    return {"id": name, "parent": parent, "children": [], "message": message}


def export(*, said: int = 2, title: str = "Sourdough") -> bytes:
    """A ChatGPT export of one chat."""
    nodes = {"root": {"id": "root", "parent": None, "children": [], "message": None}}
    parent = "root"
    for number in range(said):
        role, name = ("user", "assistant")[number % 2], f"n{number}"
        nodes[name] = node(name, parent, role, f"text {number}")
        parent = name
    chat = {"conversation_id": "c1", "title": title, "create_time": 1.7e9, "mapping": nodes}
    return json.dumps([chat | {"current_node": parent}]).encode()


def test_chats_come_in_once_and_what_is_new_of_them_later(api: Api) -> None:
    answer = api.upload("conversations.json", export())
    job = answer.json()
    assert (answer.status_code, job["state"], job["kind"]) == (201, "done", "import")
    assert (job["result"]["sessions_new"], job["result"]["messages_added"]) == (1, 2)
    again = api.upload("renamed.json", export()).json()["result"]
    assert (again["sessions_unchanged"], again["messages_added"]) == (1, 0)
    longer = api.upload("conversations.json", export(said=4)).json()["result"]
    assert (longer["sessions_extended"], longer["messages_added"]) == (1, 2)
    (session,) = api.get("sessions").json()["sessions"]
    assert (session["title"], session["message_count"]) == ("Sourdough", 4)
    copied = api.upload("conversations.json", export(), copy="true").json()["result"]
    assert (copied["sessions_new"], Session.objects.count()) == (1, 2)


def test_a_zip_and_a_byte_order_mark_will_do(api: Api) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("conversations.json", b"\xef\xbb\xbf" + export())
    assert api.upload("export.zip", buffer.getvalue()).json()["result"]["sessions_new"] == 1


def test_the_format_may_be_said(api: Api) -> None:
    said = b'{"role": "user", "content": "hi"}\n'
    report = api.upload("x.json", said, format="openai").json()["result"]
    assert (report["sessions_new"], report["messages_added"]) == (1, 1)
    report = api.upload("x.json", export(), format="claude").json()["result"]
    assert (report["sessions_new"], report["sessions_failed"]) == (0, 1)
    with unchanged():
        answer = api.upload("x.json", export(), format="docx")
        problem(answer, 400, "invalid", "format")
        assert "native, chatgpt, claude" in answer.json()["detail"]


def test_a_dry_run_only_says_what_would_come(api: Api) -> None:
    report = api.upload("x.json", export(), dry_run="true").json()["result"]
    assert (report["dry_run"], report["sessions_new"]) == (True, 1)
    assert (Session.objects.count(), Message.objects.count()) == (0, 0)


def test_of_a_damaged_file_what_is_whole_comes_in(api: Api) -> None:
    report = api.upload("x.json", export()[:-1] + b', {"title": "cut", "mapping": {').json()[
        "result"
    ]
    assert (report["sessions_new"], report["sessions_failed"]) == (1, 1)
    (failed,) = [one for one in report["sessions"] if one["outcome"] == "failed"]
    assert "cut off" in failed["reason"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"hello", id="text"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x89PNG\r\n\x1a\n", id="an image"),
        pytest.param(b"PK\x03\x04junk", id="a broken zip"),
        pytest.param(b"\x1f\x8b\x08junk", id="gzip"),
        pytest.param(b"{}", id="an empty object"),
        pytest.param(b"[]", id="an empty list"),
        pytest.param(b"[1, 2]", id="numbers"),
        pytest.param(b"[NaN]", id="NaN"),
        pytest.param(b"\xff\xfe[\0]\0", id="UTF-16"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b"\0" * 100, id="NULs"),
        pytest.param(b"[1" + b"0" * 6_000 + b"]", id="a huge integer"),
    ],
)
def test_what_it_is_not_is_refused(api: Api, content: bytes) -> None:
    problem(api.upload("conversations.json", content), 400, "invalid", "file")
    assert (Session.objects.count(), Message.objects.count()) == (0, 0)
    for job in api.get("jobs").json()["jobs"]:
        assert (job["state"], job["result"], job["error"]["code"]) == ("failed", None, "invalid")


def test_too_large_is_413_before_it_is_read(api: Api, settings: Any) -> None:
    settings.CHATHISTORY_MAX_UPLOAD_BYTES = 200_000
    with unchanged():
        for size in (200_001, 300_000):
            answer = api.upload("x.json", b"[" + b" " * size)
            problem(answer, 413, "limit_exceeded", "file")


def test_what_is_no_upload_is_refused(api: Api) -> None:
    path = "/api/chat_history/import"
    with unchanged():
        problem(api.client.post(path, {}), 400, "invalid", "file")
        problem(api.client.post(path, {"file": "x"}), 400, "invalid", "file")
        problem(api.post("import", {"file": "x"}), 400, "invalid", "file")
        problem(api.post("import", []), 400, "invalid")
        problem(api.post("import", b"[]", content_type="text/plain"), 415, "unsupported_media_type")
        broken = "multipart/form-data"
        problem(api.post("import", b"x", content_type=broken), 400, "invalid")
        problem(api.upload("x.json", export(), copy="perhaps"), 400, "invalid", "copy")
        problem(api.get("import"), 405, "method_not_allowed")


def test_a_chat_in_the_trash_stays_there(api: Api) -> None:
    api.upload("x.json", export())
    (session,) = api.get("sessions").json()["sessions"]
    api.delete(f"sessions/{session['session_id']}")
    report = api.upload("x.json", export(said=4)).json()["result"]
    assert (report["sessions_failed"], report["messages_added"]) == (1, 0)
    assert "trash" in report["sessions"][0]["reason"]
