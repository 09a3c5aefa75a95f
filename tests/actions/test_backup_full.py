"""backup.full: the whole site, one account or one session, sealed and read back."""

from __future__ import annotations

import sqlite3
import threading

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection

from chathistory import leases
from chathistory.actions import accounts, backup, messages, sessions
from chathistory.backups import capture, contents, keysets, store
from chathistory.exceptions import Conflict, NotAllowed, NotFound, Unavailable
from chathistory.models import Account, Backup, Change, DataKey, Lease, Message, Session
from tests.actions import backed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]
ON_SQLITE = connection.vendor == "sqlite"


@pytest.fixture
def staff(db):
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="add_backup"))
    return user


def counts(*models):
    return {name: model._base_manager.count() for name, model in models}


def test_happy_the_whole_site_is_sealed_verified_and_listed(talk, home):
    talk("a heron", "a bird")
    made = backup.full()
    assert (made.kind, made.number, made.previous, made.account) == ("full", 0, "", None)
    assert made.verified_at is not None
    assert made.at == Account.objects.get(user__isnull=False).at
    assert backed.files(home) == {str(backed.place(made))}
    assert backed.path(home, made).stat().st_size == made.size
    wanted = (("session", Session), ("message", Message), ("change", Change))
    assert counts(*wanted).items() <= made.counts.items()
    assert Backup.objects.get() == made
    assert list((home / "tmp").iterdir()) == []


@pytest.mark.skipif(not ON_SQLITE, reason="PostgreSQL has no file to copy")
def test_happy_on_sqlite_it_is_the_file_without_its_keys(talk, home):
    session = talk("a heron", "a bird")
    made = backup.full()
    with contents.opened(backed.place(made), keysets.load().containers[made.name]) as found:
        whole = b"".join(found.pieces())
    (home / "copy").write_bytes(whole)
    copy = sqlite3.connect(home / "copy")
    assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert copy.execute("SELECT count(*) FROM chathistory_datakey").fetchone() == (0,)
    assert copy.execute("SELECT count(*) FROM chathistory_message").fetchone() == (2,)
    copy.close()
    body = session.messages.earliest("seq").body
    assert bytes(body) in whole  # what is looked for would be found
    keys = [bytes(key.wrapped or key.master_wrapped) for key in DataKey.objects.all()]
    assert len(keys) == 5
    assert not any(key[12:] in whole for key in keys)


@pytest.mark.skipif(ON_SQLITE, reason="SQLite's is a file")
def test_happy_on_postgresql_it_is_every_row_and_change(talk, invite, bob):
    invite(talk("a heron", "a bird"), bob, "read")
    made = backup.full()
    said = backed.lines(made)
    assert backed.folded({}, said) == backed.state()
    assert sum(line["t"] == "change" for line in said) == Change.objects.count()


def test_happy_one_account_has_its_rows_and_no_other_ones(alice, bob, talk, invite):
    mine, theirs = talk("a heron", "a bird"), talk("a stork", user=bob)
    sessions.tag(mine, alice, ["birds"])
    invite(mine, bob, "read")
    made = backup.full(alice, accounts.of(alice))
    said = backed.folded({}, backed.lines(made))
    assert {name for name, _ in said} == {"account", "tag", "session", "message", "share"}
    assert ("session", str(theirs.uuid)) not in said
    assert {row["user"] for (name, _), row in said.items() if name == "account"} == {"alice", "bob"}
    assert said.items() <= backed.state().items()
    assert (made.account, made.session) == (accounts.of(alice), None)
    assert made.at == accounts.of(alice).at
    keys = keysets.load().data
    assert {name.account for name in keys} == {made.account.uuid}


def test_happy_one_session(alice, talk):
    mine, other = talk("a heron", "a bird"), talk("a stork")
    sessions.tag(mine, alice, ["birds"])
    sessions.tag(other, alice, ["others"])
    made = backup.full(alice, session=mine)
    said = backed.folded({}, backed.lines(made))
    assert [name for name, _ in said] == ["account", "tag", "session", "message", "message"]
    assert made.session == mine.uuid
    assert [name.session for name in keysets.load().data if name.purpose == "session"] == [
        mine.uuid
    ]


def test_happy_no_word_and_no_name_is_in_any_file(alice, talk, home):
    session = talk("an unmistakable heron", "a bird", title="feathers")
    sessions.tag(session, alice, ["waders"])
    backup.full()
    backup.full(alice, session=session)
    packed = b"".join(one.read_bytes() for one in home.rglob("*") if one.is_file())
    for word in (b"heron", b"bird", b"feathers", b"waders", b"alice"):
        assert word not in packed


def test_happy_staff_back_up_everybody_and_anyone(staff, alice, talk):
    session = talk("a heron")
    assert backup.full(staff).account is None
    assert backup.full(staff, session.account).account == session.account


def test_stranger_backs_up_nothing_of_others(bob, charlie, nobody, talk, invite, home):
    session = talk("mine")
    invite(session, bob, "read", "write", "edit", "delete")
    for user in (bob, charlie, nobody):
        with pytest.raises(NotFound):
            backup.full(user, session.account)
        with pytest.raises(NotAllowed):
            backup.full(user)
    for user in (charlie, nobody):
        with pytest.raises(NotFound):
            backup.full(user, session=session)
    with pytest.raises(NotAllowed):
        backup.full(bob, session=session)
    assert not Backup.objects.exists()
    assert not (home / "backups").exists()


def test_malformed_a_session_of_another_account_and_an_erased_one(alice, bob, talk):
    session, other = talk("mine"), accounts.of(bob)
    with pytest.raises(NotFound):
        backup.full(None, other, session)
    Account.objects.filter(pk=other.pk).update(erased_at=other.created_at)
    other.refresh_from_db()
    with pytest.raises(Conflict, match="erased"):
        backup.full(None, other)
    assert not Backup.objects.exists()


@pytest.mark.parametrize("what", ["backups", "tmp", "keys/sets"])
def test_malformed_where_nothing_can_be_written_nothing_is_left(talk, home, what):
    talk("a heron")
    backup.full()
    before, kept = backed.files(home), keysets.load()
    where = home / what
    aside = where.rename(where.with_name("aside"))
    where.write_bytes(b"no folder")
    with pytest.raises(Unavailable):
        backup.full()
    where.unlink()
    aside.rename(where)
    assert backed.files(home) == before
    assert keysets.load() == kept
    assert len(backed.site()) == 1
    assert not Lease.objects.exists()
    backup.full()
    assert len(backed.site()) == 2


def test_repeated_each_begins_a_chain_and_closes_the_one_before(alice, talk):
    session = talk("one")
    first = backup.full()
    messages.append(session, alice, "user", "two")
    second = backup.full()
    assert backed.site() == [("full", 0), ("incremental", 1), ("full", 0)]
    assert first.chain != second.chain
    closing = Backup.objects.get(number=1)
    assert (closing.chain, closing.previous) == (first.chain, first.name)
    assert closing.counts["message"] == 1
    assert not capture.anything_new()
    assert {one.digest for one in store.places()} == keysets.load().containers.keys()


def test_repeated_what_is_written_meanwhile_is_in_both_chains(alice, talk, monkeypatch):
    """Between the copy and its listing: the old chain has it, and the new one gets it next."""
    session = talk("one")
    backup.full()
    prove = contents.prove

    def late(*given):
        monkeypatch.setattr(contents, "prove", prove)
        messages.append(session, alice, "user", "two")
        return prove(*given)

    monkeypatch.setattr(contents, "prove", late)
    new = backup.full()
    assert new.counts["message"] == 1
    assert Backup.objects.get(number=1).counts["message"] == 1
    following = backup.incremental()
    assert (following.chain, following.counts["message"]) == (new.chain, 1)


def test_concurrent_one_waits_or_says_so(talk, together, home, monkeypatch):
    talk("a heron")
    monkeypatch.setattr(backup, "_PATIENCE", 0)
    made = together(*[backup.full] * 3)
    assert any(isinstance(one, Backup) for one in made)
    assert all(isinstance(one, Backup | Conflict) for one in made), made
    monkeypatch.setattr(backup, "_PATIENCE", 30)
    assert all(isinstance(one, Backup) for one in together(*[backup.full] * 2))
    assert {str(one) for one in store.places()} == backed.files(home)
    assert len(store.places()) == Backup.objects.count()
    assert not Lease.objects.exists()


def test_concurrent_writers_are_not_held_up_and_lose_nothing(alice, talk, together):
    session = talk("one")
    done = threading.Event()

    def write() -> int:
        wrote = 0
        while not done.is_set():
            wrote += bool(messages.append(session, alice, "user", f"number {wrote}"))
        return wrote

    def back_up() -> None:
        try:
            backup.full()
        finally:
            done.set()

    wrote, failed = together(write, back_up)
    assert failed is None
    assert wrote > 0
    backup.incremental()
    last = Backup.objects.order_by("-pk")[0]
    vector = backed.opened(last).manifest["vector"]
    assert vector[str(session.account.uuid)] == Account.objects.get(pk=session.account_id).seq


def test_concurrent_a_lease_that_was_lost_lists_nothing(talk, home, monkeypatch):
    talk("a heron")
    monkeypatch.setattr(leases.Hold, "sure", _stolen(leases.Hold.sure))
    with pytest.raises(Conflict, match="taken"):
        backup.full()
    assert backed.files(home) == set()
    assert not Backup.objects.exists()


def _stolen(sure):
    def steal(hold):
        Lease.objects.filter(name=hold.name).update(holder=hold.holder.int.to_bytes(16)[::-1].hex())
        sure(hold)

    return steal


def test_how_far_it_is_is_told(talk):
    talk("a heron")
    steps: list[tuple[int, int | None]] = []
    backup.full(step=lambda done, total=None: steps.append((done, total)))
    assert bool(steps) == ON_SQLITE
    if steps:
        assert steps == sorted(steps)
        assert steps[-1][0] >= steps[-1][1] > 0


def test_who_stops_it_leaves_nothing(talk, home):
    talk("a heron")

    def stop(*_):
        raise KeyboardInterrupt

    if ON_SQLITE:
        with pytest.raises(KeyboardInterrupt):
            backup.full(step=stop)
        assert backed.files(home) == set()
        assert list((home / "tmp").iterdir()) == []
        assert not Lease.objects.exists()
