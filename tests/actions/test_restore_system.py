"""restore.system: the whole site, written over with what it was."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

from chathistory import keyring, maintenance
from chathistory.actions import (
    accounts,
    backup,
    erase,
    jobs,
    messages,
    purge,
    restore,
    sessions,
    tokens,
)
from chathistory.backups import rebuild, scratch, swap
from chathistory.backups.images import TABLES
from chathistory.exceptions import (
    ChatHistoryError,
    Conflict,
    Invalid,
    Maintenance,
    NotAllowed,
    Stale,
)
from chathistory.journal import Operation
from chathistory.models import Account, Backup, Job, Message, Session, Token
from chathistory.search.find import search
from tests.actions.restored import say, shown, texts, tick
from tests.living import START, indexed, picture

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]
on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="writes a SQLite file over")
on_postgres = pytest.mark.skipif(
    connection.vendor == "sqlite", reason="fills a PostgreSQL database"
)


@pytest.fixture
def clock(time_machine):
    time_machine.move_to(START, tick=False)
    return time_machine


@pytest.fixture
def moment(alice, bob, talk, clock):
    """A site with two people, backed up; the moment; then they go on."""
    mine, theirs = talk("lion", "roars", title="Mine"), talk("heron", user=bob, title="Theirs")
    backup.full()
    say(mine, alice, "in time")
    backup.incremental()
    moment = tick(clock)
    messages.edit(mine.messages.get(seq=1), alice, "tiger")
    say(theirs, bob, "too late")
    talk("new", title="New")
    clock.shift(1)
    return moment


@on_sqlite
def test_happy_everybody_is_back_and_the_index_finds_it(alice, bob, moment, home):
    report = restore.system(moment)
    assert shown(alice) == {"Mine": ("active", ["lion", "roars", "in time"])}
    assert shown(bob) == {"Theirs": ("active", ["heron"])}
    assert (report["errors"], report["counts"]["then"]["session"]) == ([], 2)
    words = {"lion": 1, "tiger": 0, "in": 1, "new": 0}
    assert {word: len(search(alice, word).hits) for word in words} == words
    assert all(indexed(accounts.of(one)) for one in (alice, bob))
    with connection.cursor() as cursor:
        assert cursor.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert list((home / "tmp").iterdir()) == []
    assert not maintenance.is_on()


@on_sqlite
def test_happy_life_goes_on_and_what_was_given_out_is_void(alice, moment, clock):
    epoch = accounts.of(alice).epoch
    restore.system(moment)
    account = accounts.of(alice)
    assert (account.epoch, account.shipped) == (epoch + 1, account.seq)  # a chain has begun
    session = Session.objects.select_related("account").get(account=account)
    say(session, alice, "on")
    assert texts(session)[-1] == "on"
    with pytest.raises(Stale) as error:
        sessions.rename(session, alice, "x", version=99)
    assert error.value.data["epoch"] == epoch + 1
    clock.shift(1)
    made = backup.incremental()
    assert (made.kind, made.number) == ("incremental", 1)


@on_sqlite
def test_happy_it_can_be_undone_with_the_backup_it_made_before(alice, bob, moment, clock):
    before, again = (shown(alice), shown(bob)), timezone.now()
    clock.shift(1)
    restore.system(moment)
    assert (shown(alice), shown(bob)) != before
    clock.shift(1)
    restore.system(again)
    assert (shown(alice), shown(bob)) == before
    clock.shift(1)
    restore.account(alice, moment)
    assert shown(alice)["Mine"] == ("active", ["lion", "roars", "in time"])


@on_sqlite
def test_happy_the_running_site_stays_as_it_is(alice, moment, clock):
    revoked = tokens.find(tokens.create(alice))
    good = tokens.create(alice)
    tokens.revoke(revoked, alice)
    job = jobs.run(accounts.of(alice), "import", {}, lambda: 1)
    dora = User.objects.create_user("dora")
    alice.email = "new@example.org"
    alice.save()
    listed = set(Backup.objects.values_list("name", flat=True))
    restore.system(moment)
    assert Token.objects.get(uuid=revoked.uuid).revoked_at is not None
    assert tokens.find(good).account == accounts.of(alice)
    assert Job.objects.get().uuid == job.uuid
    assert User.objects.get(pk=dora.pk).username == "dora"
    assert User.objects.get(username="alice").email == "new@example.org"
    assert listed < set(Backup.objects.values_list("name", flat=True))
    assert User.objects.create_user("emil").pk > dora.pk


@on_sqlite
def test_happy_who_was_erased_or_purged_since_stays_so(alice, bob, moment, talk):
    erase.erase(accounts.of(bob), None)
    session = Session.objects.get(uuid=Session.objects.filter(account__user=alice)[0].uuid)
    sessions.delete(session, alice)
    purge.purge(session, alice)
    restore.system(moment)
    assert shown(alice) == {}
    assert not Message.objects.exists()
    assert Account.objects.get(erased_at__isnull=False).user is None


@on_sqlite
@pytest.mark.parametrize("served", [False, True])
def test_happy_a_lost_database_comes_back_with_its_people(alice, bob, moment, home, clock, served):
    backup.incremental()
    clock.shift(1)
    latest = (shown(alice), shown(bob))
    now = timezone.now()
    name = connection.settings_dict["NAME"]
    kept = home / "kept.sqlite3"
    with closing(sqlite3.connect(name)) as link:
        link.execute("VACUUM INTO ?", [str(kept)])
    try:
        call_command("flush", interactive=False, verbosity=0)
        keyring.forget()
        if served:  # an empty site was, and has shipped what it has, before anybody noticed
            backup.full()
            accounts.system()
            clock.shift(1)
            now = timezone.now()
        restore.system(now)
        people = [User.objects.get(username=name) for name in ("alice", "bob")]
        assert tuple(map(shown, people)) == latest
        assert indexed(accounts.of(people[0]))
        assert Backup.objects.count() >= 3
    finally:
        connections.close_all()
        swap.write_over(kept, name)


@on_sqlite
def test_happy_a_dry_run_says_and_does_nothing(alice, bob, moment):
    before = (picture(accounts.of(alice)), picture(accounts.of(bob)), accounts.of(alice).epoch)
    report = restore.system(moment, dry_run=True)
    counts = report["counts"]
    assert (counts["then"]["session"], counts["now"]["session"]) == (2, 3)
    assert (counts["then"]["message"], counts["now"]["message"]) == (4, 6)
    after = (picture(accounts.of(alice)), picture(accounts.of(bob)), accounts.of(alice).epoch)
    assert before == after


def test_stranger_only_a_superuser_may(alice, nobody, moment):
    staff = User.objects.create_user("staff", is_staff=True)
    for user in (alice, staff, nobody):
        with pytest.raises(NotAllowed):
            restore.system(moment, user=user, into="postgres://x@y/z")


@pytest.mark.parametrize("at", [None, 3, "now"])
def test_malformed_times(at):
    with pytest.raises(Invalid):
        restore.system(at, into="postgres://nobody@127.0.0.1:1/nothing")


@pytest.mark.parametrize("into", ["mysql://x/y", "postgres://", "nonsense", "host=x"])
def test_malformed_addresses(moment, into):
    with pytest.raises(Invalid):
        restore.system(moment, into=into)


@on_sqlite
def test_malformed_a_file_of_sqlite_does_not_fill_postgresql(moment):
    with pytest.raises((Conflict, Invalid)):
        restore.system(moment, into="postgres://nobody@127.0.0.1:1/nothing")


@on_sqlite
def test_repeated_it_gives_the_same(alice, bob, moment, clock):
    restore.system(moment)
    first = (shown(alice), shown(bob))
    clock.shift(1)
    restore.system(moment)
    assert (shown(alice), shown(bob)) == first


@on_sqlite
def test_concurrent_words_are_refused_or_are_in_the_backup_made_before(
    alice, moment, time_machine, together
):
    """Nobody is told that something was stored which is then nowhere."""
    time_machine.move_to(timezone.now(), tick=True)
    session = Session.objects.select_related("account").get(
        title__isnull=False, account__user=alice, message_count=3
    )
    stop, said, refused = threading.Event(), [], []

    def talk() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                messages.append(session, alice, "user", f"word{number}")
            except (Maintenance, Conflict):
                refused.append(number)
                time.sleep(0.01)
            else:
                said.append((number, timezone.now()))

    def write_over() -> None:
        time.sleep(0.3)
        restore.system(moment)
        stop.set()

    done = together(talk, write_over)
    assert done == [None, None]
    assert refused
    kept = set(texts(session))
    gone = [(number, at) for number, at in said if f"word{number}" not in kept]
    assert gone
    # All that was said before is in the backups of before.
    restore.session(alice, session.uuid, gone[-1][1])
    assert {f"word{number}" for number, _ in gone} <= set(texts(session))


@on_sqlite
def test_concurrent_readers_see_the_old_or_the_new(alice, moment, together):
    stop, seen = threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            seen.add(Message.objects.count())

    def write_over() -> None:
        restore.system(moment)
        stop.set()

    assert together(read, write_over) == [None, None]
    assert seen <= {6, 4}


def test_concurrent_a_verb_is_refused_while_the_site_is_held(alice, talk):
    session = talk("lion")
    with maintenance.held():
        with pytest.raises(Maintenance) as error:
            messages.append(session, alice, "user", "no")
        assert error.value.data["retry_after"] > 0
        with pytest.raises(Conflict), maintenance.held():
            pass
    messages.append(session, alice, "user", "yes")
    with Operation(session.account, None, "test"):
        pass


@on_sqlite
def test_concurrent_who_dies_while_writing_over_leaves_the_old_rows(alice, moment, home, tmp_path):
    """Killed at a random moment of it, again and again: the old rows or the new ones."""
    name = str(connection.settings_dict["NAME"])
    copy, target = tmp_path / "copy.sqlite3", tmp_path / "live.sqlite3"
    for path in (copy, target):
        with closing(sqlite3.connect(name)) as link:
            link.execute("VACUUM INTO ?", [str(path)])
    with closing(sqlite3.connect(copy)) as link:
        link.execute("CREATE TABLE padding (x)")
        link.executemany("INSERT INTO padding VALUES (randomblob(?))", [[800]] * 40_000)
        link.commit()
    code = (
        "import sys, pathlib, django; django.setup(); from chathistory.backups import swap;"
        " print('go', flush=True);"
        " swap.write_over(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])); print('done')"
    )
    outcomes = set()
    for wait in (0, 0.005, 0.02, 0.05, 0.1, 5):
        environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
        command = [sys.executable, "-c", code, str(copy), str(target)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with closing(sqlite3.connect(target)) as link:
            (fine,) = link.execute("PRAGMA integrity_check").fetchone()
            named = "SELECT count(*) FROM sqlite_master WHERE name = 'padding'"
            (new,) = link.execute(named).fetchone()
            link.execute("DROP TABLE IF EXISTS padding")
            assert link.execute("SELECT count(*) FROM chathistory_message").fetchone() == (6,)
        assert fine == "ok"
        outcomes.add(new)
    assert outcomes == {0, 1}


@on_postgres
def test_happy_an_empty_database_is_filled(alice, bob, moment):
    told = connection.settings_dict
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS chathistory_restored")
        cursor.execute("CREATE DATABASE chathistory_restored")
    into = (
        f"postgres://{told['USER']}:{told['PASSWORD']}@/chathistory_restored"
        f"?host={told['HOST']}&port={told['PORT'] or 5432}"
    )
    report = restore.system(moment, into=into)
    assert sorted(report["errors"])[0].startswith("account")
    from chathistory import postgres

    with scratch.scratch(postgres.database(into), whole=True):
        assert Session.objects.count() == 2
        assert all(indexed(account) for account in Account.objects.filter(seq__gt=0))
        then = report["counts"]["then"]
        found = {name: model._base_manager.count() for name, model in TABLES.items()}
        # With it came the site's own account, which says when the new epoch began.
        assert found == then | {"account": then["account"] + 1}
        rows = Session.objects.select_related("account")
        said = sorted(text for row in rows for text in texts(row))
        assert said == ["heron", "in time", "lion", "roars"]
    with pytest.raises(Conflict):
        restore.system(moment, into=into)
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE chathistory_restored")


@on_sqlite
def test_malformed_a_disk_without_room_leaves_nothing(talk, clock, home, monkeypatch):
    talk("lion")
    backup.full()
    moment = tick(clock)
    monkeypatch.setattr(rebuild, "_ROOM", 1e12)
    with pytest.raises(ChatHistoryError, match=r"free|disk") as error:
        restore.system(moment)
    assert error.value.code == "unavailable"
    assert list((home / "tmp").iterdir()) == []
