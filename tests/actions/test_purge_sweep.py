"""purge.sweep and purge.scrub: what the site removes by itself, when its time is over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from chathistory import ledger, records, registry, represent, wiping
from chathistory.actions import (
    accounts,
    jobs,
    messages,
    packing,
    purge,
    removing,
    retention,
    sessions,
)
from chathistory.exceptions import Invalid, Unavailable
from chathistory.models import Block, Change, Message, Revision, Session
from chathistory.search.base import index
from tests.actions.aging import DAY, later
from tests.actions.asked import Asked

pytestmark = pytest.mark.usefixtures("keyed_home")

CLEAN = "clean" if connection.vendor == "sqlite" else "vacuum"


def run(**more):
    """Let the site do it; without what became of the files, which within a test's own
    transaction cannot be told."""
    result = purge.sweep(Asked(accounts.system(), **more))
    result.pop("files")
    return result


def text(message):
    row = Message.objects.select_related("session__account").get(pk=message.pk)
    return records.open_body(row, row.session).content


def test_happy_a_session_stays_in_the_trash_for_thirty_days(alice, talk, time_machine):
    later(time_machine, timedelta(0))
    living, gone = talk("zebra"), talk("horse")
    sessions.delete(gone, alice)
    later(time_machine, 30 * DAY - timedelta(seconds=1))
    assert run() == {}
    later(time_machine, timedelta(seconds=1))
    assert run() == {"sessions": 1, "messages": 1, "keys": 1, "before_images": 2}
    assert Session.objects.get() == living
    assert [entry.session for entry in ledger.read()] == [gone.uuid]
    assert not Change.objects.filter(op="session.purge", actor__isnull=False).exists()


def test_happy_as_long_as_the_policy_says(alice, talk, time_machine):
    later(time_machine, timedelta(0))
    account = accounts.of(alice)
    retention.set_policy(None, account=account, trash_for=3_600)
    sessions.delete(talk("soon"), alice)
    retention.set_policy(None, account=account, trash_for=0)
    kept = sessions.delete(talk("never"), alice)
    later(time_machine, timedelta(hours=1))
    assert run()["sessions"] == 1
    later(time_machine, 1_000 * DAY)
    assert "sessions" not in run()
    assert Session.objects.get() == kept


def test_happy_a_tombstone_is_emptied_and_stays_in_its_tree(alice, talk, time_machine):
    later(time_machine, timedelta(0))
    session = talk("one", "two", "three")
    said = session.messages.get(seq=2)
    messages.edit(said, alice, "two, changed")
    messages.delete(said, alice)
    version = Session.objects.get().version
    later(time_machine, 30 * DAY - timedelta(seconds=1))
    assert run() == {}
    assert text(said) == "two, changed"
    later(time_machine, timedelta(seconds=1))
    assert run() == {"messages": 1, "revisions": 1, "before_images": 2}
    row = Message.objects.get(pk=said.pk)
    assert (row.revision, row.length, row.tokens, row.parent_seq) == (0, 0, 0, 1)
    assert text(said) == ""
    assert not Revision.objects.exists()
    assert not Change.objects.filter(row=said.uuid, before__isnull=False).exists()
    assert [entry.messages for entry in ledger.read()] == [(said.uuid,)]
    fresh = Session.objects.select_related("account").get()
    shown = represent.messages_json(fresh, fresh.messages.order_by("seq"))
    assert [one["content"] for one in shown] == ["one", "", "three"]
    assert fresh.version == version
    assert run() == {}


def test_happy_a_tombstone_in_a_block(alice, talk, time_machine):
    later(time_machine, timedelta(0))
    session = talk(*(f"text {n}" for n in range(12)))
    said = list(session.messages.order_by("seq"))
    for message in (said[3], said[4]):
        messages.delete(message, alice)
    Session.objects.filter(pk=session.pk).update(state="archived", archived_at=timezone.now())
    packing.compress(Asked(session.account))
    assert Block.objects.count() == 2
    later(time_machine, 30 * DAY)
    assert run()["messages"] == 2
    assert Block.objects.count() == 1
    assert [text(one) for one in (*said[2:6], said[11])] == ["text 2", "", "", "text 5", "text 11"]
    packing.compress(Asked(session.account))
    assert Block.objects.count() == 2
    assert Session.objects.get().compressed
    assert text(said[5]) == "text 5"


def test_happy_a_tombstone_on_hold_or_in_the_trash_is_left(alice, talk, time_machine):
    later(time_machine, timedelta(0))
    held, trashed = talk("one"), talk("two")
    for session in (held, trashed):
        messages.delete(session.messages.get(), alice)
    Session.objects.filter(pk=held.pk).update(hold=True)
    later(time_machine, 20 * DAY)
    sessions.delete(trashed, alice)
    later(time_machine, 10 * DAY)
    assert run() == {}
    assert text(held.messages.get()) == "one"


def test_happy_before_images_live_35_days(alice, talk, time_machine):
    later(time_machine, timedelta(0))
    session = talk("one", "two")
    sessions.rename(session, alice, "horse")
    later(time_machine, 30 * DAY)
    sessions.rename(session, alice, "zebra")
    later(time_machine, 5 * DAY)
    assert run() == {}
    later(time_machine, timedelta(seconds=1))
    assert run() == {"before_images": 3}
    (left,) = Change.objects.filter(before__isnull=False)
    assert left.at == timezone.now() - 5 * DAY - timedelta(seconds=1)
    assert Change.objects.filter(session=session.uuid).count() == 7


def test_happy_before_images_of_a_clock_that_stood_ahead_are_passed_by(
    alice, bob, talk, time_machine, monkeypatch
):
    monkeypatch.setattr(purge, "CHUNK", 2)
    monkeypatch.setattr(removing, "CHUNK", 2)
    later(time_machine, 400 * DAY)
    ahead = talk("one", "two", "three")
    later(time_machine, -400 * DAY)
    session = talk("four", "five", user=bob)
    later(time_machine, 36 * DAY)
    assert run() == {"before_images": 2}
    left = Change.objects.filter(before__isnull=False)
    assert set(left.values_list("session", flat=True)) == {ahead.uuid}
    assert left.count() == 3
    assert Change.objects.filter(session=session.uuid).exists()


def test_happy_it_finds_old_images_by_the_index(db):
    if connection.vendor == "sqlite":
        due = Change.objects.filter(before__isnull=False, at__lt=timezone.now()).order_by("at")
        assert "ch_change_oldest (at<?)" in due.explain()


@pytest.mark.django_db(transaction=True)
def test_happy_nothing_is_left_in_the_files(alice, talk, time_machine):
    later(time_machine, timedelta(0))
    sessions.delete(talk("zebra"), alice)
    later(time_machine, 30 * DAY)
    assert purge.sweep(Asked(accounts.system()))["files"] == CLEAN
    assert index().marked() is None


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the log is SQLite's")
@pytest.mark.django_db(transaction=True)
def test_happy_who_reads_is_not_disturbed_and_the_next_run_goes_on(alice, talk, monkeypatch):
    monkeypatch.setattr(wiping, "_PAUSE", 0)
    session = talk("zebra")
    reader = connection.copy()
    with reader.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT count(*) FROM chathistory_session")
        sessions.delete(session, alice)
        purge.purge(session, alice)
        assert purge.scrub(lambda: None) == "busy"
        assert cursor.execute("SELECT count(*) FROM chathistory_session").fetchone() == (1,)
        cursor.execute("COMMIT")
    reader.close()
    assert purge.scrub(lambda: None) == "clean"


def test_stranger_it_is_no_job_that_people_ask_for(alice):
    assert registry.BEATS["purge"].every == 3_600
    with pytest.raises(Invalid):
        jobs.ask(alice, "purge", {})


def test_malformed_a_damaged_block_keeps_its_tombstones_alone(alice, talk, time_machine):
    later(time_machine, timedelta(0))
    session = talk(*(f"text {n}" for n in range(20)))
    said = list(session.messages.order_by("seq"))
    for message in (said[0], said[15]):
        messages.delete(message, alice)
    Session.objects.filter(pk=session.pk).update(state="archived", archived_at=timezone.now())
    packing.compress(Asked(session.account))
    Block.objects.filter(pk=Message.objects.get(pk=said[0].pk).block_id).update(body=b"x" * 99)
    later(time_machine, 30 * DAY)
    result = run()
    assert (result["messages"], result["damaged"]) == (1, 1)
    assert Message.objects.get(pk=said[0].pk).revision == 1
    assert text(said[15]) == ""


def test_malformed_nothing_is_removed_that_the_ledger_cannot_take(
    alice, talk, time_machine, tmp_path
):
    later(time_machine, timedelta(0))
    session = talk("one", "two")
    messages.delete(session.messages.get(seq=1), alice)
    sessions.delete(talk("three"), alice)
    later(time_machine, 30 * DAY)
    (tmp_path / "keys").write_text("no folder")
    with pytest.raises(Unavailable):
        run()
    assert Message.objects.filter(revision=1).count() == 3
    (tmp_path / "keys").unlink()
    assert run()["messages"] == 2


def test_repeated_after_it_was_stopped_anywhere_it_finishes(alice, talk, time_machine):
    later(time_machine, timedelta(0))
    living = talk("one", "two")
    messages.delete(living.messages.get(seq=1), alice)
    for n in range(3):
        sessions.delete(talk(f"{n}"), alice)
    later(time_machine, 36 * DAY)
    runs = 0
    while True:
        runs += 1
        try:
            run(patience=2)
        except InterruptedError:
            continue
        break
    assert runs > 2
    assert run() == {}
    assert (Session.objects.get(), Message.objects.count()) == (living, 2)


@pytest.mark.django_db(transaction=True)
def test_concurrent_runs_are_one(alice, talk, together):
    for n in range(5):
        sessions.delete(talk(f"zebra {n}", "horse"), alice)
    Session.objects.update(purge_after=timezone.now())
    results = together(*[lambda: purge.sweep(Asked(accounts.system()))] * 3)
    assert sum(result.get("sessions", 0) for result in results) == 5
    assert sum(result.get("messages", 0) for result in results) == 10
    assert not Session.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_concurrent_with_people_who_restore(alice, talk, together):
    rows = [sessions.delete(talk(f"{n}"), alice) for n in range(8)]
    Session.objects.update(purge_after=timezone.now())
    restored = together(
        lambda: purge.sweep(Asked(accounts.system())),
        *[lambda row=row: sessions.restore(row, alice) for row in rows],
    )[1:]
    back = {one.pk for one in restored if isinstance(one, Session)}
    assert set(Session.objects.filter(state="active").values_list("pk", flat=True)) == back
    assert Session.objects.count() == Message.objects.count() == len(back)


@pytest.mark.django_db(transaction=True)
def test_its_beat_runs_it(alice, talk):
    sessions.delete(talk("zebra"), alice)
    Session.objects.update(purge_after=timezone.now())
    assert jobs.beat("purge")
    assert not Session.objects.exists()
