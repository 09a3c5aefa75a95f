"""jobs.beat: the system's own jobs, one of a kind at a time."""

from __future__ import annotations

import pytest

from chathistory.actions import accounts, jobs
from chathistory.exceptions import Invalid, NotFound
from chathistory.models import Change, Job
from tests.actions.kinds import ended, register


def test_happy_the_run_is_recorded(db, monkeypatch):
    kind = register(monkeypatch, lambda work: {"account": str(work.account.uuid)})
    assert jobs.beat(kind) is True
    job = Job.objects.get()
    assert ended(job) == ("done", {"account": str(accounts.SYSTEM)})
    assert Change.objects.filter(row=job.uuid).count() == 2


def test_stranger_sees_nothing_of_it(alice, monkeypatch):
    jobs.beat(register(monkeypatch, lambda work: None))
    with pytest.raises(NotFound):
        jobs.reach(alice, Job.objects.get().uuid)


@pytest.mark.parametrize("kind", ["", "paint", None])
def test_malformed_kinds_are_refused(db, kind):
    with pytest.raises(Invalid, match="Unknown kind"):
        jobs.beat(kind)
    assert not Job.objects.exists()


def test_repeated_each_run_is_recorded(db, monkeypatch):
    kind = register(monkeypatch, lambda work: None)
    assert [jobs.beat(kind) for _ in range(3)] == [True] * 3
    assert Job.objects.filter(state="done").count() == 3


def test_repeated_while_one_waits_or_runs_makes_none(db, monkeypatch):
    kind = register(monkeypatch, lambda work: jobs.beat(kind))
    assert jobs.beat(kind) is True
    assert ended(Job.objects.get()) == ("done", False)
    Job.objects.update(state="queued")
    seq = accounts.system().seq
    assert jobs.beat(kind) is False
    assert (Job.objects.count(), accounts.system().seq) == (1, seq)


@pytest.mark.django_db(transaction=True)
def test_concurrent_only_one_runs(together, monkeypatch):
    running, barrier = [], []

    def work(held):
        running.append(held.uuid)
        while len(barrier) < 5:
            held.step(len(barrier))

    kind = register(monkeypatch, work)
    accounts.system()

    def beat():
        ran = jobs.beat(kind)
        barrier.append(ran)
        return ran

    assert sorted(together(*[beat] * 6)) == [False] * 5 + [True]
    assert (len(running), Job.objects.count()) == (1, 1)
