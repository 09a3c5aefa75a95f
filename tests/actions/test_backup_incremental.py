"""backup.incremental: what changed since, as the next link of the chain."""

from __future__ import annotations

import random
import shutil
from datetime import timedelta

import pytest
import time_machine
from django.db import connections
from django.utils import timezone

from chathistory.actions import accounts, backup, jobs, messages, purge, restore, sessions
from chathistory.backups import container, keyfile, keysets, store
from chathistory.exceptions import Conflict, Damaged, Unavailable
from chathistory.journal import Operation
from chathistory.models import Account, Backup, Change, DataKey, Lease, Message, Session
from tests.actions import backed
from tests.living import START, VERBS, Life

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]


@pytest.fixture
def session(talk):
    """A session whose chain has its base."""
    made = talk("a heron", "a bird")
    backup.full()
    return made


def test_happy_it_holds_the_changes_and_the_rows_they_left(alice, session):
    base = Backup.objects.get()
    first = Change.objects.count() + 1
    said = messages.append(session, alice, "user", "and a stork?")
    made = backup.incremental()
    assert (made.kind, made.number, made.previous) == ("incremental", 1, base.name)
    assert (made.chain, made.account) == (base.chain, None)
    assert made.verified_at is not None
    lines = backed.lines(made)
    changes = [line for line in lines if line["t"] == "change"]
    assert [line["seq"] for line in changes] == list(range(first, Change.objects.count() + 1))
    found = backed.folded({}, lines)
    assert found.items() <= backed.state().items()
    assert [uuid for name, uuid in found if name == "message"] == [str(said.uuid)]
    assert ("session", str(session.uuid)) in found


def test_happy_links_follow_each_other_without_a_gap(alice, session):
    account = str(session.account.uuid)
    reached = backed.opened(Backup.objects.get()).manifest["vector"][account]
    for number in range(1, 4):
        messages.append(session, alice, "user", f"number {number}")
        made = backup.incremental()
        found = backed.opened(made)
        assert found.manifest["vector_before"] == {account: reached}
        reached = found.manifest["vector"][account]
        assert (made.number, reached) == (number, Account.objects.get(uuid=account).seq)
        assert found.moment == made.at == Account.objects.get(uuid=account).at
        assert found.since is not None
        assert found.since <= found.moment


def test_happy_folded_onto_their_base_they_are_the_site_as_it_is(alice, bob, monkeypatch):
    chance = random.Random(4)
    with time_machine.travel(START, tick=False) as clock:
        life, _ = Life(alice, bob, clock), accounts.system()
        backup.full()
        state, chain = backed.state(), 1
        for _ in range(6):
            life.live(
                (chance.choice(VERBS), chance.randrange(12), chance.randrange(400), 1000)
                for _ in range(30)
            )
            clock.shift(timedelta(seconds=1))
            monkeypatch.setattr(backup, "_DUE", timedelta(days=10_000))
            made = backup.incremental()
            assert made.number == chain
            state, chain = backed.folded(state, backed.lines(made)), chain + 1
            assert state == backed.state()
    assert {"purge", "session.pack"} & set(Change.objects.values_list("op", flat=True))


def test_happy_what_is_gone_is_named(alice, session):
    uuids = [str(uuid) for uuid in session.messages.values_list("uuid", flat=True)]
    purge.purge(sessions.delete(session, alice), alice)
    gone = [line for line in backed.lines(backup.incremental()) if line["t"] == "gone"]
    named = {(line["table"], line["row"]) for line in gone}
    assert named == {("session", str(session.uuid)), *(("message", uuid) for uuid in uuids)}


def test_happy_who_is_shared_with_comes_along(bob, session, invite):
    """Bob's account has no Change of its own."""
    share, grantee = invite(session, bob, "read"), accounts.of(bob)
    assert grantee.seq == 0
    with Operation(session.account, None, "share.grant") as op:
        share.changed = op.record("share", share.uuid, session=session)
        share.save()
    found = backed.folded({}, backed.lines(backup.incremental()))
    assert ("share", str(share.uuid)) in found
    assert found["account", str(grantee.uuid)]["user"] == "bob"


def test_happy_nothing_changed_is_nothing(alice, session, home):
    before = backed.files(home)
    assert backup.incremental() is None
    jobs.run(session.account, "noop", {}, dict)
    assert backup.incremental() is None
    assert backed.files(home) == before
    assert Backup.objects.count() == 1
    messages.append(session, alice, "user", "something")
    assert backup.incremental() is not None


def test_happy_without_a_chain_it_begins_one(talk):
    talk("a heron")
    made = backup.incremental()
    assert (made.kind, made.number) == ("full", 0)
    assert backup.incremental() is None


def test_happy_its_keys_are_in_the_key_sets(alice, session, talk):
    new = talk("a new session", "with a key of its own")
    backup.incremental()
    stored = DataKey.objects.get(session=new)
    found = keysets.load().data[keyfile.Name(new.account.uuid, "session", new.uuid, 1)]
    assert found.wrapped == bytes(stored.wrapped)


def test_happy_an_old_chain_gets_no_more_links(alice, session):
    messages.append(session, alice, "user", "two")
    with time_machine.travel(timezone.now() + timedelta(hours=31)):
        assert backup.incremental().kind == "full"
    assert backed.site() == [("full", 0), ("incremental", 1), ("full", 0)]


def test_stranger_with_the_files_reads_nothing(alice, session, home):
    messages.append(session, alice, "user", "an unmistakable stork")
    made = backup.incremental()
    packed = backed.path(home, made).read_bytes()
    for word in (b"stork", b"alice", str(session.uuid).encode(), b"message"):
        assert word not in packed
    base = Backup.objects.get(number=0)
    other = keysets.unwrap(base.name, bytes(base.key))
    with store.opened(backed.place(made)) as file, pytest.raises(Damaged):
        next(container.read(file, other))


def test_malformed_a_chain_whose_end_is_lost_or_wrong_is_left(alice, session, home):
    messages.append(session, alice, "user", "two")
    made = backup.incremental()
    for spoil in (lambda path: path.write_bytes(b"something else"), lambda path: path.unlink()):
        messages.append(session, alice, "user", "more")
        spoil(backed.path(home, made))
        made = backup.incremental()
        assert (made.kind, made.number) == ("full", 0)
        messages.append(session, alice, "user", "more")
        assert backup.incremental().chain == made.chain
        made = Backup.objects.order_by("-pk")[0]


def test_malformed_with_nothing_new_but_its_end_lost_it_begins_anew(alice, session, home):
    messages.append(session, alice, "user", "two")
    backed.path(home, backup.incremental()).unlink()
    made = backup.incremental()
    assert (made.kind, made.number) == ("full", 0)
    shutil.rmtree(home / "backups")
    assert backup.incremental().kind == "full"
    assert backup.incremental() is None


@pytest.mark.parametrize("said", [(), ("two",)])
def test_malformed_without_key_sets_it_begins_anew(alice, session, home, said):
    for content in said:
        messages.append(session, alice, "user", content)
    shutil.rmtree(home / "keys" / "sets")
    made = backup.incremental()
    assert made.kind == "full"
    assert keysets.load().containers.keys() >= set(Backup.objects.values_list("name", flat=True))
    assert backup.incremental() is None


def test_malformed_a_key_set_that_does_not_open_stops_nothing(alice, session, home):
    with time_machine.travel(timezone.now() - timedelta(days=20)):
        keysets.write_full({})
    old = sorted((home / "keys" / "sets").iterdir())[1]  # after the lock
    backed.flipped(old, 40)
    messages.append(session, alice, "user", "two")
    made = backup.incremental()
    assert (made.kind, made.number) == ("incremental", 1)
    at = timezone.now()
    assert backup.full().kind == "full"
    assert restore.account(alice, at, dry_run=True)["errors"] == []


def test_malformed_what_was_lost_between_name_and_list_ends_its_chain(
    alice, session, home, monkeypatch
):
    """Its key set is damaged: nothing may take its number, and backups go on all the same."""
    messages.append(session, alice, "user", "two")
    with monkeypatch.context() as patch:
        patch.setattr(backup, "_list", _die)
        with pytest.raises(KeyboardInterrupt):
            backup.incremental()
    backed.flipped(sorted((home / "keys" / "sets").glob("*.keys"))[-1], -1)
    made = backup.incremental()
    assert (made.kind, made.number) == ("full", 0)
    at = timezone.now()
    assert restore.account(alice, at, dry_run=True)["errors"] == []
    messages.append(session, alice, "user", "three")
    assert backup.incremental().chain == made.chain
    assert [one.number for one in store.places()].count(1) == 2


def test_malformed_a_site_that_was_restored_begins_a_chain(alice, session):
    Account.objects.update(epoch=2)
    messages.append(session, alice, "user", "two")
    made = backup.incremental()
    assert (made.kind, backed.opened(made).header["epoch"]) == ("full", 2)
    assert backed.site() == [("full", 0), ("full", 0)]


def test_malformed_a_storage_that_refuses_keeps_what_is_new_for_the_next(alice, session, home):
    messages.append(session, alice, "user", "two")
    folder = home / "backups" / ".drafts"
    folder.rmdir()
    folder.write_bytes(b"no folder")
    with pytest.raises(Unavailable, match="storage"):
        backup.incremental()
    folder.unlink()
    assert Backup.objects.count() == 1
    assert not Lease.objects.exists()
    assert backup.incremental().counts["message"] == 1


def test_happy_what_this_process_has_made_is_followed_without_a_list(alice, session, monkeypatch):
    messages.append(session, alice, "user", "two")
    backup.incremental()
    messages.append(session, alice, "user", "three")
    with monkeypatch.context() as patch:
        patch.setattr(store, "places", _die)
        assert backup.incremental().number == 2


def test_malformed_a_database_of_earlier_begins_a_chain(alice, session, monkeypatch):
    """The storage has more than is listed, and no key set here says so."""
    messages.append(session, alice, "user", "two")
    backup.incremental().delete()
    monkeypatch.setattr(keysets, "awaited", list)
    messages.append(session, alice, "user", "three")
    assert backup.incremental().kind == "full"


def test_malformed_what_else_lies_in_the_storage_is_no_matter(alice, session, home):
    base = Backup.objects.get()
    folder = home / "backups" / str(base.chain)
    (folder / "notes.txt").write_text("hello")
    (folder / "00000001-short.chat").write_text("hello")
    (home / "backups" / "archives").mkdir()
    messages.append(session, alice, "user", "two")
    assert backup.incremental().number == 1
    assert [at.number for at in store.places()] == [0, 1]


def test_repeated_there_is_nothing_the_second_time(alice, session):
    messages.append(session, alice, "user", "two")
    assert backup.incremental() is not None
    assert backup.incremental() is None
    assert backed.site() == [("full", 0), ("incremental", 1)]


@pytest.mark.parametrize("verb", ["full", "incremental"])
def test_repeated_after_a_kill_between_name_and_list_the_chain_goes_on(
    alice, session, home, monkeypatch, verb
):
    messages.append(session, alice, "user", "two")
    with monkeypatch.context() as patch:
        patch.setattr(backup, "_list", _die if verb == "incremental" else _die_at_a_base)
        with pytest.raises(KeyboardInterrupt):
            getattr(backup, verb)()
    listed = set(Backup.objects.values_list("name", flat=True))
    (lost,) = [at for at in store.places() if at.digest not in listed]
    messages.append(session, alice, "user", "three")
    made = backup.incremental()
    adopted = Backup.objects.get(name=lost.digest)
    assert (made.chain, made.number, made.previous) == (
        lost.chain,
        lost.number + 1,
        lost.digest,
    )
    assert adopted.verified_at is None
    assert backup.verify(adopted).verified_at is not None
    assert len(store.places()) == Backup.objects.count()
    before = backed.opened(adopted).manifest["vector"]
    assert backed.opened(made).manifest["vector_before"] == before


_list = backup._list


def _die(_made):
    raise KeyboardInterrupt


def _die_at_a_base(made):
    if made.row.kind == "full":
        raise KeyboardInterrupt
    _list(made)


def test_repeated_what_a_dead_process_left_is_removed(alice, session, home):
    for kind in (backup.SEGMENT, backup.FULL):
        (home / "backups" / ".drafts" / f"{kind}-abc").write_bytes(b"half")
    (home / "tmp" / "backup-abc.sqlite3").write_bytes(b"a copy")
    messages.append(session, alice, "user", "two")
    backup.incremental()
    backup.full()
    assert {str(at) for at in store.places()} == backed.files(home)
    assert not list((home / "tmp").iterdir())


def test_concurrent_ones_make_one_chain(alice, session, together):
    for turn in range(3):
        messages.append(session, alice, "user", f"number {turn}")
        made = together(*[backup.incremental] * 3)
        assert all(one is None or isinstance(one, Backup) for one in made), made
        assert sum(isinstance(one, Backup) for one in made) == 1
    assert backed.site() == [("full", 0)] + [("incremental", n) for n in (1, 2, 3)]


def test_concurrent_writers_and_a_full_backup(alice, session, together):
    def write() -> None:
        for number in range(15):
            messages.append(session, alice, "user", f"number {number}")

    def ship() -> None:
        for _ in range(6):
            backup.incremental()

    results = together(write, ship, backup.full)
    assert all(one is None or isinstance(one, Backup) for one in results), results
    backup.incremental()
    assert Message.objects.count() == 17
    _every_chain_is_whole()


def _every_chain_is_whole() -> None:
    for base in Backup.objects.filter(number=0):
        reached = backed.opened(base).manifest["vector"]
        previous = base
        for row in Backup.objects.filter(chain=base.chain, number__gt=0).order_by("number"):
            assert (row.number, row.previous) == (previous.number + 1, previous.name)
            manifest = backed.opened(row).manifest
            for account, seq in manifest["vector_before"].items():
                assert seq == reached.get(account, 0)
            reached |= manifest["vector"]
            previous = row
    newest = Account.objects.filter(seq__gt=0).values_list("uuid", "seq")
    assert reached == {str(uuid): seq for uuid, seq in newest}


def test_concurrent_another_one_that_lasts_is_told(alice, session, monkeypatch):
    monkeypatch.setattr(backup, "_PATIENCE", 0)
    Lease.objects.create(
        name=backup.SEGMENT, holder=session.uuid, until=timezone.now() + timedelta(seconds=30)
    )
    messages.append(session, alice, "user", "two")
    with pytest.raises(Conflict, match="being made"):
        backup.incremental()
    with time_machine.travel(timezone.now() + timedelta(minutes=1)):
        assert backup.incremental().number == 1
    assert not Lease.objects.exists()
    connections.close_all()


def test_sessions_that_did_not_change_are_not_in_it(alice, session, talk):
    talk("an old one")
    backup.incremental()
    messages.append(session, alice, "user", "two")
    found = backed.folded({}, backed.lines(backup.incremental()))
    assert [uuid for name, uuid in found if name == "session"] == [str(session.uuid)]
    assert Session.objects.count() == 2


def test_malformed_what_a_dead_process_published_and_is_damaged_begins_a_chain(
    alice, session, home, caplog
):
    backup.full()
    messages.append(session, alice, "user", "one")
    torn = backup.incremental()
    path = backed.path(home, torn)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-9])
    Backup.objects.filter(pk=torn.pk).delete()
    messages.append(session, alice, "user", "two")
    made = backup.incremental()
    assert (made.kind, made.number) == ("full", 0)
    assert torn.name in caplog.text
