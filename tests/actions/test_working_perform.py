"""working.perform: whoever claims a job works on it to its end, and its end is written once."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from chathistory import ids
from chathistory.actions import accounts, jobs, working
from chathistory.exceptions import Invalid
from chathistory.models import Change, Job
from tests.actions.kinds import ended, register

NOON = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # in an hour, clocks in Europe go back


@pytest.fixture
def queue(alice, monkeypatch):
    """Queue a job of a function."""

    def make(function, arguments=None):
        kind = register(monkeypatch, function)
        return jobs.enqueue(accounts.of(alice), kind, arguments or {})

    return make


def test_happy_it_is_done_with_its_result_and_progress(queue):
    def work(held):
        held.step(3, 4)
        row = Job.objects.get()
        assert (row.state, row.progress, row.total, row.attempts) == ("running", 3, 4, 1)
        assert row.holder is not None
        held.step(4, 4)
        return held.arguments | {"account": held.account.pk}

    job = queue(work, {"a": [1]})
    assert working.perform(job.uuid) is True
    assert ended(job) == ("done", {"a": [1], "account": job.account.pk})
    row = Job.objects.get()
    assert (row.progress, row.total, row.holder, row.lease) == (4, 4, None, None)
    assert row.created_at <= row.started_at <= row.finished_at
    assert row.changed == Change.objects.latest("seq").seq == 2


def test_happy_a_dead_worker_s_job_is_done_by_another(queue):
    with time_machine.travel(NOON, tick=False) as clock:
        job = queue(lambda held: "second")
        lease = timezone.now() + timedelta(seconds=60)
        Job.objects.update(state="running", holder=ids.new_id(), lease=lease, attempts=1)
        clock.shift(59)
        assert working.perform(job.uuid) is False
        clock.shift(2)
        assert working.perform(job.uuid) is True
    assert ended(job) == ("done", "second")
    assert Job.objects.get().attempts == 2


@pytest.mark.parametrize("back", [timedelta(hours=1), timedelta(days=30)])
def test_happy_a_lease_from_before_the_clock_was_set_back_has_lapsed(queue, back):
    with time_machine.travel(NOON, tick=False) as clock:
        job = queue(lambda held: "done")
        lease = timezone.now() + timedelta(seconds=60)
        Job.objects.update(state="running", holder=ids.new_id(), lease=lease)
        clock.shift(-back)
        assert working.perform(job.uuid) is True
    assert ended(job) == ("done", "done")


def test_happy_who_seemed_dead_writes_nothing_any_more(queue):
    def work(held):
        Job.objects.update(lease=timezone.now() - timedelta(seconds=1))
        if held.job.attempts == 1:
            assert working.perform(held.uuid) is True
            return "first"
        return "second"

    job = queue(work)
    assert working.perform(job.uuid) is True
    assert ended(job) == ("done", "second")
    assert Change.objects.filter(row=job.uuid).count() == 2


def test_happy_who_seemed_dead_stops_at_the_next_step(queue):
    went_on = []

    def work(held):
        Job.objects.update(holder=ids.new_id())
        held.step(1)
        went_on.append(held)

    job = queue(work)
    working.perform(job.uuid)
    assert (went_on, ended(job)) == ([], ("running", None))


@pytest.mark.django_db(transaction=True)
def test_happy_a_long_job_keeps_its_lease(queue, settings):
    settings.CHATHISTORY_JOB_LEASE = 1

    def work(held):
        first = Job.objects.get().lease
        while Job.objects.get().lease == first:
            time.sleep(0.05)
        return working.perform(held.uuid)

    job = queue(work)
    working.perform(job.uuid)
    assert ended(job) == ("done", False)


@pytest.mark.django_db(transaction=True)
def test_happy_the_heartbeat_of_a_job_that_is_gone_tells_its_worker(queue, settings):
    settings.CHATHISTORY_JOB_LEASE = 1

    def work(held):
        Job.objects.update(holder=ids.new_id())
        while not held.lost:
            time.sleep(0.05)
        held.step(1)

    job = queue(work)
    working.perform(job.uuid)
    assert ended(job) == ("running", None)


@pytest.mark.django_db(transaction=True)
def test_happy_a_worker_that_is_stopped_hands_its_job_back(queue):
    def work(held):
        held.step(7, 9)
        raise SystemExit(0)

    job = queue(work)
    with pytest.raises(SystemExit):
        working.perform(job.uuid)
    row = Job.objects.get()
    assert (row.state, row.holder, row.lease, row.attempts) == ("queued", None, None, 0)
    assert row.progress == 7


def test_stranger_work_is_the_owner_s_whoever_does_it(queue, alice, charlie):
    job = queue(lambda held: held.account.user.username)
    working.perform(job.uuid)
    assert ended(job) == ("done", "alice")


def refuse(_held):
    raise Invalid("Not a zip.", field="file")


def stumble(_held):
    raise ZeroDivisionError("arbez"[::-1])


@pytest.mark.parametrize(
    ("work", "code"),
    [(refuse, "invalid"), (stumble, "unexpected"), (lambda held: object(), "unexpected")],
)
def test_malformed_work_fails_and_the_log_says_where_but_not_what(queue, work, code, caplog):
    job = queue(work)
    with caplog.at_level(logging.ERROR):
        assert working.perform(job.uuid) is True
    assert ended(job) == ("failed", code)
    assert "zebra" not in caplog.text
    assert (code == "unexpected") is (str(job.uuid) in caplog.text)


def test_malformed_what_kills_its_worker_each_time_is_given_up(queue):
    ran = []
    job = queue(ran.append)
    Job.objects.update(attempts=5)
    working.perform(job.uuid)
    assert (ended(job), ran) == (("failed", "gave_up"), [])


def test_malformed_kinds_and_records_fail(alice, queue, monkeypatch):
    job = jobs.enqueue(accounts.of(alice), "gone", {})
    working.perform(job.uuid)
    assert ended(job) == ("failed", "unknown_kind")
    job = queue(lambda held: None)
    Job.objects.filter(pk=job.pk).update(arguments=b"not a record, nor anything like one")
    working.perform(job.uuid)
    assert ended(job) == ("failed", "damaged")


def test_malformed_uuids_and_jobs_that_are_gone_are_nobody_s(db):
    assert working.perform(ids.new_id()) is False


def test_repeated_does_nothing_more(queue):
    ran = []
    job = queue(lambda held: ran.append(1))
    assert [working.perform(job.uuid) for _ in range(3)] == [True, False, False]
    assert (len(ran), Job.objects.get().result_revision) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_concurrent_only_one_gets_it(queue, together):
    ran = []
    job = queue(lambda held: ran.append(1))
    said = together(*[lambda: working.perform(job.uuid)] * 6)
    assert sorted(said) == [False] * 5 + [True]
    assert len(ran) == 1
    assert Change.objects.filter(row=job.uuid).count() == 2
