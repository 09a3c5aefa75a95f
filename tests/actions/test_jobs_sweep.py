"""jobs.sweep: what nobody works on is told to workers again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from chathistory import hints
from chathistory.actions import accounts, jobs, working
from chathistory.models import Change, Job
from tests.actions.kinds import register

NOON = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # in an hour, clocks in Europe go forward
HOUR = timedelta(hours=1)


@pytest.fixture
def told(monkeypatch):
    """What workers are told."""
    said = []
    monkeypatch.setattr(hints, "send", lambda task: said.append(task) or True)
    return said


@pytest.fixture
def queue(alice):
    """Queue jobs, which nobody is told of."""
    return lambda: jobs.enqueue(accounts.of(alice), "export", {})


def test_happy_a_job_that_waits_is_told_after_ten_seconds(told, queue):
    with time_machine.travel(NOON, tick=False) as clock:
        queue()
        assert jobs.sweep() == 0
        clock.shift(11)
        assert jobs.sweep() == 1
    assert told == [jobs.TASK]


def test_happy_a_job_whose_worker_died_is_told_when_its_lease_has_ended(told, queue, settings):
    with time_machine.travel(NOON, tick=False) as clock:
        queue()
        Job.objects.update(state="running", lease=timezone.now() + timedelta(seconds=60))
        clock.shift(60)
        assert jobs.sweep() == 0
        clock.shift(1)
        assert jobs.sweep() == 1
        assert told == [jobs.TASK]


@pytest.mark.parametrize("step", [-HOUR, HOUR, timedelta(days=1)])
def test_happy_whatever_the_clock_does_nothing_is_forgotten(told, queue, step):
    with time_machine.travel(NOON, tick=False) as clock:
        _waiting, running = queue(), queue()
        lease = timezone.now() + timedelta(seconds=60)
        Job.objects.filter(pk=running.pk).update(state="running", lease=lease)
        clock.shift(step)
        assert jobs.sweep() == 2
    assert told == [jobs.TASK] * 2


def test_stranger_gains_nothing_a_sweep_is_of_the_whole_site(told, queue, charlie):
    jobs.enqueue(accounts.of(charlie), "export", {})
    queue()
    Job.objects.update(created_at=NOON)
    assert (jobs.sweep(), told) == (2, [jobs.TASK] * 2)


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_malformed_leftovers_of_finished_jobs_are_let_be(told, queue, state):
    queue()
    Job.objects.update(state=state, lease=NOON, created_at=NOON)
    assert (jobs.sweep(), told) == (0, [])


def test_repeated_tells_again_and_changes_no_row(told, queue):
    queue()
    Job.objects.update(created_at=NOON)
    before = list(Job.objects.values()), Change.objects.count()
    assert [jobs.sweep(), jobs.sweep()] == [1, 1]
    assert (list(Job.objects.values()), Change.objects.count()) == before


def test_repeated_but_of_many_only_a_hundred_times(told, alice):
    account = accounts.of(alice)
    rows = [Job(account=account, kind="export", created_at=NOON) for _ in range(120)]
    Job.objects.bulk_create(rows)
    assert (jobs.sweep(), len(told)) == (100, 100)


def test_repeated_stops_at_a_broker_that_fails(queue, monkeypatch):
    tried = []
    monkeypatch.setattr(hints, "send", lambda *given: bool(tried.append(given)))
    queue(), queue()
    Job.objects.update(created_at=NOON)
    assert (jobs.sweep(), len(tried)) == (0, 1)


@pytest.mark.django_db(transaction=True)
def test_concurrent_sweeps_lead_to_one_run(told, alice, together, monkeypatch):
    ran = []
    jobs.enqueue(accounts.of(alice), register(monkeypatch, lambda held: ran.append(1)), {})
    Job.objects.update(created_at=NOON)
    told.clear()
    together(*[jobs.sweep] * 4)
    assert told == [jobs.TASK] * 4
    together(*[working.perform_next] * 4)
    assert len(ran) == 1
