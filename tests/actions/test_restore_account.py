"""restore.account: all of one person, as it was."""

from __future__ import annotations

import random

import pytest
from django.db import connection
from django.utils import timezone

from chathistory.actions import (
    accounts,
    backup,
    erase,
    exchange,
    messages,
    purge,
    restore,
    retention,
    sessions,
)
from chathistory.backups import scratch
from chathistory.exceptions import (
    ChatHistoryError,
    Conflict,
    Damaged,
    Invalid,
    NotAllowed,
    NotFound,
)
from chathistory.formats.base import Transcript, Turn
from chathistory.models import Backup, Change, RetentionPolicy, Session, Tag
from tests.actions import backed
from tests.actions.restored import say, shown, texts, tick
from tests.living import START, VERBS, Life, Work, indexed, lost, picture

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]


@pytest.fixture
def clock(time_machine):
    time_machine.move_to(START, tick=False)
    return time_machine


def test_happy_everything_is_as_it_was_and_what_came_later_in_the_trash(alice, talk, clock):
    kept, gone = talk("lion", title="Kept"), talk("heron", title="Gone")
    backup.full()
    moment = tick(clock)
    sessions.delete(gone, alice)
    say(kept, alice, "later")
    talk("new", title="New")
    clock.shift(1)
    report = restore.account(alice, moment)
    assert shown(alice) == {
        "Kept": ("active", ["lion"]),
        "Gone": ("active", ["heron"]),
        "New": ("deleted", ["new"]),
    }
    assert report["as_of"] == moment.isoformat()
    numbers = ("sessions_recovered", "sessions_removed", "messages_removed", "errors")
    assert [report[name] for name in numbers] == [2, 1, 1, []]
    assert len(report["sessions"]) == 3


def test_happy_nobody_elses_rows_are_touched(alice, bob, talk, clock):
    talk("lion")
    theirs = talk("heron", user=bob)
    backup.full()
    moment = tick(clock)
    say(theirs, bob, "later")
    say(Session.objects.get(account=accounts.of(alice)), alice, "later")
    clock.shift(1)
    restore.account(alice, moment)
    assert texts(theirs) == ["heron", "later"]


def test_happy_what_was_removed_for_good_stays_so(alice, talk, clock):
    gone, kept = talk("heron", title="Gone"), talk("lion", "roars", title="Kept")
    backup.full()
    moment = tick(clock)
    sessions.delete(gone, alice)
    purge.purge(gone, alice)
    messages.delete(kept.messages.get(seq=1), alice)
    clock.shift(31 * 86_400)
    backup.full()
    purge._tombstones(Work(accounts.system()), timezone.now())
    report = restore.account(alice, moment)
    assert shown(alice) == {"Kept": ("active", ["roars"])}
    assert report["errors"] == []
    with pytest.raises(NotFound, match="removed for good"):
        restore.session(alice, gone.uuid, moment)


def test_happy_the_words_of_somebody_erased_do_not_come_back(alice, bob, talk, invite, clock):
    session = talk()
    invite(session, bob, "read", "write")
    messages.append(session, bob, "user", "my secret")
    messages.append(session, alice, "assistant", "an answer")
    backup.full()
    moment = tick(clock)
    say(session, alice, "later")
    erase.erase(accounts.of(bob), None)
    clock.shift(1)
    restore.account(alice, moment)
    session = Session.objects.select_related("account").get()
    assert texts(session) == ["an answer"]
    assert "secret" not in str(picture(accounts.of(alice)))


def test_happy_one_account_from_its_own_backup(alice, talk, clock):
    session = talk("lion")
    made = backup.full(alice, accounts.of(alice))
    clock.shift(60)
    say(session, alice, "later")
    clock.shift(60)
    report = restore.account(alice, timezone.now())
    assert report["as_of"] == made.at.isoformat()
    assert texts(session) == ["lion"]


def test_happy_what_was_imported_at_once_is_undone_at_once(alice, talk, clock):
    talk("lion", title="Savanna")
    backup.full()
    moment = tick(clock)
    turns = [Turn(str(n), str(n - 1) if n else None, "user", f"w{n}") for n in range(5)]
    chats = [Transcript("elsewhere", str(n), title=f"T{n}", turns=turns) for n in range(3)]
    exchange.import_transcripts(alice, chats)
    clock.shift(1)
    report = restore.account(alice, moment)
    assert report["sessions_removed"] == 3
    live = Session.objects.exclude(state="deleted")
    assert [texts(row) for row in live] == [["lion"]]


def test_happy_policies_and_tags_stay(alice, talk, clock):
    session = talk("lion")
    backup.full()
    moment = tick(clock)
    sessions.tag(session, alice, ["x"])
    retention.set_policy(alice, tag=Tag.objects.get(), archive_after=3600)
    clock.shift(1)
    restore.account(alice, moment)
    assert not session.tags.exists()
    assert RetentionPolicy.objects.filter(tag__isnull=False).count() == 1


@pytest.mark.parametrize("seed", range(3))
def test_happy_after_any_life_any_moment_comes_back(alice, bob, clock, seed):
    dice = random.Random(seed)
    life = Life(alice, bob, clock)
    life.live([("create", 1, 1, 1)])
    for _ in range(30):
        if dice.random() < 0.2:
            backup.incremental()
        verb = dice.choice(VERBS)
        life.live([(verb, dice.randrange(12), dice.randrange(400), dice.choice((1, 10**6)))])
    backup.incremental()
    clock.shift(1)
    first = min(Backup.objects.filter(number=0).values_list("at", flat=True))
    moments = [at for at, _ in life.pictures if at > first]
    for moment in dice.sample(moments, min(5, len(moments))):
        then = life.at(moment)
        gone = lost(then)
        assert restore.account(alice, moment)["errors"] == []
        now = readable(picture(life.account))
        assert now == readable(then, gone) | {name: now[name] for name in later(then, now)}
        assert {now[name][0]["state"] for name in later(then, now)} <= {"deleted"}
        assert indexed(life.account)
        clock.shift(1)


def later(then, now):
    return now.keys() - then.keys()


def readable(picture, gone=frozenset()):
    """Return what a person reads in each session."""
    fields = ("title", "title_source", "metadata", "tags", "state", "pinned")
    found = {
        name: ({key: row[key] for key in fields}, [])
        for name, row in picture.items()
        if name.startswith("session") and name not in gone
    }
    for name, row in picture.items():
        if name.startswith("message") and name not in gone and row["deleted_at"] is None:
            found[f"session {row['session']}"][1].append(row["content"])
    return found


def test_stranger_nothing_of_another_is_ever_restored(alice, bob, nobody, talk, clock):
    session = talk("lion")
    backup.full()
    moment = tick(clock)
    say(session, alice, "later")
    with pytest.raises(NotFound):
        restore.account(bob, moment)
    with pytest.raises(NotAllowed):
        restore.account(nobody, moment)
    assert texts(session) == ["lion", "later"]


@pytest.mark.parametrize("at", [None, "yesterday", 0])
def test_malformed_times(alice, at):
    with pytest.raises(Invalid):
        restore.account(alice, at)


def test_malformed_before_the_first_backup(alice, talk, clock):
    moment = tick(clock)
    talk("lion")
    made = backup.full()
    clock.shift(1)
    with pytest.raises(NotFound, match=f"{made.at:%Y-%m-%dT%H:%M}"):
        restore.account(alice, moment)


def test_malformed_containers_are_refused_by_name_and_nothing_is_touched(alice, talk, clock, home):
    session = talk("lion")
    made = [backup.full()]
    say(session, alice, "two")
    made.append(backup.incremental())
    moment = tick(clock)
    say(session, alice, "three")
    made.append(backup.incremental())
    clock.shift(1)
    before = picture(accounts.of(alice))
    dice = random.Random(1)
    for row in made:
        path = backed.path(home, row)
        whole = path.read_bytes()
        spots = [0, 9, 10, 14, 40, len(whole) - 1, *dice.sample(range(len(whole)), 8)]
        for at in spots:
            backed.flipped(path, at)
            with pytest.raises(Damaged, match=row.name):
                restore.account(alice, moment)
            path.write_bytes(whole)
        for size in (0, 5, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:size])
            with pytest.raises(Damaged, match=row.name):
                restore.account(alice, moment)
            path.write_bytes(whole)
    assert picture(accounts.of(alice)) == before
    assert list((home / "tmp").iterdir()) == []
    assert restore.account(alice, moment)["messages_removed"] == 1


def test_malformed_a_master_key_that_is_missing_is_named(alice, talk, clock, settings):
    settings.CHATHISTORY_MASTER_KEYS = [("first", b"1" * 32)]
    talk("lion")
    backup.full()
    moment = tick(clock)
    settings.CHATHISTORY_MASTER_KEYS = [("second", b"2" * 32)]
    with pytest.raises(ChatHistoryError, match="'first'"):
        restore.account(alice, moment)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="rows tell no size beforehand")
def test_malformed_a_full_disk_leaves_nothing(alice, talk, clock, home, monkeypatch):
    talk("lion")
    backup.full()
    moment = tick(clock)
    small = scratch._PRAGMAS.replace("=MEMORY", "=MEMORY;PRAGMA max_page_count=40", 1)
    monkeypatch.setattr(scratch, "_PRAGMAS", small)
    with pytest.raises(ChatHistoryError, match="full") as error:
        restore.account(alice, moment)
    assert error.value.code == "unavailable"
    assert list((home / "tmp").iterdir()) == []


def test_repeated_does_nothing(alice, talk, clock):
    session = talk("lion")
    backup.full()
    moment = tick(clock)
    say(session, alice, "later")
    talk("new")
    clock.shift(1)
    restore.account(alice, moment)
    changes, before = Change.objects.count(), picture(accounts.of(alice))
    clock.shift(60)
    again = restore.account(alice, moment)
    assert (again["sessions"], again["sessions_recovered"], again["sessions_removed"]) == ([], 0, 0)
    assert (Change.objects.count(), picture(accounts.of(alice))) == (changes, before)


def test_concurrent_restores_take_turns(alice, bob, talk, clock, together):
    mine, theirs = talk("lion"), talk("heron", user=bob)
    backup.full()
    moment = tick(clock)
    say(mine, alice, "later")
    say(theirs, bob, "later")
    clock.shift(1)
    backup.incremental()
    done = together(*(lambda who=who: restore.account(who, moment) for who in (alice, bob, alice)))
    assert not [one for one in done if not isinstance(one, dict | Conflict)]
    for who, session in ((alice, mine), (bob, theirs)):
        restore.account(who, moment)
        assert len(texts(session)) == 1
