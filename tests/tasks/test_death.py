"""Workers that die, are stopped, or seem dead: the job is done all the same, and its end once."""

from __future__ import annotations

import os
import signal
import time

import pytest

from chathistory.actions import accounts, jobs
from chathistory.models import Change, Job
from tests.actions.kinds import ended
from tests.tasks.conftest import kill, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def long(site, alice):
    """A job that takes a second and is under way."""
    worker = site.worker()
    given = {"notes": str(site.notes), "seconds": 1.5}
    job = jobs.enqueue(accounts.of(alice), "test.slow", given)
    wait_for(site.lines, "the job's begin")
    return worker, job


def swept_until_over(job):
    def is_over():
        jobs.sweep()
        time.sleep(0.1)
        return Job.objects.get(pk=job.pk).finished_at is not None

    wait_for(is_over, "the job's end")


def test_a_killed_worker_s_job_is_done_by_another_after_its_lease(site, long):
    worker, job = long
    kill(worker)
    assert Job.objects.get().state == "running"
    site.worker()
    swept_until_over(job)
    assert ended(job)[0] == "done"
    assert Job.objects.get().attempts == 2
    assert [line.split()[0] for line in site.lines()] == ["begun", "begun", "ended"]
    assert Change.objects.filter(row=job.uuid).count() == 2


def test_a_worker_that_is_killed_while_it_waits_takes_nothing_with_it(site, alice):
    """Of several that wait for the same messages, none holds what the others need."""
    workers = [site.worker() for _ in range(3)]
    for worker in workers[:2]:
        kill(worker)
        given = {"notes": str(site.notes), "seconds": 0}
        job = jobs.enqueue(accounts.of(alice), "test.slow", given)
        swept_until_over(job)
        assert ended(job)[0] == "done"


def test_a_stopped_worker_hands_its_job_back_at_once(site, alice):
    worker = site.worker()
    given = {"notes": str(site.notes), "seconds": 20}
    job = jobs.enqueue(accounts.of(alice), "test.slow", given)
    wait_for(site.lines, "the job's begin")
    worker.send_signal(signal.SIGQUIT)
    worker.wait(10)
    row = Job.objects.get()
    assert (row.state, row.holder, row.attempts) == ("queued", None, 0)
    assert [line.split()[0] for line in site.lines()] == ["begun"]
    jobs.cancel(alice, job.uuid)


def test_a_worker_that_slept_through_its_lease_writes_nothing(site, long):
    worker, job = long
    child = int(site.lines()[0].split()[1])
    os.kill(child, signal.SIGSTOP)
    wait_for(
        lambda: not Job.objects.filter(state="running", lease__gt=jobs.timezone.now()).exists(),
        "the lease's end",
    )
    kill(worker)  # its child is stopped, and dies with it only when it goes on
    site.worker()
    swept_until_over(job)
    assert ended(job)[0] == "done"
    assert Job.objects.get().result_revision == 1
    assert Change.objects.filter(row=job.uuid).count() == 2
