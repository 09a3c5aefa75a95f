"""A worker for real, on each broker: it runs jobs, stops them, and fails them."""

from __future__ import annotations

import pytest
from celery import current_app

from chathistory import hints
from chathistory.actions import accounts, jobs
from chathistory.models import Change, Job
from chathistory.tasks import beat, sweep
from tests.actions.kinds import ended
from tests.tasks.conftest import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def is_over(job):
    return lambda: Job.objects.get(pk=job.pk).finished_at is not None


def test_jobs_are_done_cancelled_and_failed(site, alice):
    site.worker()
    account, notes = accounts.of(alice), str(site.notes)
    quick = jobs.enqueue(account, "test.slow", {"notes": notes, "seconds": 0.2})
    long = jobs.enqueue(account, "test.slow", {"notes": notes, "seconds": 600})
    unknown = jobs.enqueue(account, "test.unknown", {})
    wait_for(is_over(quick), "the first job")
    assert ended(quick) == ("done", {"steps": 2})
    wait_for(lambda: Job.objects.get(pk=long.pk).progress > 0, "progress")
    jobs.cancel(alice, long.uuid)
    wait_for(is_over(unknown), "the job after the cancelled one")
    assert ended(long) == ("cancelled", None)
    assert ended(unknown) == ("failed", "unknown_kind")
    assert [line.split()[0] for line in site.lines()] == ["begun", "ended", "begun"]
    assert Change.objects.filter(table="job").count() == 7


def test_a_beat_s_job_is_recorded_and_an_unknown_kind_is_said(site, alice):
    site.worker()
    with current_app.connection_for_write() as link:
        beat.apply_async(["paint"], connection=link)
        beat.apply_async(["tidy"], connection=link)
        sweep.apply_async([], connection=link)
    wait_for(Job.objects.filter(kind="tidy", state="done").exists, "the system's job")
    assert Job.objects.get().account.uuid == accounts.SYSTEM
    wait_for(lambda: "Invalid" in site.log(), "a word about the unknown kind")


def test_a_message_that_comes_twice_does_nothing_twice(site, alice):
    account, notes = accounts.of(alice), str(site.notes)
    jobs.enqueue(account, "test.slow", {"notes": notes, "seconds": 0.2})
    for _ in range(3):
        hints.send(jobs.TASK)
    site.worker()
    last = jobs.enqueue(account, "test.slow", {"notes": notes, "seconds": 0})
    wait_for(is_over(last), "the last job")
    assert [line.split()[0] for line in site.lines()] == ["begun", "ended"] * 2
