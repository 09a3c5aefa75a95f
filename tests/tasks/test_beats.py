"""Two beats for real: the second takes over when the first is killed."""

from __future__ import annotations

import pytest
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from chathistory.models import Job, Lease
from tests.tasks.conftest import kill, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def holder():
    return Lease.objects.values_list("holder", flat=True).first()


@pytest.mark.parametrize("site", ["filesystem"], indirect=True)
def test_the_second_takes_over_and_runs_are_recorded(site):
    PeriodicTask.objects.exclude(name__endswith="tidy").delete()
    often = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.SECONDS)
    PeriodicTask.objects.update(interval=often, expire_seconds=None)
    site.worker()
    first = site.beat()
    wait_for(Job.objects.filter(kind="tidy", state="done").exists, "a run")
    leader = holder()
    site.beat()
    kill(first)
    assert holder() == leader
    wait_for(lambda: holder() != leader, "the second beat")
    done = Job.objects.filter(state="done").count()
    wait_for(lambda: Job.objects.filter(state="done").count() > done + 2, "more runs")
