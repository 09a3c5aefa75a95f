"""``POST import`` past the limit of a request: sealed as it comes, imported by a job."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from chathistory import spool
from chathistory.actions import working
from chathistory.models import Job, Session
from tests.api.client import ROOT, Api, problem, unchanged
from tests.api.test_import import export


@pytest.fixture(autouse=True)
def limits(settings: Any) -> Iterator[None]:
    """What takes more than 10 kB is large; nothing is left in the spool."""
    settings.CHATHISTORY_MAX_IMPORT_BYTES = 10_000
    settings.CHATHISTORY_MAX_UPLOAD_BYTES = 5_000_000
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 0
    for left in files():
        left.unlink()
    yield
    assert files() == []


def files() -> list[Path]:
    return sorted(spool.folder().glob("*"))


def large() -> bytes:
    return b" " * 1_200_000 + export()


def test_it_becomes_a_job(api: Api) -> None:
    answer = api.upload("conversations.json", large())
    job = answer.json()
    assert (answer.status_code, job["state"], job["kind"]) == (202, "queued", "import")
    (file,) = files()
    assert file.stem == job["id"]
    assert b"Sourdough" not in file.read_bytes()
    working.perform(UUID(job["id"]))
    done = api.get(f"jobs/{job['id']}").json()
    assert (done["state"], done["result"]["sessions_new"]) == ("done", 1)
    assert done["file"] is None
    assert Session.objects.count() == 1


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", content)
    return buffer.getvalue()


def test_a_small_zip_of_much_is_large(api: Api) -> None:
    packed = zipped(export(said=200))
    assert len(packed) < 10_000
    answer = api.upload("export.zip", packed)
    assert answer.status_code == 202
    assert b"PK\x03\x04" not in files()[0].read_bytes()  # it is sealed
    working.perform(UUID(answer.json()["id"]))
    done = api.get(f"jobs/{answer.json()['id']}").json()
    assert (done["state"], done["result"]["messages_added"]) == ("done", 200)
    assert api.upload("export.zip", zipped(export())).status_code == 201


def test_a_zip_of_more_entries_than_it_may_have_is_not_looked_at_here(
    api: Api, settings: Any
) -> None:
    settings.CHATHISTORY_MAX_IMPORT_BYTES = 5_000_000
    answer = api.upload("export.zip", b"PK\x03\x04" + b"PK\x01\x02" * 10_001)
    assert answer.status_code == 202
    working.perform(UUID(answer.json()["id"]))
    assert api.get(f"jobs/{answer.json()['id']}").json()["error"]["code"] == "invalid"


def test_of_a_zip_that_declares_too_little_no_more_comes_out(api: Api) -> None:
    packed = bytearray(zipped(export(said=200)))
    struct.pack_into("<L", packed, packed.rindex(b"PK\x01\x02") + 24, 5_000)
    answer = api.upload("export.zip", bytes(packed))
    problem(answer, 400, "invalid", "file")
    assert not Session.objects.exists()


def test_small_ones_never_touch_the_disk(api: Api, monkeypatch: Any) -> None:
    created: list[str] = []
    real = os.open

    def watched(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_CREAT and "sqlite" not in str(path):
            created.append(str(path))
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", watched)
    assert api.upload("x.json", export() + b" " * 5_000).status_code == 201
    assert created == []


def test_a_dry_run_and_a_copy_too(api: Api) -> None:
    for options, count in (({"dry_run": "true"}, 0), ({"copy": "true"}, 1), ({"copy": "true"}, 2)):
        job = api.upload("x.json", large(), **options).json()
        working.perform(UUID(job["id"]))
        assert api.get(f"jobs/{job['id']}").json()["result"]["sessions_new"] == 1
        assert Session.objects.count() == count


def test_too_large_is_413_and_nothing_is_left(api: Api) -> None:
    with unchanged():
        for size in (5_000_001, 9_000_000):
            problem(api.upload("x.json", b" " * size), 413, "limit_exceeded", "file")


def refused(send: Callable[[Any], Any], status: int, code: str, field: str | None) -> None:
    with unchanged():
        problem(send(SimpleUploadedFile("x.json", large())), status, code, field)
    assert files() == []


def test_what_is_refused_leaves_nothing(api: Api, anonymous: Api) -> None:
    def post(client: Client, **fields: Any) -> Callable[[Any], Any]:
        return lambda file: client.post(f"{ROOT}import", {"file": file, **fields})

    refused(post(anonymous.client), 401, "not_authenticated", None)
    refused(post(api.client, copy="perhaps"), 400, "invalid", "copy")
    refused(lambda file: api.client.post(f"{ROOT}import", {"other": file}), 400, "invalid", "file")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(api.user)
    refused(post(strict), 403, "not_allowed", None)


def test_an_upload_that_breaks_off_leaves_nothing(api: Api) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="x.json"\r\n\r\n' + large()
    )
    kind = "multipart/form-data; boundary=x"
    api.client.generic("POST", f"{ROOT}import", body, content_type=kind)
    for job in Job.objects.all():
        working.perform(job.uuid)


def test_a_full_disk_is_said(api: Api, monkeypatch: Any) -> None:
    def full(*_given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with unchanged():
        answer = api.upload("x.json", large())
        said = problem(answer, 503, "unavailable")
    assert "No space left" in said["detail"]


def test_a_job_of_nonsense_fails(api: Api) -> None:
    job = api.upload("x.json", json.dumps(["x"] * 10_000).encode()).json()
    working.perform(UUID(job["id"]))
    assert api.get(f"jobs/{job['id']}").json()["error"]["code"] == "invalid"
