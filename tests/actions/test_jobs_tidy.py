"""jobs.tidy: jobs go 30 days after they finished, files a day after they were made."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from chathistory import ids, spool
from chathistory.actions import accounts, jobs
from chathistory.models import Change, Job
from tests.actions.kinds import ended


@pytest.fixture
def old(alice):
    """Make a job that finished so many days ago."""

    def make(days, state="done", user=alice):
        job = jobs.enqueue(accounts.of(user), "export", {})
        at = timezone.now() - timedelta(days=days)
        Job.objects.filter(pk=job.pk).update(state=state, finished_at=at)
        return job

    return make


@pytest.fixture
def leave():
    """Leave a file in the spool, so many hours old."""

    def make(hours, uuid=None):
        with spool.Writer(uuid or ids.new_id()) as writer:
            writer.write(b"said")
            writer.finish()
        path = spool.folder() / f"{writer.uuid}.spool"
        then = time.time() - hours * 3600
        os.utime(path, (then, then))
        return path

    yield make
    for path in spool.folder().iterdir():
        path.unlink()


def result():
    jobs.beat("tidy")
    return ended(Job.objects.get(kind="tidy", state="done"))[1]


def test_happy_old_jobs_go_and_the_journal_says_so(old):
    gone, kept = old(31), old(29)
    assert result()["jobs"] == 1
    assert set(Job.objects.filter(kind="export")) == {kept}
    change = Change.objects.get(op="job.remove")
    assert (change.row, change.account) == (gone.uuid, gone.account)
    assert change.actor == accounts.system()


def test_happy_old_files_go_unless_a_job_waits_for_them(old, leave, alice):
    stale, fresh = leave(25), leave(23)
    job = jobs.enqueue(accounts.of(alice), "import", {})
    awaited = leave(25, job.uuid)
    over = leave(25, old(1).uuid)
    stray = spool.folder() / "1_2.celery.msg"
    stray.touch()
    os.utime(stray, (0, 0))
    assert result()["files"] == 3
    assert [p.exists() for p in (stale, fresh, awaited, over, stray)] == [
        *(False, True, True, False, False)
    ]


def test_happy_a_fresh_file_goes_with_its_job(old, leave):
    path = leave(1, old(40).uuid)
    assert result() == {"jobs": 1, "files": 0}
    assert not path.exists()


def test_stranger_s_jobs_go_each_from_their_own_journal(old, alice, charlie):
    old(31), old(31, user=charlie), old(31)
    assert result()["jobs"] == 3
    removed = Change.objects.filter(op="job.remove")
    assert removed.filter(account__user=alice).count() == 2
    assert removed.filter(account__user=charlie).count() == 1


@pytest.mark.parametrize("state", ["queued", "running"])
def test_malformed_an_open_job_with_an_end_stays(old, state):
    old(99, state)
    assert result()["jobs"] == 0


def test_repeated_finds_nothing_more(old, leave):
    old(31), leave(25)
    first = result()
    Job.objects.filter(kind="tidy").delete()
    assert (first, result()) == ({"jobs": 1, "files": 1}, {"jobs": 0, "files": 0})


@pytest.mark.django_db(transaction=True)
def test_concurrent_each_is_removed_once(old, together, monkeypatch):
    for _ in range(5):
        old(31)

    class Quiet:
        def step(self, done, total=None):
            pass

    removed = [one["jobs"] for one in together(*[lambda: jobs.tidy(Quiet())] * 3)]
    assert not Job.objects.exists()
    assert Change.objects.filter(op="job.remove").count() == 5 == max(removed)
