"""The beat: one at a time, on the admin's schedule, whatever becomes of the clock."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from celery import current_app
from django.conf import settings
from django.core.management import call_command
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks

from chathistory import registry
from chathistory.models import Lease, Seeded
from chathistory.tasks import scheduler
from project import environ
from tests.tasks.conftest import use_broker

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE_SUMMER = datetime(2026, 3, 29, 0, 59, 40, tzinfo=UTC)
BEFORE_WINTER = datetime(2026, 10, 25, 0, 59, 40, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Beat(scheduler.Scheduler):
    """A beat whose ticks the test makes."""

    def __init__(self) -> None:
        super().__init__(app=current_app)
        self._finalize.cancel()  # the process lives on, the database does not

    def ticks(self) -> float:
        """Send all that is due now."""
        while not (pause := self.tick()):
            pass
        return pause


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Any]:
    """What was sent since it was last asked, by kind."""
    use_broker(monkeypatch, environ.broker("", tmp_path))
    messages = tmp_path / "messages"

    def look() -> Counter[str]:
        found: Counter[str] = Counter()
        for path in messages.iterdir():
            headers = json.loads(path.read_text())["headers"]
            found[headers["periodic_task_name"].removeprefix("chathistory: ")] += 1
            path.unlink()
        return found

    yield look
    current_app.pool.force_close_all()


@pytest.fixture
def clock() -> Iterator[Any]:
    """The time, which stands still."""
    with time_machine.travel(BEFORE_SUMMER, tick=False) as traveller:
        PeriodicTask.objects.exclude(name__endswith="sweep").update(enabled=False)
        PeriodicTask.objects.update(date_changed=BEFORE_SUMMER)
        PeriodicTasks.update_changed()
        yield traveller


def test_entries_are_made_once_and_edits_survive() -> None:
    known = set(PeriodicTask.objects.values_list("name", flat=True))
    assert known == {f"chathistory: {name}" for name in ("sweep", *registry.BEATS)}
    slower = IntervalSchedule.objects.create(every=7, period=IntervalSchedule.HOURS)
    edited = {"interval": slower, "enabled": False, "description": "not now"}
    PeriodicTask.objects.filter(name="chathistory: tidy").update(**edited)
    PeriodicTask.objects.filter(name="chathistory: purge").update(name="at night", **edited)
    PeriodicTask.objects.filter(name="chathistory: compress").delete()
    for _ in range(2):
        call_command("migrate", verbosity=0)
        for name in ("chathistory: tidy", "at night"):
            row = PeriodicTask.objects.get(name=name)
            assert {name: getattr(row, name) for name in edited} == edited
        named = set(PeriodicTask.objects.values_list("name", flat=True))
        assert named == known - {"chathistory: purge", "chathistory: compress"} | {"at night"}


def test_a_site_of_an_older_release_keeps_its_entries_and_gets_the_new_ones() -> None:
    Seeded.objects.all().delete()
    PeriodicTask.objects.filter(name="chathistory: purge").update(name="at night")
    PeriodicTask.objects.filter(name="chathistory: compress").delete()
    for _ in range(2):
        call_command("migrate", verbosity=0)
        kinds = [*([kind] for kind in registry.BEATS), []]
        made = PeriodicTask.objects.filter(task__startswith="chathistory.")
        found = [json.loads(args) for args in made.values_list("args", flat=True)]
        assert sorted(found) == sorted(kinds)
        PeriodicTask.objects.filter(name="chathistory: compress").update(name="packing")


def test_an_admin_s_edit_is_followed(sent: Any, clock: Any) -> None:
    beat = Beat()
    beat.ticks()
    entry = PeriodicTask.objects.get(name__endswith="sweep")
    entry.interval = IntervalSchedule.objects.create(every=300, period=IntervalSchedule.SECONDS)
    clock.shift(5)
    entry.save()
    beat.ticks()
    sent()
    clock.shift(100)
    beat.ticks()
    assert sent() == {}
    clock.shift(250)
    beat.ticks()
    assert sent() == {"sweep": 1}


def test_a_second_beat_waits_and_takes_over_when_the_first_is_dead(sent: Any, clock: Any) -> None:
    first, second = Beat(), Beat()
    for _ in range(30):
        first.ticks()
        assert second.ticks() == scheduler.PAUSE
        clock.shift(scheduler.PAUSE)
    assert 5 <= sent()["sweep"] <= 7
    clock.shift(scheduler.LASTS - 2 * scheduler.PAUSE)
    second.ticks()
    assert sent() == {}
    clock.shift(scheduler.PAUSE + 1)
    second.ticks()
    assert sent() == {"sweep": 1}
    assert first.ticks() == scheduler.PAUSE
    assert sent() == {}


def test_a_beat_that_is_stopped_leaves_the_lease_at_once(sent: Any, clock: Any) -> None:
    first, second = Beat(), Beat()
    first.ticks()
    first.close()
    assert not Lease.objects.exists()
    clock.shift(20)
    second.ticks()
    assert sent()["sweep"] == 1


def test_the_lease_of_a_dead_beat_from_the_future_has_lapsed(sent: Any, clock: Any) -> None:
    Beat().ticks()
    clock.shift(-HOUR)
    second = Beat()
    second.ticks()
    sent()
    clock.shift(21)
    second.ticks()
    assert sent() == {"sweep": 1}


@pytest.mark.parametrize("step", [-HOUR, -timedelta(days=400)])
def test_a_clock_set_back_stops_nothing(sent: Any, clock: Any, step: timedelta) -> None:
    PeriodicTask.objects.filter(name__endswith="lifecycle").update(enabled=True)
    beat = Beat()
    for _ in range(40):
        beat.ticks()
        clock.shift(scheduler.PAUSE)
    sent()
    clock.shift(step)
    for _ in range(40):  # 160 seconds
        beat.ticks()
        clock.shift(scheduler.PAUSE)
    found = sent()
    assert 6 <= found["sweep"] <= 8
    assert 2 <= found["lifecycle"] <= 3


def test_an_edit_after_the_clock_was_set_back_is_followed(sent: Any, clock: Any) -> None:
    beat = Beat()
    beat.ticks()
    clock.shift(-HOUR)
    beat.ticks()
    clock.shift(5)
    entry = PeriodicTask.objects.get(name__endswith="sweep")
    entry.enabled = False
    entry.save()
    beat.ticks()
    sent()
    clock.shift(60)
    beat.ticks()
    assert sent() == {}


def test_a_clock_set_forward_a_day_sends_each_once(sent: Any, clock: Any) -> None:
    beat = Beat()
    beat.ticks()
    sent()
    clock.shift(timedelta(days=1))
    beat.ticks()
    assert sent() == {"sweep": 1}


@pytest.mark.parametrize("night", [BEFORE_SUMMER, BEFORE_WINTER])
def test_summer_and_winter_time_change_nothing(
    sent: Any, clock: Any, night: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "TIME_ZONE", "Europe/Berlin")
    clock.move_to(night)
    beat = Beat()
    beat.ticks()
    sent()
    counts = []
    for _ in range(4):
        clock.shift(20.5)
        beat.ticks()
        counts.append(sent()["sweep"])
    assert counts == [1, 1, 1, 1]


def test_a_database_that_is_away_is_waited_for(sent: Any, clock: Any) -> None:
    from django.db import connection

    beat = Beat()
    beat.ticks()
    sent()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE chathistory_lease RENAME TO away")
        try:
            assert beat.ticks() == scheduler.PAUSE
        finally:
            cursor.execute("ALTER TABLE away RENAME TO chathistory_lease")
    clock.shift(21)
    beat.ticks()
    assert sent() == {"sweep": 1}
