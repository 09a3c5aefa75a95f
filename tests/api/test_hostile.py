"""Requests that no honest client sends: each is refused by name, and nothing is stored."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT

from chathistory import records
from chathistory.models import Job
from tests.api.client import ROOT, Api, problem, unchanged
from tests.api.test_import import export

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
NO_UTF8 = b"b\xe9\xff"


def part(name: str, value: bytes, more: str = "") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + value + b"\r\n"


def form(**fields: bytes) -> bytes:
    end = f"--{BOUNDARY}--\r\n".encode()
    return b"".join(part(name, value) for name, value in fields.items()) + end


@pytest.mark.parametrize("changed", ["title", "content"])
def test_of_several_etags_the_present_one_counts(api: Api, chat: str, changed: str) -> None:
    message = api.get(f"sessions/{chat}/messages").json()["messages"][0]["id"]
    path = f"sessions/{chat}" if changed == "title" else f"messages/{message}"
    tag = api.get(path)["ETag"]
    body = {changed: "new"}
    huge = tag[:-1] + "9" * 5_000 + '"'
    with unchanged():
        for given in (huge, f'{huge}, "x"', '"1-1", "1-m1"', "W/W/W/", '"1-٣"'):
            problem(api.patch(path, body, headers={"If-Match": given}), 412, "stale")
            problem(api.delete(path, headers={"If-Match": given}), 412, "stale")
    several = f'"1-0", {huge}, W/{tag}, "x"'
    assert api.patch(path, body, headers={"If-Match": several}).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        pytest.param((b"role=user&content=%62%e9%ff", FORM), id="escaped"),
        pytest.param((b"role=user&content=" + NO_UTF8, FORM), id="raw"),
        pytest.param((b"role=user&content=x&%ff=x", FORM), id="a name"),
        pytest.param((form(role=b"user", content=NO_UTF8), MULTIPART_CONTENT), id="multipart"),
    ],
)
def test_a_form_that_is_not_in_utf8_is_refused(
    api: Api, chat: str, body: tuple[bytes, str]
) -> None:
    data, kind = body
    with unchanged():
        answer = api.post(f"sessions/{chat}/messages", data, content_type=kind)
        problem(answer, 400, "invalid", "content" if kind == MULTIPART_CONTENT else None)


@pytest.mark.parametrize("kind", [FORM, MULTIPART_CONTENT])
def test_a_form_in_utf8_is_stored_as_it_is(api: Api, chat: str, kind: str) -> None:
    text = "Grüße 🎉 \ufffd \x85"
    said = text.encode()
    data = form(role=b"user", content=said)
    if kind == FORM:
        data = f"role=user&content={quote_from_bytes(said)}".encode()
    answer = api.post(f"sessions/{chat}/messages", data, content_type=kind)
    assert (answer.status_code, answer.json()["content"]) == (201, text)


def test_a_files_name_is_kept(api: Api) -> None:
    more = '; filename="Grüße.json"'
    data = part("file", export(), more) + f"--{BOUNDARY}--\r\n".encode()
    answer = api.post("import", data, content_type=MULTIPART_CONTENT)
    assert answer.json()["result"]["sessions_new"] == 1
    job = Job.objects.select_related("account").get()
    assert records.open_job(job, "arguments")["file"] == "Grüße.json"


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "zzz"])
@pytest.mark.parametrize("kind", [JSON, FORM, MULTIPART_CONTENT])
def test_no_other_charset_is_read(api: Api, chat: str, kind: str, charset: str) -> None:
    data = {JSON: b'{"role": "user", "content": "x"}', FORM: b"role=user&content=x"}
    body = data.get(kind, form(role=b"user", content=b"x"))
    path = f"sessions/{chat}/messages"
    with unchanged():
        answer = api.post(path, body, content_type=f"{kind}; charset={charset}")
        problem(answer, 415, "unsupported_media_type")
    answer = api.post(path, body, content_type=f'{kind}; charset="UTF-8"')
    assert answer.status_code == 201


def test_too_many_fields_or_files_are_a_problem_too(api: Api, chat: str) -> None:
    path = f"sessions/{chat}/messages"
    fields = {f"f{number}": b"x" for number in range(1_100)}
    files = b"".join(part(f"f{n}", b"x", '; filename="f"') for n in range(110))
    end = f"--{BOUNDARY}--\r\n".encode()
    with unchanged():
        many = "&".join(f"{name}=x" for name in fields).encode()
        problem(api.post(path, many, content_type=FORM), 413, "limit_exceeded")
        answer = api.post(path, form(**fields), content_type=MULTIPART_CONTENT)
        problem(answer, 413, "limit_exceeded")
        answer = api.post(path, files + end, content_type=MULTIPART_CONTENT)
        problem(answer, 413, "limit_exceeded")


def test_what_an_import_does_not_know_or_has_twice_is_refused(api: Api) -> None:
    files = [SimpleUploadedFile(name, export()) for name in ("a.json", "b.json")]
    with unchanged():
        problem(api.upload("x.json", export(), dryrun="true"), 400, "invalid", "dryrun")
        problem(api.upload("x.json", export(), dry_run=["1", "0"]), 400, "invalid", "dry_run")
        answer = api.client.post(f"{ROOT}import", {"file": files})
        problem(answer, 400, "invalid", "file")


def test_the_browsable_apis_forms_may_bring_their_token(api: Api) -> None:
    browser = Client(enforce_csrf_checks=True)
    assert api.user is not None
    browser.force_login(api.user)
    browser.get(f"{ROOT}sessions", headers={"Accept": "text/html"})
    token = browser.cookies["csrftoken"].value
    fields = {"workflow_type": "tutor", "title": "by form", "csrfmiddlewaretoken": token}
    assert browser.post(f"{ROOT}sessions", fields).status_code == 201
    problem(api.post("sessions", fields), 400, "invalid", "csrfmiddlewaretoken")


@pytest.mark.parametrize("verb", ["restore", "archive", "resume"])
@pytest.mark.parametrize(
    ("body", "field"), [(b"{bad", None), (b"[]", None), (b'{"zz":1}', "zz"), (b"null", None)]
)
def test_a_verb_without_a_body_takes_none(
    api: Api, chat: str, verb: str, body: bytes, field: str | None
) -> None:
    api.post(f"sessions/{chat}/archive")
    if verb == "restore":
        api.delete(f"sessions/{chat}")
    with unchanged():
        problem(api.post(f"sessions/{chat}/{verb}", body), 400, "invalid", field)
    assert api.post(f"sessions/{chat}/{verb}", b"").status_code == 200


def test_a_body_of_unknown_length_is_411(api: Api, chat: str) -> None:
    with unchanged():
        chunked = {"Transfer-Encoding": "chunked"}
        answer = api.post(f"sessions/{chat}/messages", b"", headers=chunked)
        problem(answer, 411, "length_required")


@pytest.mark.parametrize("bad", [1, True, "0" * 32, "٣" * 32, "{%s}" % ("1" * 32), [], None])
@pytest.mark.parametrize(
    ("path", "field", "body"),
    [
        ("sessions", "session_id", {"workflow_type": "tutor"}),
        ("sessions/{chat}/messages", "id", {"role": "user", "content": "x"}),
        ("sessions/{chat}/fork", "message_id", {}),
    ],
)
def test_an_id_is_a_uuid_as_text(
    api: Api, chat: str, path: str, field: str, body: dict[str, Any], bad: Any
) -> None:
    with unchanged():
        answer = api.post(path.format(chat=chat), {**body, field: bad})
        problem(answer, 400, "invalid", field)


@pytest.mark.parametrize("path", ["sessions", "search"])
def test_a_parameter_given_twice_is_refused(api: Api, chat: str, path: str) -> None:
    answer = api.get(path, q="x", state=["active", "deleted"])
    field = "state" if path == "search" else "q"
    problem(answer, 400, "invalid", field)
    problem(api.get("sessions", state=["active", "deleted"]), 400, "invalid", "state")


def test_facts_about_a_text_are_ours_to_state(api: Api, chat: str) -> None:
    facts = {"tokens": "x", "characters": -5, "links": ["a"], "code_blocks": "zz", "own": 1}
    content = "see https://example.org\n```py\n1\n```"
    said = api.say(chat, content, metadata=facts)["metadata"]
    assert (said["characters"], said["links"]) == (len(content), ["https://example.org"])
    assert said["code_blocks"] == [{"language": "py", "lines": 1}]
    assert said["own"] == 1
    assert isinstance(said["tokens"], int)
