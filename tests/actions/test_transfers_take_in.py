"""transfers.take_in: a file in the spool is imported by a job, once, and then gone."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from chathistory import ids, spool
from chathistory.actions import accounts, jobs, transfers, working
from chathistory.exceptions import Invalid, NotAllowed, NotFound
from chathistory.models import Job, Message, Session
from tests.actions.kinds import ended


def chats(count):
    """An export of ChatGPT's of so many chats."""
    return [
        {
            "conversation_id": f"c{number}",
            "title": f"Chat {number}",
            "create_time": 1.7e9,
            "current_node": "n",
            "mapping": {
                "n": {
                    "id": "n",
                    "parent": None,
                    "children": [],
                    "message": {
                        "id": "n",
                        "author": {"role": "user"},
                        "create_time": 1.7e9,
                        "content": {"content_type": "text", "parts": [f"zebra {number}"]},
                    },
                }
            },
        }
        for number in range(count)
    ]


def upload(content):
    """Put bytes into the spool."""
    with spool.Writer(ids.new_id()) as writer:
        writer.write(content)
        writer.finish()
    return SimpleNamespace(uuid=writer.uuid, key=writer.raw_key, name="x.json")


def export(count=3):
    return upload(json.dumps(chats(count)).encode())


def is_there(file):
    return (spool.folder() / f"{file.uuid}.spool").exists()


def test_malformed_a_format_that_is_none_is_refused_before_the_file_is_taken(alice):
    file = export()
    with pytest.raises(Invalid) as refused:
        transfers.take_in(alice, file, format_name="docx")
    assert refused.value.field == "format"
    assert is_there(file)
    assert not Job.objects.exists()


def test_happy_the_job_believes_the_format_that_is_said(alice):
    job = transfers.take_in(alice, export(2), format_name="claude")
    working.perform(job.uuid)
    _state, result = ended(job)
    assert result["sessions_failed"] == 2


def test_happy_its_chats_come_in_and_the_file_goes(alice):
    file = export()
    job = transfers.take_in(alice, file)
    assert (job.uuid, job.state, is_there(file)) == (file.uuid, "queued", True)
    working.perform(job.uuid)
    state, report = ended(job)
    assert (state, report["sessions_new"], report["messages_added"]) == ("done", 3, 3)
    assert not is_there(file)
    row = Job.objects.get()
    assert row.progress == row.total


def test_happy_a_dry_run_only_says_what_would_come(alice):
    job = transfers.take_in(alice, export(), dry_run=True)
    working.perform(job.uuid)
    assert ended(job)[1]["sessions_new"] == 3
    assert not Session.objects.exists()


@pytest.mark.parametrize("copy", [False, True])
def test_happy_a_second_run_of_what_was_interrupted_doubles_nothing(alice, copy):
    file = export()
    content = (spool.folder() / f"{file.uuid}.spool").read_bytes()
    job = transfers.take_in(alice, file, copy=copy)
    working.perform(job.uuid)
    (spool.folder() / f"{file.uuid}.spool").write_bytes(content)
    Job.objects.update(state="queued")
    working.perform(job.uuid)
    assert ended(job)[1]["sessions_unchanged"] == 3
    assert (Session.objects.count(), Message.objects.count()) == (3, 3)


def test_happy_a_copy_tells_the_format_by_its_name(alice):
    job = transfers.take_in(alice, export(2), copy=True)
    working.perform(job.uuid)
    assert [one["format"] for one in ended(job)[1]["sessions"]] == ["chatgpt", "chatgpt"]


@pytest.mark.parametrize("how", ["dry", "known"])
def test_happy_where_nothing_is_written_it_can_be_watched_and_cancelled(alice, monkeypatch, how):
    if how == "known":
        working.perform(transfers.take_in(alice, export(300)).uuid)
    steps: list[tuple[int, int | None]] = []
    step = working.Work.step

    def watched(work, done, total=None):
        steps.append((done, total))
        if len(steps) == 3:
            jobs.cancel(alice, work.uuid)
        step(work, done, total)

    monkeypatch.setattr(working.Work, "step", watched)
    monkeypatch.setattr(working, "PACE", 0)
    job = transfers.take_in(alice, export(300), dry_run=how == "dry")
    working.perform(job.uuid)
    assert ended(job) == ("cancelled", None)
    assert len(steps) == 3
    assert all(total for _done, total in steps)


def test_happy_another_copy_is_another(alice):
    for _ in range(2):
        working.perform(transfers.take_in(alice, export(), copy=True).uuid)
    assert Session.objects.count() == 6


def test_happy_nothing_of_it_is_readable_on_the_disk(alice):
    file = export()
    sealed = (spool.folder() / f"{file.uuid}.spool").read_bytes()
    assert b"zebra" not in sealed
    job = transfers.take_in(alice, file)
    assert file.key not in bytes(job.arguments or b"")
    assert file.key.hex().encode() not in bytes(job.arguments or b"")
    spool.delete(file.uuid)


def test_stranger_gets_nothing_of_it(alice, charlie, nobody):
    file = export()
    with pytest.raises(NotAllowed):
        transfers.take_in(nobody, file)
    job = transfers.take_in(alice, file)
    with pytest.raises(NotFound):
        jobs.reach(charlie, job.uuid)
    alice.is_active = False
    alice.save()
    working.perform(job.uuid)
    assert ended(job) == ("failed", "not_allowed")
    assert not is_there(file)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "invalid"), (b"hello", "invalid"), (b"\x89PNG", "invalid"), (b"PK\x03\x04x", "invalid")],
)
def test_malformed_files_fail_the_job(alice, content, code):
    job = transfers.take_in(alice, upload(content))
    working.perform(job.uuid)
    assert ended(job) == ("failed", code)


def test_malformed_a_file_that_was_touched_or_is_gone_fails_the_job(alice):
    file, lost = export(300), export()
    path = spool.folder() / f"{file.uuid}.spool"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    job = transfers.take_in(alice, file)
    working.perform(job.uuid)
    assert ended(job) == ("failed", "damaged")
    assert not Session.objects.exists()
    job = transfers.take_in(alice, lost)
    spool.delete(lost.uuid)
    working.perform(job.uuid)
    assert ended(job) == ("failed", "not_found")


def test_malformed_what_a_request_did_not_finish_cannot_be_taken_up(alice):
    given = {"file": "x.json", "copy": False, "dry_run": False}
    job = jobs.enqueue(accounts.of(alice), "import", given)
    working.perform(job.uuid)
    assert ended(job) == ("failed", "conflict")
    assert "upload it again" in jobs.outcome_of(jobs.reach(alice, job.uuid))["error"]["detail"]


def test_repeated_the_same_file_again_adds_nothing(alice):
    for expected in ("sessions_new", "sessions_unchanged"):
        job = transfers.take_in(alice, export())
        working.perform(job.uuid)
        assert ended(job)[1][expected] == 3


@pytest.mark.django_db(transaction=True)
def test_concurrent_imports_of_one_file_make_its_chats_once(alice, together):
    made = [transfers.take_in(alice, export()) for _ in range(3)]
    assert together(*[lambda job=job: working.perform(job.uuid) for job in made]) == [True] * 3
    assert {ended(job)[0] for job in made} == {"done"}
    assert (Session.objects.count(), Message.objects.count()) == (3, 3)
