"""Restores past new people, lost disks and restores: each moment is what it was, or is refused."""

from __future__ import annotations

from contextlib import closing
from sqlite3 import connect
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

from chathistory import keyring
from chathistory.actions import accounts, backup, exchange, messages, purge, restore, sessions
from chathistory.backups import swap
from chathistory.exceptions import NotFound
from chathistory.formats.base import Transcript, Turn
from chathistory.models import Backup, Lease, Session
from tests.actions import backed
from tests.actions.restored import say, shown, texts, tick
from tests.living import START

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]
on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="writes a SQLite file over")


@pytest.fixture(autouse=True)
def clock(time_machine):
    time_machine.move_to(START, tick=False)
    return time_machine


@pytest.fixture
def lose(home):
    """Lose the database as a disk is lost, and migrate anew; the tests' own comes back after."""
    name, kept = connection.settings_dict["NAME"], home / "kept.sqlite3"
    with closing(connect(name)) as link:
        link.execute("VACUUM INTO ?", [str(kept)])

    def lost() -> None:
        call_command("flush", interactive=False, verbosity=0)
        keyring.forget()

    yield lost
    connections.close_all()
    swap.write_over(kept, name)


# New people


def test_a_person_who_came_after_the_base(alice, bob, talk, clock):
    talk("lion", title="Mine")
    backup.full()
    clock.shift(100)
    theirs = talk("heron", user=bob, title="Theirs")
    backup.incremental()
    moment = tick(clock)
    messages.append(theirs, bob, "user", "too late")
    backup.full()
    clock.shift(1)
    report = restore.account(bob, moment)
    assert (report["errors"], report["messages_removed"]) == ([], 1)
    assert shown(bob) == {"Theirs": ("active", ["heron"])}


@on_sqlite
def test_the_site_with_a_person_who_came_after_the_base(alice, bob, talk, clock):
    talk("lion", title="Mine")
    backup.full()
    clock.shift(100)
    talk("heron", user=bob, title="Theirs")
    backup.incremental()
    moment = tick(clock)
    talk("too late", user=bob)
    clock.shift(1)
    assert restore.system(moment)["errors"] == []
    assert shown(bob) == {"Theirs": ("active", ["heron"])}


# Lost disks


@on_sqlite
def test_restored_twice_after_a_lost_disk_everybody_is_there(alice, talk, clock, lose):
    talk("lion", title="Mine")
    backup.full()
    clock.shift(1)
    lose()
    for _ in range(2):
        restore.system(timezone.now())
        clock.shift(1)
        assert shown(User.objects.get(username="alice")) == {"Mine": ("active", ["lion"])}


@on_sqlite
def test_lost_again_before_anything_was_said(alice, talk, clock, lose):
    talk("lion", title="Mine")
    backup.full()
    for _ in range(2):
        clock.shift(1)
        lose()
        backup.full()  # of the empty one
        clock.shift(1)
        restore.system(timezone.now())
        assert shown(User.objects.get(username="alice")) == {"Mine": ("active", ["lion"])}


@on_sqlite
def test_what_was_not_shipped_is_not_said_to_be_there(alice, talk, clock, lose):
    session = talk("lion", title="Mine")
    backup.full()
    clock.shift(60)
    say(session, alice, "not shipped")
    clock.shift(1)
    lose()
    report = restore.system(timezone.now())
    assert report["as_of"] == START.isoformat()
    assert report["errors"] == []


@on_sqlite
def test_what_else_lies_in_the_storage_is_an_error_of_a_restore_that_was_done(
    alice, talk, clock, lose, home
):
    session = talk("lion", title="Mine")
    backup.full()
    say(session, alice, "and")
    backup.incremental()
    torn = backup.full(alice, accounts.of(alice))
    clock.shift(1)
    lose()
    path = backed.path(home, torn)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-9])
    report = restore.system(timezone.now())
    assert len(report["errors"]) == 1
    assert torn.name in report["errors"][0]
    assert shown(User.objects.get(username="alice")) == {"Mine": ("active", ["lion", "and"])}


@on_sqlite
def test_nobody_is_at_work_in_a_restored_site(alice, talk, clock, lose):
    talk("lion", title="Mine")
    Lease.objects.create(name="anything", holder=uuid4(), until=timezone.now())
    backup.full()
    clock.shift(1)
    lose()
    restore.system(timezone.now())
    assert not Lease.objects.exists()


# After a restore


@on_sqlite
@pytest.mark.parametrize("ships", [True, False])
def test_a_moment_after_a_restore_is_of_the_time_that_began_with_it(
    alice, talk, clock, monkeypatch, ships
):
    session = talk("before", title="Mine")
    backup.full()
    first = tick(clock)
    say(session, alice, "unwanted")
    backup.incremental()
    clock.shift(1)
    if not ships:
        monkeypatch.setattr(restore, "_begin_chain", lambda _same: [])
    restore.system(first)
    clock.shift(1)
    live = Session.objects.select_related("account").get()
    say(live, alice, "new")
    second = tick(clock)
    say(live, alice, "newer")
    clock.shift(1)
    restore.session(alice, live.uuid, second)
    assert texts(live) == ["before", "new"]
    clock.shift(1)
    restore.session(alice, live.uuid, first)
    assert texts(live) == ["before"]


@on_sqlite
def test_a_time_before_the_first_person_keeps_who_may_sign_in(talk, clock):
    accounts.system()
    backup.full()
    moment = tick(clock)
    clock.shift(100)
    boss = User.objects.create_superuser("boss")
    sessions.create(boss, "tutor")
    clock.shift(1)
    restore.system(moment)
    assert set(User.objects.values_list("username", flat=True)) == {"alice", "boss"}
    assert not Session.objects.exists()


# A lost segment


def test_a_lost_segment_blocks_no_moment_before_it(alice, talk, clock, home):
    session = talk("one", title="Mine")
    backup.full()
    moment = tick(clock)
    made = []
    for word in ("two", "three", "four"):
        clock.shift(100)
        say(session, alice, word)
        made.append(backup.incremental())
    backed.path(home, made[2]).unlink()
    clock.shift(1)
    restore.account(alice, moment)
    assert texts(session) == ["one"]
    assert Backup.objects.filter(name=made[2].name).exists()


# Purged, and imported again


def _chat(alice) -> Session:
    turn = Turn("one", None, "user", "lion")
    exchange.import_transcripts(alice, [Transcript("bench", "x", workflow="tutor", turns=[turn])])
    return Session.objects.select_related("account").get(account__user=alice)


def _purge(session: Session, alice) -> None:
    sessions.delete(session, alice)
    purge.purge(Session.objects.select_related("account").get(pk=session.pk), alice)


def test_a_chat_that_was_purged_and_imported_again_is_kept(alice, clock):
    first = _chat(alice)
    backup.full()
    clock.shift(1)
    _purge(first, alice)
    clock.shift(1)
    again = _chat(alice)
    assert again.uuid == first.uuid
    backup.incremental()
    late = tick(clock)
    say(again, alice, "later")
    clock.shift(1)
    report = restore.session(alice, again.uuid, late)
    assert (report["errors"], report["messages_removed"]) == ([], 1)
    assert texts(again) == ["lion"]
    report = restore.account(alice, late)
    assert (report["errors"], report["sessions_removed"]) == ([], 0)
    assert texts(again) == ["lion"]


@pytest.mark.parametrize("was_purged", [False, True])
def test_before_a_purged_chat_came_again_it_was_not_there(alice, clock, was_purged):
    first = _chat(alice)
    backup.full()
    before = tick(clock)
    _purge(first, alice)
    after = tick(clock)
    again = _chat(alice)
    backup.incremental()
    clock.shift(1)
    moment = after if was_purged else before
    with pytest.raises(NotFound):
        restore.session(alice, again.uuid, moment)
    assert texts(again) == ["lion"]
    report = restore.account(alice, moment)
    assert (report["errors"], report["sessions_removed"]) == ([], 1)
    assert (report["messages_removed"], report["sessions_recovered"]) == (0, 0)
