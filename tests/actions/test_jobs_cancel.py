"""jobs.cancel: a queued job at once, a running one at its next step."""

from __future__ import annotations

import pytest

from chathistory import ids, spool
from chathistory.actions import accounts, jobs, working
from chathistory.exceptions import Conflict, NotFound
from chathistory.models import Change, Job
from tests.actions.kinds import ended, register


def test_happy_a_queued_job_never_runs(alice, monkeypatch):
    ran = []
    kind = register(monkeypatch, ran.append)
    job = jobs.enqueue(accounts.of(alice), kind, {})
    gone = jobs.cancel(alice, job.uuid)
    assert (gone.state, gone.cancel) == ("cancelled", True)
    assert gone.finished_at is not None
    assert working.perform(job.uuid) is False
    assert ran == []
    assert gone.changed == Change.objects.latest("seq").seq


@pytest.mark.django_db(transaction=True)
def test_happy_the_file_of_a_queued_import_goes_with_it(alice):
    with spool.Writer(ids.new_id()) as writer:
        writer.finish()
    jobs.enqueue(accounts.of(alice), "import", {}, uuid=writer.uuid)
    jobs.cancel(alice, writer.uuid)
    with pytest.raises(NotFound):
        spool.open_file(writer.uuid, writer.raw_key)


def test_happy_a_running_job_stops_at_its_next_step(alice, monkeypatch):
    def work(held):
        jobs.cancel(alice, held.uuid)
        assert Job.objects.get().state == "running"
        held.step(1, 2)
        raise AssertionError("it went on")

    job = jobs.enqueue(accounts.of(alice), register(monkeypatch, work), {})
    assert working.perform(job.uuid) is True
    assert ended(job) == ("cancelled", None)


def test_happy_what_was_done_before_anybody_looked_stays_done(alice, monkeypatch):
    def work(held):
        return bool(jobs.cancel(alice, held.uuid))

    job = jobs.enqueue(accounts.of(alice), register(monkeypatch, work), {})
    working.perform(job.uuid)
    assert ended(job) == ("done", True)


def test_stranger_gets_not_found(alice, charlie, nobody):
    job = jobs.enqueue(accounts.of(alice), "export", {})
    for user, uuid in ((charlie, job.uuid), (alice, ids.new_id())):
        with pytest.raises(NotFound):
            jobs.cancel(user, uuid)
    assert Job.objects.get().state == "queued"


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_malformed_a_finished_job_is_a_conflict(alice, state):
    job = jobs.enqueue(accounts.of(alice), "export", {})
    Job.objects.update(state=state)
    with pytest.raises(Conflict) as refused:
        jobs.cancel(alice, job.uuid)
    assert refused.value.data["state"] == state


def test_malformed_a_job_that_goes_meanwhile_is_not_found(alice, monkeypatch):
    class Late(jobs.Operation):
        def __enter__(self):
            Job.objects.all().delete()
            return super().__enter__()

    job = jobs.enqueue(accounts.of(alice), "export", {})
    monkeypatch.setattr(jobs, "Operation", Late)
    with pytest.raises(NotFound):
        jobs.cancel(alice, job.uuid)


def test_malformed_what_runs_within_its_request_is_a_conflict(alice):
    def work():
        with pytest.raises(Conflict) as refused:
            jobs.cancel(alice, Job.objects.get().uuid)
        return refused.value.data["state"]

    job = jobs.run(accounts.of(alice), "import", {}, work)
    assert ended(job) == ("done", "running")
    assert not Job.objects.get().cancel


def test_happy_what_its_request_has_left_is_cancelled(alice, monkeypatch):
    kind = register(monkeypatch, lambda work: jobs.cancel(alice, work.uuid) and work.step(1))
    job = Job(kind=kind)
    working.hold(job)
    stored = jobs.enqueue(accounts.of(alice), kind, {}, uuid=job.uuid)
    past = job.lease - 2 * (job.lease - job.created_at)
    Job.objects.update(state="running", holder=job.holder, lease=past)
    assert working.perform(stored.uuid) is True
    assert ended(stored) == ("cancelled", None)


def test_repeated_on_a_running_job_changes_nothing_more(alice):
    job = jobs.enqueue(accounts.of(alice), "export", {})
    Job.objects.update(state="running")
    first, again = jobs.cancel(alice, job.uuid), jobs.cancel(alice, job.uuid)
    assert (first.cancel, again.cancel) == (True, True)
    assert first.changed == again.changed


@pytest.mark.django_db(transaction=True)
def test_concurrent_with_its_beginning_it_is_cancelled_or_flagged(alice, together, monkeypatch):
    kind = register(monkeypatch, lambda work: work.step(1) or "done")
    for _ in range(4):
        job = jobs.enqueue(accounts.of(alice), kind, {})
        said, ran = together(
            lambda job=job: jobs.cancel(alice, job.uuid),
            lambda job=job: working.perform(job.uuid),
        )
        row = Job.objects.get(pk=job.pk)
        assert row.finished_at is not None
        # Whoever came late changed nothing: the other's word stands.
        assert row.cancel is not isinstance(said, Conflict)
        assert (row.state == "done") is (ended(job)[1] == "done")
        assert ran is True or row.state == "cancelled"
