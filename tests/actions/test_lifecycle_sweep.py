"""lifecycle.sweep and lifecycle.run: what the site does by itself."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from chathistory import keyring
from chathistory.actions import accounts, lifecycle, messages, retention, sessions
from chathistory.models import Change, DataKey, Job, RetentionPolicy, Session
from tests.actions.aging import DAY, HOUR, later, previewed, run

NOTHING = {"delete": 0, "archive": 0, "idle": 0, "damaged": 0, "refused": []}


def told(result: dict) -> dict:
    return {name: value for name, value in result.items() if name != "run"}


def states() -> Counter:
    return Counter(Session.objects.values_list("state", flat=True))


def test_happy_an_hour_makes_idle_and_thirty_days_archive(talk, time_machine):
    later(time_machine, timedelta(0))
    talk("zebra")
    later(time_machine, HOUR)
    assert told(run()) == NOTHING
    later(time_machine, timedelta(seconds=1))
    assert told(run()) == NOTHING | {"idle": 1}
    row = Session.objects.get()
    assert (row.state, row.archived_at) == ("idle", None)
    later(time_machine, 30 * DAY - HOUR - timedelta(seconds=1))
    assert told(run()) == NOTHING
    later(time_machine, timedelta(seconds=1))
    assert told(run()) == NOTHING | {"archive": 1}
    assert Session.objects.get().archived_at == timezone.now()


def test_happy_what_is_due_for_the_archive_is_not_made_idle_first(talk, time_machine):
    session = talk("zebra")
    later(time_machine, 31 * DAY)
    assert told(run()) == NOTHING | {"archive": 1}
    row = Session.objects.get()
    assert (row.state, row.version) == ("archived", session.version + 1)
    assert Change.objects.filter(row=row.uuid, op="session.archive").count() == 1


def test_happy_it_moves_without_stirring_the_lists(talk, time_machine):
    session = talk("zebra")
    later(time_machine, 31 * DAY)
    run()
    row = Session.objects.get()
    assert (row.updated_at, row.last_activity) == (session.updated_at, session.last_activity)
    change = Change.objects.get(seq=row.changed, account=row.account)
    assert (change.table, change.row, change.session) == ("session", row.uuid, row.uuid)
    assert change.actor is None


def test_happy_the_trash_keeps_as_long_as_the_policy_says(alice, talk, time_machine):
    talk("old"), sessions.pin(talk("pinned"), alice)
    retention.set_policy(None, delete_after=90 * 86_400, trash_for=7 * 86_400)
    later(time_machine, 91 * DAY)
    assert told(run()) == NOTHING | {"delete": 1, "idle": 1}
    gone = Session.objects.get(state="deleted")
    assert gone.deleted_at == timezone.now()
    assert gone.purge_after == gone.deleted_at + 7 * DAY


def test_happy_pins_are_only_made_idle_unless_the_policy_says_pinned_too(alice, talk, time_machine):
    sessions.pin(talk("mine"), alice)
    later(time_machine, 31 * DAY)
    assert told(run()) == NOTHING | {"idle": 1}
    retention.set_policy(None, pinned_too=True)
    assert told(run()) == NOTHING | {"archive": 1}


def test_happy_a_run_is_a_job_and_its_changes_carry_one_operation(bob, talk, time_machine):
    talk("one"), talk("two"), talk("three", user=bob)
    later(time_machine, 31 * DAY)
    result = run()
    job = Job.objects.get(uuid=result["run"])
    assert (job.kind, job.state, job.account) == ("lifecycle", "done", accounts.system())
    changes = Change.objects.filter(operation=result["run"])
    assert Counter(changes.values_list("op", flat=True)) == {"session.archive": 3}
    assert changes.values("account").distinct().count() == 2


def test_happy_preview_and_run_agree(alice, bob, talk, time_machine):
    talk("oldest"), sessions.pin(talk("kept"), alice), talk("others", user=bob)
    retention.set_policy(None, account=accounts.of(alice), delete_after=40 * 86_400)
    later(time_machine, 41 * DAY)
    talk("newer")
    later(time_machine, 2 * HOUR)
    wanted = previewed()
    before = dict(Session.objects.values_list("uuid", "state"))
    result = run()
    after = dict(Session.objects.values_list("uuid", "state"))
    verbs = {"deleted": "delete", "archived": "archive", "idle": "idle"}
    moved = {str(uuid): verbs[after[uuid]] for uuid in after if after[uuid] != before[uuid]}
    assert moved == wanted
    counted = Counter(wanted.values())
    assert counted == {"delete": 1, "archive": 1, "idle": 2}
    assert {verb: result[verb] for verb in counted} == counted
    assert previewed() == {}


def test_happy_it_selects_by_the_index(talk, time_machine):
    now = timezone.now()
    for verb in lifecycle.ORDER:
        retention.set_policy(None, delete_after=90 * 86_400)
        (rows,) = retention.due(verb, now)
        plan = rows.order_by("account_id", "pk").explain()
        if connection.vendor == "sqlite":
            assert "ch_session_due (state=? AND last_activity<?)" in plan


def test_stranger_to_a_policy_is_left_alone(alice, bob, talk, time_machine):
    mine, his = talk("mine"), talk("his", user=bob)
    retention.set_policy(None, account=mine.account, archive_after=86_400, idle_after=0)
    later(time_machine, 2 * DAY)
    run()
    assert Session.objects.get(pk=mine.pk).state == "archived"
    assert Session.objects.get(pk=his.pk).state == "idle"


def test_malformed_a_session_without_its_key_is_counted_and_the_others_move(
    bob, talk, time_machine
):
    lost, kept, other = talk("lost"), talk("kept"), talk("other", user=bob)
    DataKey.objects.filter(session=lost).delete()
    keyring.forget()
    later(time_machine, 31 * DAY)
    assert told(run()) == NOTHING | {"archive": 2, "damaged": 2}  # for the archive, and for idle
    assert Session.objects.get(pk=lost.pk).state == "active"
    assert set(Session.objects.filter(pk__in=[kept.pk, other.pk]).values_list("state")) == {
        ("archived",)
    }


def test_malformed_an_account_whose_keys_do_not_open_stops_nobody(bob, talk, time_machine):
    lost = talk("lost", user=bob)
    kept = talk("kept")
    DataKey.objects.filter(account=lost.account, purpose="account").update(master_wrapped=b"\1xx")
    keyring.forget()
    later(time_machine, 2 * HOUR)
    assert told(run()) == NOTHING | {"idle": 1, "damaged": 1}
    assert Session.objects.get(pk=kept.pk).state == "idle"


def test_malformed_a_policy_that_takes_everything_waits_for_a_yes(talk, time_machine):
    talk("one"), talk("two")
    policy = retention.set_policy(None, delete_after=90 * 86_400)
    later(time_machine, 91 * DAY)
    assert list(previewed().values()) == ["archive"] * 2
    assert told(run()) == NOTHING | {"archive": 2, "refused": [str(policy.uuid)]}
    assert told(run()) == NOTHING | {"refused": [str(policy.uuid)]}
    retention.set_policy(None, delete_after=90 * 86_400, yes=True)
    assert told(run()) == NOTHING | {"delete": 2}


@pytest.mark.parametrize("spared", ["a new one", "a pin", "a hold"])
def test_malformed_what_was_refused_stays_so_until_somebody_says_yes(
    alice, talk, time_machine, spared
):
    old = talk("one"), talk("two")
    policy = retention.set_policy(None, delete_after=90 * 86_400)
    later(time_machine, 91 * DAY)
    assert run()["refused"] == [str(policy.uuid)]
    (change,) = Change.objects.filter(op="policy.refuse")
    assert (change.row, change.account) == (policy.uuid, accounts.system())
    if spared == "a new one":
        talk("three")
    if spared == "a pin":
        sessions.pin(old[0], alice)
    if spared == "a hold":
        lifecycle.hold(old[0], None, True, "Case 12")
    retention.set_policy(None, trash_for=86_400)
    assert "delete" not in previewed().values()
    assert (run()["delete"], run()["refused"]) == (0, [str(policy.uuid)])
    assert Change.objects.filter(op="policy.refuse").count() == 1
    retention.set_policy(None, delete_after=90 * 86_400, yes=True)
    result = run()
    assert (result["delete"], result["refused"]) == (2 if spared == "a new one" else 1, [])


def test_malformed_what_was_refused_is_lifted_by_a_change(talk, time_machine):
    talk("one")
    retention.set_policy(None, delete_after=90 * 86_400)
    later(time_machine, 91 * DAY)
    run(), talk("two")
    retention.set_policy(None, delete_after=89 * 86_400)
    assert RetentionPolicy.objects.get().refused_at is None
    assert (run()["delete"], run()["refused"]) == (1, [])


def test_malformed_an_account_without_keys_is_refused_all_the_same(bob, talk, time_machine):
    accounts.system()
    lost = talk("lost", user=bob).account
    policy = retention.set_policy(None, account=lost, delete_after=86_400)
    DataKey.objects.filter(account=lost, purpose="account").update(master_wrapped=b"\1xx")
    keyring.forget()
    later(time_machine, 2 * DAY)
    assert run()["refused"] == run()["refused"] == [str(policy.uuid)]


def test_malformed_one_refused_policy_does_not_stop_another(bob, talk, time_machine):
    talk("mine"), talk("his", user=bob)
    policy = retention.set_policy(None, account=accounts.of(bob), delete_after=90 * 86_400)
    retention.set_policy(None, delete_after=90 * 86_400, yes=True)
    later(time_machine, 91 * DAY)
    result = run()
    assert told(result) == NOTHING | {"archive": 1, "delete": 1, "refused": [str(policy.uuid)]}
    assert Session.objects.get(account__user=bob).state == "archived"


def test_repeated_runs_find_nothing_more(talk, time_machine):
    talk("mine")
    later(time_machine, 31 * DAY)
    run()
    changes = Change.objects.filter(table="session").count()
    assert told(run()) == NOTHING
    assert Change.objects.filter(table="session").count() == changes


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_repeated_batches_reach_every_session_of_every_account_once(
    alice, bob, charlie, talk, time_machine, monkeypatch, batch
):
    for user in (alice, bob, charlie) * 3:
        talk("one", user=user)
    monkeypatch.setattr(lifecycle, "_CHUNK", 4)
    monkeypatch.setattr(lifecycle, "_SESSIONS", batch)
    monkeypatch.setattr(lifecycle, "_ACCOUNTS", 2)
    later(time_machine, 31 * DAY)
    assert run()["archive"] == 9
    assert states() == {"archived": 9}
    for account in {row.account for row in Session.objects.select_related("account")}:
        seqs = Change.objects.filter(account=account).order_by("seq").values_list("seq", flat=True)
        assert all(b - a == 1 for a, b in pairwise(seqs))


def test_a_clock_set_back_moves_nothing_early(alice, talk, time_machine):
    session = talk("mine")
    later(time_machine, -HOUR)
    assert told(run()) == NOTHING
    said = messages.append(session, alice, "user", "An hour ago?")
    assert said.created_at == session.last_activity
    later(time_machine, HOUR + 30 * DAY - timedelta(minutes=1))
    assert told(run()) == NOTHING | {"idle": 1}
    later(time_machine, timedelta(minutes=2))
    assert told(run()) == NOTHING | {"archive": 1}


def test_a_clock_set_a_day_ahead_moves_only_what_is_due_by_it(alice, talk, time_machine):
    session = talk("mine")
    later(time_machine, 29 * DAY - HOUR)
    run()
    later(time_machine, DAY)
    assert told(run()) == NOTHING
    messages.append(session, alice, "user", "Tomorrow")
    later(time_machine, -DAY)
    assert told(run()) == NOTHING
    assert Session.objects.get().state == "active"
    later(time_machine, 30 * DAY)
    assert told(run()) == NOTHING | {"idle": 1}


@pytest.mark.parametrize("change", [datetime(2026, 3, 29, 1, 30), datetime(2026, 10, 25, 2, 30)])
def test_the_hour_that_a_summer_takes_or_gives_is_no_hour(talk, time_machine, settings, change):
    settings.TIME_ZONE = "Europe/Berlin"
    time_machine.move_to(change.replace(tzinfo=ZoneInfo("Europe/Berlin")), tick=False)
    talk("mine")
    later(time_machine, timedelta(minutes=59))
    assert told(run()) == NOTHING
    later(time_machine, timedelta(minutes=2))
    assert told(run()) == NOTHING | {"idle": 1}


@pytest.mark.django_db(transaction=True)
def test_concurrent_sweeps_and_messages_move_each_session_once(alice, talk, together):
    rows = [talk("mine") for _ in range(12)]
    Session.objects.update(last_activity=F("last_activity") - 31 * DAY)
    for row in rows[:3]:
        row.refresh_from_db()
    done = together(
        *[lambda: run()] * 3,
        *[lambda row=row: messages.append(row, alice, "user", "Still here") for row in rows[:3]],
    )
    assert not [one for one in done if isinstance(one, Exception)], done
    assert Change.objects.filter(op="session.archive").count() == sum(
        one["archive"] for one in done[:3]
    )
    assert Change.objects.filter(op="session.archive").values("row").distinct().count() >= 9
    assert states() == {"active": 3, "archived": 9}
    seqs = Change.objects.filter(account=rows[0].account).order_by("seq")
    assert all(b - a == 1 for a, b in pairwise(seqs.values_list("seq", flat=True)))


def test_the_seeded_policy_is_the_founding_documents(db):
    policy = RetentionPolicy.objects.get()
    assert (policy.idle_after, policy.archive_after) == (3_600, 30 * 86_400)
    assert (policy.trash_for, policy.delete_after) == (30 * 86_400, None)
    assert (policy.pinned_too, policy.confirmed) == (False, False)
