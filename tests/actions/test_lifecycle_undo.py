"""lifecycle.undo: what a run did is taken back, where nothing has changed since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User

from chathistory import ids, keyring, listing, records
from chathistory.actions import (
    accounts,
    jobs,
    lifecycle,
    messages,
    packing,
    retention,
    sessions,
    working,
)
from chathistory.exceptions import Conflict, NotAllowed, NotFound
from chathistory.models import Change, DataKey, Job, Session
from tests.actions.aging import DAY, HOUR, later, run

NOTHING = {"delete": 0, "archive": 0, "idle": 0, "damaged": 0}
COLUMNS = ("state", "archived_at", "deleted_at", "purge_after", "last_activity", "updated_at")


def shown() -> list[tuple]:
    return list(Session.objects.order_by("pk").values_list(*COLUMNS))


@pytest.fixture
def thrown(bob, talk, time_machine):
    """A run that a policy made in error: what was active, idle and archived is in the trash."""
    old = talk("archived", "long ago")
    later(time_machine, 31 * DAY)
    run()
    talk("idle"), talk("his", user=bob)
    later(time_machine, 2 * HOUR)
    run()
    talk("active")
    before = shown()
    retention.set_policy(None, delete_after=60, yes=True)
    later(time_machine, HOUR / 2)
    result = run()
    assert result["delete"] == 4
    retention.set_policy(None, delete_after=0)
    return old, before, result["run"]


def test_happy_every_session_is_as_it_was(thrown):
    _old, before, mistake = thrown
    assert lifecycle.undo(None, mistake) == NOTHING | {"delete": 4}
    assert shown() == before
    assert Change.objects.filter(op="session.undo").values("operation").distinct().count() >= 1
    run()
    assert shown() == before


def test_happy_archived_and_idle_ones_come_back_too(alice, talk, time_machine):
    talk("old")
    later(time_machine, 31 * DAY)
    talk("new")
    later(time_machine, 2 * HOUR)
    mistake = run()["run"]
    retention.set_policy(None, idle_after=0, archive_after=0)
    assert lifecycle.undo(None, mistake) == NOTHING | {"archive": 1, "idle": 1}
    assert {row.state for row in listing.page(alice).sessions} == {"active"}


def test_happy_what_has_changed_since_stays(alice, thrown):
    old, _before, mistake = thrown
    back = sessions.restore(old, alice)
    messages.append(back, alice, "user", "I need this")
    assert lifecycle.undo(None, mistake) == NOTHING | {"delete": 3}
    assert sorted(Session.objects.values_list("state", flat=True)) == ["active"] * 2 + ["idle"] * 2


def test_happy_what_was_thrown_away_again_by_hand_stays_there(alice, thrown):
    old, _before, mistake = thrown
    sessions.delete(sessions.restore(old, alice), alice)
    assert lifecycle.undo(None, mistake)["delete"] == 3
    assert Session.objects.get(state="deleted").pk == old.pk


def test_happy_a_policy_that_would_do_it_again_needs_a_yes(thrown):
    _old, before, mistake = thrown
    retention.set_policy(None, delete_after=60, yes=True)
    with pytest.raises(Conflict) as refused:
        lifecycle.undo(None, mistake)
    assert refused.value.data["sessions"] == 4
    assert lifecycle.undo(None, mistake, yes=True)["delete"] == 4
    assert shown() == before


def test_happy_packing_is_no_change(alice, talk, time_machine):
    session = talk("zebra", "a striped horse")
    later(time_machine, 31 * DAY)
    mistake = run()["run"]
    packing.compress(Stopping(ids.new_id(), -1, accounts.system()))
    assert Session.objects.get().compressed
    assert lifecycle.undo(None, mistake, yes=True) == NOTHING | {"archive": 1}
    row = Session.objects.select_related("account").get()
    assert (row.state, row.last_activity) == ("active", session.last_activity)
    said = [records.open_body(message, row).content for message in row.messages.order_by("seq")]
    assert said == ["zebra", "a striped horse"]


def test_happy_what_was_purged_stays_gone(thrown):
    old, _before, mistake = thrown
    Session.objects.filter(pk=old.pk).delete()
    assert lifecycle.undo(None, mistake)["delete"] == 3


@dataclass
class Stopping:
    """Work that is stopped after a few steps."""

    uuid: UUID
    steps: int
    account: Any = None
    arguments: Any = None

    def step(self, done: int, total: int | None = None) -> None:
        self.steps -= 1
        if not self.steps:
            raise working.Cancelled


def test_happy_a_run_that_was_stopped_half_way_can_be_undone(talk, time_machine, monkeypatch):
    monkeypatch.setattr(lifecycle, "_SESSIONS", 1)
    for said in "abcd":
        talk(said)
    before = shown()
    later(time_machine, 31 * DAY)
    job = jobs.enqueue(accounts.system(), "lifecycle", {})
    with pytest.raises(working.Cancelled):
        lifecycle.sweep(Stopping(job.uuid, 3))
    with pytest.raises(Conflict):
        lifecycle.undo(None, job.uuid, yes=True)
    Job.objects.filter(pk=job.pk).update(state="cancelled")
    assert lifecycle.undo(None, job.uuid, yes=True) == NOTHING | {"archive": 2}
    assert shown() == before


@pytest.mark.parametrize("state", ["cancelled", "failed"])
def test_happy_a_command_that_was_stopped_half_way_can_be_undone(
    talk, time_machine, monkeypatch, state
):
    monkeypatch.setattr(lifecycle, "_SESSIONS", 1)
    for said in "abcd":
        talk(said)
    before = shown()
    later(time_machine, 31 * DAY)
    error = {"cancelled": KeyboardInterrupt, "failed": ZeroDivisionError}[state]

    def stop(done: int, total: int | None = None) -> None:
        if done == 2:
            raise error

    with pytest.raises(error):
        lifecycle.run(stop)
    job = Job.objects.get(kind="lifecycle")
    assert job.state == state
    assert lifecycle.undo(None, job.uuid, yes=True) == NOTHING | {"archive": 2}
    assert shown() == before


def test_stranger_is_not_allowed(alice, nobody, thrown):
    _old, _before, mistake = thrown
    before = shown()
    with pytest.raises(NotAllowed):
        lifecycle.undo(alice, mistake)
    alice.is_staff = True
    for user in (alice, nobody):
        with pytest.raises(NotAllowed):
            lifecycle.undo(user, mistake)
    assert shown() == before


def test_stranger_of_the_staff_who_may_is_named_in_the_journal(thrown):
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="change_retentionpolicy"))
    assert lifecycle.undo(clerk, thrown[2])["delete"] == 4
    actors = Change.objects.filter(op="session.undo").values_list("actor__user", flat=True)
    assert set(actors) == {clerk.pk}


def test_malformed_runs_are_not_found(alice, thrown):
    other = jobs.run(thrown[0].account, "import", {}, dict)
    for run_id in (ids.new_id(), other.uuid, thrown[0].uuid):
        with pytest.raises(NotFound):
            lifecycle.undo(None, run_id)


def test_malformed_what_it_was_before_is_gone_is_left(thrown):
    old, _before, mistake = thrown
    Change.objects.filter(row=old.uuid).update(before=None)
    assert lifecycle.undo(None, mistake)["delete"] == 3
    assert Session.objects.get(pk=old.pk).state == "deleted"


def test_malformed_damaged_ones_are_counted(bob, thrown):
    old, _before, mistake = thrown
    changes = Change.objects.filter(row=old.uuid, op="session.delete")
    changes.update(before=b"\1\0\0\0\0\1" + bytes(60))
    DataKey.objects.filter(session__account__user=bob).delete()
    keyring.forget()
    assert lifecycle.undo(None, mistake) == NOTHING | {"delete": 2, "damaged": 2}


def test_repeated_does_nothing(thrown):
    _old, _before, mistake = thrown
    lifecycle.undo(None, mistake)
    changes = Change.objects.count()
    assert lifecycle.undo(None, mistake) == NOTHING
    assert Change.objects.count() == changes


@pytest.mark.django_db(transaction=True)
def test_concurrent_undos_are_one(thrown, together):
    _old, before, mistake = thrown
    done = together(*[lambda: lifecycle.undo(None, mistake)] * 4)
    assert sum(one["delete"] for one in done) == 4, done
    assert Change.objects.filter(op="session.undo").count() == 4
    assert shown() == before
