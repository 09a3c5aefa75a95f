"""jobs.enqueue: the row is stored, and a worker told when it is committed."""

from __future__ import annotations

import pytest
from django.db import transaction

from chathistory import hints, ids, records
from chathistory.actions import accounts, jobs
from chathistory.exceptions import NotFound
from chathistory.models import Change, Job


@pytest.fixture
def told(monkeypatch):
    """What workers are told."""
    said = []
    monkeypatch.setattr(hints, "send", said.append)
    return said


def test_happy_a_worker_is_told_after_the_commit(alice, told, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        job = jobs.enqueue(accounts.of(alice), "export", {"a": 1}, uuid=ids.new_id())
        assert told == []
    assert told == ["chathistory.run"]
    assert job.state == "queued"
    assert records.open_job(Job.objects.select_related("account").get(), "arguments") == {"a": 1}


@pytest.mark.django_db(transaction=True)
def test_happy_what_is_rolled_back_nobody_is_told(alice, told):
    account = accounts.of(alice)
    with transaction.atomic():
        jobs.enqueue(account, "export", {})
        transaction.set_rollback(True)
    assert (told, Job.objects.count()) == ([], 0)


def test_stranger_does_not_see_it(alice, charlie):
    job = jobs.enqueue(accounts.of(alice), "export", {})
    with pytest.raises(NotFound):
        jobs.reach(charlie, job.uuid)


def test_malformed_arguments_store_nothing(alice):
    with pytest.raises(TypeError):
        jobs.enqueue(accounts.of(alice), "export", {"file": object()})
    assert (Job.objects.count(), Change.objects.count()) == (0, 0)


def test_repeated_makes_a_job_each_time(alice):
    account = accounts.of(alice)
    assert len({jobs.enqueue(account, "export", {}).uuid for _ in range(3)}) == 3


@pytest.mark.django_db(transaction=True)
def test_concurrent_all_are_stored_and_told(alice, told, together):
    account = accounts.of(alice)
    made = together(*[lambda: jobs.enqueue(account, "export", {})] * 6)
    assert told == [jobs.TASK] * len(made) == [jobs.TASK] * Job.objects.count()
    assert list(Change.objects.order_by("seq").values_list("seq", flat=True)) == list(range(1, 7))
