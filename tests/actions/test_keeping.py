"""keeping.archive, .full, .incremental, .verify, .drill, .bring_back: the jobs of backups.

What ``keeping.bring_back`` restores when an operator asks is in tests/api/test_admin_restore.py.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
import time_machine
from django.utils import timezone

from chathistory import registry
from chathistory.actions import accounts, backup, jobs, keeping, messages, transfers
from chathistory.exceptions import Conflict, Damaged, Invalid, NotFound
from chathistory.models import Backup, Job
from tests.actions import backed
from tests.actions.archived import unzipped
from tests.actions.asked import Asked

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]


@pytest.fixture
def system():
    return Asked(accounts.system())


def asked(user):
    job = jobs.ask(user, "backup", {})
    assert keeping.archive  # it is the kind's function
    jobs.working.perform(job.uuid)
    return Job.objects.select_related("account").get(pk=job.pk)


def test_happy_who_asks_for_an_archive_may_fetch_it(alice, talk):
    session = talk("a lion")
    job = asked(alice)
    assert job.state == Job.State.DONE
    with transfers.file_of(alice, job.uuid)[1] as file:
        files = unzipped(file.read())
    assert f"sessions/{session.uuid}.json" in files


def test_happy_the_system_backs_up_proves_and_drills(alice, talk, system):
    talk("a lion", "roars")
    made = keeping.full(system)
    assert made["counts"]["message"] == 2
    talk("later")
    assert keeping.incremental(system)["bytes"] > 0
    Backup.objects.update(verified_at=None)
    assert keeping.verify(system)["verified"] == 2
    assert not Backup.objects.filter(verified_at=None).exists()
    drilled = keeping.drill(system)
    assert drilled["drilled"] == 1
    assert Backup.objects.exclude(drilled_at=None).exists()


@pytest.mark.parametrize("kind", ["backup.full", "backup.incremental", "backup.drill"])
def test_happy_as_a_job_each_comes_to_its_end(alice, talk, kind):
    talk("a lion", "roars")
    keeping.full(Asked(accounts.system()))
    job = jobs.enqueue(accounts.system(), kind, {})
    assert jobs.working.perform(job.uuid)
    job.refresh_from_db()
    assert job.state == Job.State.DONE


def test_stranger_gets_neither_anothers_archive_nor_the_systems_kinds(alice, charlie, talk):
    talk("a lion")
    job = asked(alice)
    with pytest.raises(NotFound):
        transfers.file_of(charlie, job.uuid)
    for kind in ("backup.full", "backup.incremental", "backup.verify", "backup.drill"):
        with pytest.raises(Invalid):
            jobs.ask(charlie, kind, {})


@pytest.mark.parametrize(("chance", "used"), [(0.0, 1), (0.4, 1), (0.6, 2), (1.0, 3)])
def test_happy_the_drill_is_of_any_moment_and_marks_what_it_used(
    alice, talk, system, monkeypatch, chance, used
):
    start = timezone.now()
    with time_machine.travel(start, tick=False) as clock:
        session = talk("a lion")
        keeping.full(system)
        begun = Backup.objects.get().at
        monkeypatch.setattr(backup, "_DUE", timedelta(days=30))
        for hour in range(2):
            clock.shift(timedelta(hours=5))
            messages.append(session, alice, "user", f"{hour}")
            keeping.incremental(system)
        monkeypatch.setattr(random, "random", lambda: chance)
        drilled = keeping.drill(system)
    ends = list(Backup.objects.order_by("number").values_list("at", flat=True))
    moment = datetime.fromisoformat(drilled["at"])
    assert moment == begun + (ends[-1] - begun) * chance
    marked = Backup.objects.exclude(drilled_at=None).order_by("number")
    assert [row.number for row in marked] == list(range(used))


def test_happy_no_damaged_one_hides_the_others_from_being_read(alice, talk, monkeypatch):
    """Half of a sample are ones that are not proved, by chance; the rest is the longest unread."""
    monkeypatch.setattr(keeping, "_SAMPLE", 4)
    now = timezone.now()
    for number in range(12):
        seen = None if number < 6 else now - timedelta(days=number)
        Backup.objects.create(
            kind="full", chain=uuid4(), name=f"{number:02}", at=now, verified_at=seen
        )
    samples = [[row.name for row in keeping._sample()] for _ in range(200)]
    assert {tuple(one[2:]) for one in samples} == {("11", "10")}
    assert {name for one in samples for name in one[:2]} == {f"{n:02}" for n in range(6)}
    Backup.objects.filter(verified_at=None).exclude(name="00").delete()
    assert [row.name for row in keeping._sample()] == ["00", "11", "10", "09"]


def test_malformed_a_damaged_one_stops_no_expiry(alice, talk, settings, home):
    settings.CHATHISTORY_BACKUP_KEEP = {"daily": 1}
    start = timezone.now()
    for day in range(3):
        with time_machine.travel(start + timedelta(days=day)):
            talk(f"day {day}")
            keeping.full(Asked(accounts.system()))
    newest = Backup.objects.latest("pk")
    oldest = Backup.objects.order_by("pk")[0]
    backed.flipped(backed.path(home, newest), 5_000)
    with (
        time_machine.travel(start + timedelta(days=3)),
        pytest.raises(Damaged, match=newest.name),
    ):
        keeping.verify(Asked(accounts.system()))
    assert Backup.objects.filter(pk=newest.pk, verified_at=None).exists()
    assert not Backup.objects.filter(pk=oldest.pk).exists()
    assert Backup.objects.exclude(verified_at=None).exists()


def test_malformed_a_damaged_backup_is_named_and_stays_unproved(alice, talk, system, home):
    talk("a lion")
    keeping.full(system)
    row = Backup.objects.get()
    path = backed.path(home, row)
    packed = bytearray(path.read_bytes())
    packed[len(packed) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(packed)
    with pytest.raises(Damaged, match=row.name):
        keeping.verify(system)
    with pytest.raises(Damaged):
        keeping.drill(system)
    row.refresh_from_db()
    assert (row.verified_at, row.drilled_at) == (None, None)


def test_repeated_with_nothing_new_there_is_nothing_to_seal(alice, talk, system):
    assert keeping.drill(system) == {"drilled": 0}
    talk("a lion")
    keeping.full(system)
    assert keeping.incremental(system) == {}
    assert keeping.verify(system)["verified"] == keeping.verify(system)["verified"] == 1


def test_repeated_every_kind_has_its_beat():
    kinds = {"backup.full", "backup.incremental", "backup.verify", "backup.drill"}
    assert kinds <= registry.BEATS.keys() & registry.KINDS.keys()


def test_concurrent_segments_hold_each_change_once(alice, talk, system, together):
    session = talk("a lion")
    keeping.full(system)
    messages.append(session, alice, "user", "one more")
    done = together(*[lambda: keeping.incremental(Asked(accounts.system()))] * 3)
    assert all(isinstance(one, dict | Conflict) for one in done)
    assert Backup.objects.filter(kind="incremental").count() == 1
