"""jobs.run: long work, and what became of it."""

from __future__ import annotations

import pytest

from chathistory import ids, records
from chathistory.actions import accounts, jobs
from chathistory.exceptions import Invalid, NotFound
from chathistory.models import Change, Job


def test_happy_arguments_and_result_are_kept(alice):
    job = jobs.run(accounts.of(alice), "import", {"file": "a.json"}, lambda: {"new": 3})
    row = jobs.reach(alice, job.uuid)
    assert (row.state, row.kind) == ("done", "import")
    assert records.open_job(row, "arguments") == {"file": "a.json"}
    assert records.open_job(row, "result") == {"result": {"new": 3}}
    assert row.started_at <= row.finished_at


def test_happy_work_runs_outside_any_transaction_of_the_job(alice):
    seen = []
    jobs.run(
        *(accounts.of(alice), "import", {}),
        lambda: seen.extend(Job.objects.values_list("state", flat=True)),
    )
    assert seen == ["running"]


def test_stranger_gets_not_found(alice, charlie, nobody):
    job = jobs.run(accounts.of(alice), "import", {}, dict)
    with pytest.raises(NotFound):
        jobs.reach(charlie, job.uuid)
    with pytest.raises(NotFound):
        jobs.reach(alice, ids.new_id())


def refuse() -> None:
    raise Invalid("Not a zip.", field="file")


def stumble() -> None:
    raise ZeroDivisionError("a secret in the message")


@pytest.mark.parametrize(
    ("work", "error", "kept"),
    [
        (refuse, Invalid, {"code": "invalid", "detail": "Not a zip."}),
        (
            *(stumble, ZeroDivisionError),
            {"code": "unexpected", "detail": "It stopped at an unexpected error."},
        ),
    ],
)
def test_malformed_work_fails_the_job_and_the_row_stays(alice, work, error, kept):
    with pytest.raises(error):
        jobs.run(accounts.of(alice), "import", {"file": "a"}, work)
    row = Job.objects.select_related("account").get()
    assert row.state == "failed"
    assert row.finished_at is not None
    assert records.open_job(row, "result") == {"error": kept}


def interrupt() -> None:
    raise KeyboardInterrupt


def test_malformed_work_that_is_interrupted_is_cancelled(alice):
    uuid = ids.new_id()
    with pytest.raises(KeyboardInterrupt):
        jobs.run(accounts.of(alice), "import", {}, interrupt, uuid=uuid)
    row = Job.objects.select_related("account").get(uuid=uuid)
    assert (row.state, row.holder, records.open_job(row, "result")) == ("cancelled", None, {})


def test_malformed_arguments_store_nothing(alice):
    with pytest.raises(TypeError):
        jobs.run(accounts.of(alice), "import", {"file": object()}, dict)
    assert not Job.objects.exists()
    assert not Change.objects.exists()


def test_repeated_makes_a_job_each_time(alice):
    account = accounts.of(alice)
    made = {jobs.run(account, "import", {}, dict).uuid for _ in range(3)}
    assert len(made) == Job.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_concurrent_jobs_are_all_done(alice, together):
    account = accounts.of(alice)
    done = together(
        *[lambda n=n: jobs.run(account, "import", {"n": n}, lambda: n) for n in range(6)]
    )
    assert {job.state for job in done} == {"done"}
    assert [records.open_job(job, "result")["result"] for job in done] == list(range(6))
    seqs = list(Change.objects.order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, 13))
