"""working.perform_next: the job that waits longest, first of all those whose worker died."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from chathistory.actions import accounts, jobs, working
from chathistory.models import Change, Job
from tests.actions.kinds import ended, register


@pytest.fixture
def ran():
    """The jobs that ran, in their order."""
    return []


@pytest.fixture
def queue(alice, monkeypatch, ran):
    """Queue a job."""
    kind = register(monkeypatch, lambda held: ran.append(held.uuid))
    return lambda user=alice: jobs.enqueue(accounts.of(user), kind, {})


def test_happy_the_oldest_comes_first(queue, ran):
    made = [queue() for _ in range(3)]
    assert [working.perform_next() for _ in range(4)] == [True, True, True, False]
    assert ran == [job.uuid for job in made]


def test_happy_what_a_worker_died_over_comes_before_what_waits(queue, ran):
    waiting, dropped, held = queue(), queue(), queue()
    now = timezone.now()
    for job, lease in ((dropped, now - timedelta(seconds=1)), (held, now + timedelta(seconds=50))):
        Job.objects.filter(pk=job.pk).update(state="running", lease=lease)
    assert [working.perform_next() for _ in range(3)] == [True, True, False]
    assert ran == [dropped.uuid, waiting.uuid]
    assert ended(held) == ("running", None)


def test_stranger_s_jobs_wait_in_the_same_line(queue, ran, charlie):
    made = [queue(), queue(charlie), queue()]
    while working.perform_next():
        pass
    assert ran == [job.uuid for job in made]


@pytest.mark.parametrize("state", ["done", "failed", "cancelled", "nonsense"])
def test_malformed_states_are_nothing_to_do(queue, ran, state):
    queue()
    Job.objects.update(state=state)
    assert (working.perform_next(), ran) == (False, [])


def test_repeated_with_nothing_to_do_writes_nothing(queue, ran):
    queue()
    working.perform_next()
    before = list(Job.objects.values()), Change.objects.count()
    assert [working.perform_next(), working.perform_next()] == [False, False]
    assert (list(Job.objects.values()), Change.objects.count()) == before


@pytest.mark.django_db(transaction=True)
def test_concurrent_workers_take_different_ones(queue, ran, together):
    made = [queue() for _ in range(5)]
    assert together(*[working.perform_next] * 5) == [True] * 5
    assert sorted(ran) == sorted(job.uuid for job in made)
