"""Key sets: every key a backup needs, from files alone; and how they lapse."""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import time_machine
from django.utils import timezone

from chathistory import keyring, master
from chathistory.backups import keyfile, keysets, store
from chathistory.backups.store import Place
from chathistory.exceptions import Damaged, MasterKeyError, Unavailable
from chathistory.models import Account, Backup, DataKey, Session
from tests.actions import backed

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
DAY = timedelta(days=1)


@pytest.fixture
def session(talk):
    return talk("a heron", "a bird")


def somewhere(number: int = 0) -> Place:
    return Place(uuid4(), number, os.urandom(32).hex())


def kept(at: Place) -> Place:
    """Let the storage hold something at a place."""
    with store.draft("test") as file:
        store.publish(file, at)
    return at


def sets(home: Path) -> list[Path]:
    return sorted((home / "keys" / "sets").glob("*.keys"))


def of(session: Session) -> list:
    return [DataKey.objects.filter(session=session)]


def name_of(session: Session) -> keyfile.Name:
    return keyfile.Name(session.account.uuid, "session", session.uuid, 1)


def test_a_full_set_has_every_key_and_the_database_is_not_asked(session):
    at = somewhere()
    keysets.write_full({at.digest: b"k" * 32}, at)
    stored = list(DataKey.objects.values_list(*keysets._COLUMNS))
    DataKey.objects.all().delete()
    keys = keysets.load()
    assert keys.containers == {at.digest: b"k" * 32}
    assert keys.data == {keyfile.Name(*row[:4]): keyfile.Wrapped(*(row[4:])) for row in stored}
    assert {name.purpose for name in keys.data} == {"account", "search", "tag", "rows", "session"}


def test_what_it_has_opens_the_rows(session):
    keysets.write_full({})
    keys = keysets.load().data
    DataKey.objects.all().delete()
    keyring.forget()
    for name, row in keys.items():
        DataKey.objects.create(
            account=Account.objects.get(uuid=name.account),
            purpose=name.purpose,
            session=Session.objects.filter(uuid=name.session).first(),
            version=name.version,
            **row._asdict(),
        )
    assert keyring.session_key(session.account, session).raw


def test_a_delta_adds_to_it(session, talk):
    keysets.write_full({})
    new, at = talk("another"), somewhere(1)
    keysets.write({at.digest: b"s" * 32}, of(new), at)
    keys = keysets.load()
    assert keys.containers == {at.digest: b"s" * 32}
    assert {name_of(session), name_of(new)} <= keys.data.keys()


def test_the_newest_said_last_wins(session):
    keysets.write({"c": b"1" * 32}, of(session))
    DataKey.objects.filter(session=session).update(wrapped=b"newer")
    keysets.write({"c": b"2" * 32}, of(session))
    keys = keysets.load()
    assert keys.containers == {"c": b"2" * 32}
    assert keys.data[name_of(session)].wrapped == b"newer"


def test_files_are_sealed_named_by_their_hash_and_for_the_owner_alone(session, home):
    at = somewhere()
    keysets.write_full({at.digest: b"k" * 32}, at)
    (path,) = sets(home)
    packed = path.read_bytes()
    assert b"k" * 32 not in packed
    assert str(session.uuid).encode() not in packed
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert hashlib.sha256(packed).hexdigest() in path.name


def test_many_deltas_are_put_together(session, home, monkeypatch):
    monkeypatch.setattr(keysets, "_MANY", 3)
    keysets.write_full({})
    for number in range(8):
        keysets.write({f"{number}": bytes([number]) * 32}, of(session))
    assert len(sets(home)) < 5
    assert set(keysets.load().containers) == set("01234567")


def test_a_full_set_keeps_what_the_storage_holds_and_what_is_on_its_way(session, home):
    there, gone, coming = kept(somewhere()), somewhere(), somewhere()
    keysets.write_full({there.digest: b"t" * 32, gone.digest: b"g" * 32})
    keysets.write({coming.digest: b"c" * 32}, [])
    with time_machine.travel(timezone.now() + DAY):
        keysets.write_full({})
        keysets.lapse()
    assert keyfile.read(sets(home)[-1]).containers.keys() == {there.digest, coming.digest}
    with time_machine.travel(timezone.now() + 2 * DAY):
        keysets.write_full({})
    assert keyfile.read(sets(home)[-1]).containers.keys() == {there.digest}


def test_erased_keys_lapse_in_30_days(session, home):
    start = timezone.now()
    with time_machine.travel(start, tick=False):
        keysets.write_full({})
        keysets.write({}, of(session))
    DataKey.objects.filter(session=session).delete()
    for day in range(1, 33):
        with time_machine.travel(start + day * DAY, tick=False):
            keysets.write_full({})
            keysets.lapse()
            is_there = name_of(session) in keysets.load().data
            assert is_there == (day < 30), day
    assert len(sets(home)) <= 31


def test_a_set_stays_until_a_newer_full_one_is_there(session, home):
    keysets.write_full({})
    with time_machine.travel(timezone.now() + 90 * DAY):
        assert keysets.lapse() == []
        keysets.write({}, of(session))
        assert keysets.lapse() == []
        keysets.write_full({})
        assert len(keysets.lapse()) == 2
    assert len(sets(home)) == 1


def test_lapsing_says_when_each_set_is_gone_at_the_latest(session, home):
    now = timezone.now()
    with time_machine.travel(now, tick=False):
        keysets.write_full({})
        keysets.write({}, of(session))
        said = dict(keysets.lapsing())
    assert set(said) == {path.name for path in sets(home)}
    assert all(abs(when - now - 30 * DAY) < timedelta(seconds=1) for when in said.values())


def test_a_clock_set_back_changes_no_order_and_one_set_ahead_keeps_nothing_longer(session, home):
    now = timezone.now()
    with time_machine.travel(now + 400 * DAY):
        keysets.write_full({"c": b"1" * 32})
    with time_machine.travel(now):
        keysets.write({"c": b"2" * 32}, of(session))
        assert keysets.load().containers == {"c": b"2" * 32}
        keysets.write_full({})
        assert all(when <= now + 30 * DAY for _, when in keysets.lapsing())
        keysets.lapse()
    assert len(sets(home)) == 1


def test_awaited_names_the_places_of_the_newest_sets(session):
    assert keysets.awaited() == []
    first, second = somewhere(), somewhere(1)
    keysets.write_full({first.digest: b"k" * 32}, first)
    keysets.write({}, of(session))
    keysets.write({second.digest: b"k" * 32}, [], second)
    assert keysets.awaited() == [second, first]


def test_a_key_of_a_container_is_bound_to_its_name():
    master.create_file()
    wrapped = keysets.wrap("name", b"k" * 32)
    assert keysets.unwrap("name", wrapped) == b"k" * 32
    with pytest.raises(Damaged):
        keysets.unwrap("other", wrapped)


def test_every_damaged_set_is_named(session, home):
    keysets.write_full({})
    (path,) = sets(home)
    packed = path.read_bytes()
    for at in range(0, len(packed), 7):
        path.write_bytes(packed[:at] + bytes([packed[at] ^ 1]) + packed[at + 1 :])
        with pytest.raises(Damaged, match=path.name):
            keysets.load()
    path.write_bytes(packed[:-1])
    with pytest.raises(Damaged, match=path.name):
        keysets.load()


def spoil(path: Path, at: int) -> None:
    packed = path.read_bytes()
    at %= len(packed)
    path.write_bytes(packed[:at] + bytes([packed[at] ^ 1]) + packed[at + 1 :])


@pytest.mark.parametrize("at", [0, 5, 40, -1])
def test_one_that_does_not_open_is_told_and_the_others_serve(session, home, caplog, at):
    """Damaged anywhere: nothing can be read of it, its header says nothing, or it does not open."""
    there, coming, new = kept(somewhere()), somewhere(1), somewhere(2)
    keysets.write_full({"old": b"o" * 32})
    keysets.write_full({there.digest: b"t" * 32}, there)
    spoil(sets(home)[0], at)
    assert set(keysets.load().containers) == {there.digest}
    assert sets(home)[0].name in caplog.text
    keysets.write({coming.digest: b"c" * 32}, of(session), coming)
    keysets.write_full({new.digest: b"n" * 32}, new)
    full = keyfile.read(sets(home)[-1])
    assert set(full.containers) == {there.digest, coming.digest, new.digest}
    assert name_of(session) in full.data


def test_a_damaged_delta_is_not_thrown_away_when_others_are_put_together(
    session, home, monkeypatch
):
    monkeypatch.setattr(keysets, "_MANY", 3)
    keysets.write_full({})
    for number in range(3):
        keysets.write({f"{number}": bytes([number]) * 32}, of(session))
    spoiled = sets(home)[2]
    spoil(spoiled, -1)
    keysets.write({"3": b"3" * 32}, of(session))
    assert spoiled.exists()
    assert set(keysets.load().containers) == {"0", "2", "3"}


def test_one_that_the_disk_does_not_give_is_told_too(session, home, caplog):
    keysets.write_full({"c": b"1" * 32})
    folder = home / "keys" / "sets" / sets(home)[0].name.replace("2", "1", 1)
    folder.mkdir()
    assert keysets.load().containers == {"c": b"1" * 32}
    keysets.write_full({})
    assert folder.name in caplog.text


def test_what_is_not_named_as_a_set_is_told_and_no_matter(session, home, caplog):
    keysets.write_full({"c": b"1" * 32})
    (path,) = sets(home)
    copy = path.with_name(f"copy of {path.name}")
    copy.write_bytes(path.read_bytes())
    assert keysets.load().containers == {"c": b"1" * 32}
    assert copy.name in caplog.text
    keysets.write_full({})
    with time_machine.travel(timezone.now() + 90 * DAY):
        keysets.write_full({})
        assert copy.name not in keysets.lapse()
    assert copy.exists()


def test_one_whose_header_says_nothing_lapses_with_the_others(session, home):
    keysets.write_full({})
    spoil(sets(home)[0], 0)
    name = sets(home)[0].name
    assert name in dict(keysets.lapsing())
    with time_machine.travel(timezone.now() + 31 * DAY):
        keysets.write_full({})
        assert keysets.lapse() == [name]


def test_another_sets_header_does_not_open_it(session, home, caplog):
    """Two sets under one master key: the key of one is none of the other."""
    keysets.write_full({})
    keysets.write({}, of(session))
    one, other = (path.read_bytes() for path in sets(home))
    size = 14 + int.from_bytes(other[10:14], "big")
    swapped = other[:size] + one[14 + int.from_bytes(one[10:14], "big") :]
    path = sets(home)[0]
    path.unlink()
    digest = hashlib.sha256(swapped).hexdigest()
    (path.parent / f"{path.name[:22]}-{digest}.keys").write_bytes(swapped)
    assert keysets.load().data.keys() >= {name_of(session)}
    assert digest in caplog.text
    sets(home)[-1].unlink()
    with pytest.raises(Damaged, match=digest):
        keysets.load()


def test_a_missing_master_key_is_named(session, settings):
    settings.CHATHISTORY_MASTER_KEYS = [("old-one", b"o" * 32)]
    keysets.write({"c": b"k" * 32}, [])
    settings.CHATHISTORY_MASTER_KEYS = [("new-one", b"n" * 32)]
    with pytest.raises(MasterKeyError, match="old-one"):
        keysets.load()
    keysets.write({"d": b"d" * 32}, [])
    assert keysets.load().containers == {"d": b"d" * 32}
    settings.CHATHISTORY_MASTER_KEYS = [("new-one", b"n" * 32), ("old-one", b"o" * 32)]
    assert keysets.load().containers == {"c": b"k" * 32, "d": b"d" * 32}


def test_a_listed_key_whose_master_key_is_missing_is_left_out_and_told(settings, caplog):
    settings.CHATHISTORY_MASTER_KEYS = [("old-one", b"o" * 32)]
    old, new = kept(somewhere()), kept(somewhere())
    Backup.objects.create(name=old.digest, chain=old.chain, kind="full", at=timezone.now())
    Backup.objects.update(key=keysets.wrap(old.digest, b"o" * 32))
    settings.CHATHISTORY_MASTER_KEYS = [("new-one", b"n" * 32)]
    keysets.write_full({new.digest: b"n" * 32}, new)
    assert keysets.load().containers == {new.digest: b"n" * 32}
    assert old.digest in caplog.text
    assert "old-one" in caplog.text


def test_a_disk_that_refuses_is_told_and_leaves_nothing(session, home):
    keysets.write_full({})
    before = sets(home)
    folder = home / "keys" / "sets"
    (folder / ".draft").mkdir()  # nothing can be written by that name
    with pytest.raises(Unavailable, match="key sets"):
        keysets.write({}, of(session))
    (folder / ".draft").rmdir()
    assert sets(home) == before
    keysets.write({}, of(session))
    assert len(sets(home)) == 2


def test_what_a_dead_writer_left_is_no_set(session, home):
    keysets.write_full({})
    (home / "keys" / "sets" / ".draft").write_bytes(b"half a ")
    assert keysets.load().data
    keysets.write({}, of(session))
    assert not (home / "keys" / "sets" / ".draft").exists()


@pytest.mark.django_db(transaction=True)
def test_concurrent_writers_lose_no_key(session, together, home):
    names = [os.urandom(32).hex() for _ in range(12)]
    wrote = together(*[lambda name=name: keysets.write({name: b"k" * 32}, []) for name in names])
    assert wrote == [None] * 12
    assert set(keysets.load().containers) == set(names)
    together(*[lambda: keysets.write_full({}), lambda: keysets.write({"late": b"k" * 32}, [])])
    keysets.lapse()
    assert set(keysets.load().containers) == {*names, "late"}


def test_the_newest_sets_alone_unless_one_does_not_open(session, home):
    keysets.write_full({"a" * 64: b"a" * 32})
    keysets.write({"b" * 64: b"b" * 32}, of(session))
    keysets.write_full({})
    keysets.write({"c" * 64: b"c" * 32}, of(session))
    assert keysets.load(newest=True).containers.keys() == {"b" * 64, "c" * 64}
    assert keysets.load().containers.keys() == {"a" * 64, "b" * 64, "c" * 64}
    backed.flipped(sets(home)[-1], -1)
    assert keysets.load(newest=True).containers.keys() == {"a" * 64, "b" * 64}


def test_keys_of_containers_come_from_older_sets_where_they_must(session, home):
    keysets.write_full({"a" * 64: b"a" * 32})
    keysets.write_full({})
    assert keysets.containers([]) == {}
    assert keysets.containers(["a" * 64]) == {"a" * 64: b"a" * 32}
