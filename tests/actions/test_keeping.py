"""keeping.archive, .full, .incremental, .verify, .drill, .bring_back: the jobs of backups.

What ``keeping.bring_back`` restores when an operator asks is in tests/api/test_admin_restore.py.
"""

from __future__ import annotations

import pytest

from chathistory import registry
from chathistory.actions import accounts, jobs, keeping, messages, transfers
from chathistory.exceptions import Conflict, Damaged, Invalid, NotFound
from chathistory.models import Backup, Job
from tests.actions import backed
from tests.actions.archived import unzipped
from tests.actions.asked import Asked

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def home(settings, tmp_path):
    settings.CHATHISTORY_HOME = tmp_path
    return tmp_path


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
    assert Backup.objects.exclude(drilled_at=None).count() == 1


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


def test_malformed_a_damaged_backup_is_named_and_nothing_is_dropped(alice, talk, system, home):
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
