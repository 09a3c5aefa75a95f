"""archives.restore: an archive's sessions come back, and what is there stays."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from chathistory import ledger, records
from chathistory.actions import archives, messages, sessions
from chathistory.actions.planning import Planner
from chathistory.exceptions import Damaged, Invalid, NotAllowed
from chathistory.models import Message, Session
from tests.actions.archived import plain


def stored(user, folder):
    return archives.store(archives.prepare(user), folder).read_bytes()


def test_happy_what_was_lost_comes_back(alice, talk, tmp_path):
    session = talk("a lion", "roars", title="Savanna")
    packed = stored(alice, tmp_path)
    Session.objects.all().delete()
    found = archives.restore(alice, io.BytesIO(packed))
    assert found == {"sessions_recovered": 1, "messages_recovered": 2, "errors": []}
    back = Session.objects.get()
    assert back.uuid == session.uuid
    assert back.messages.count() == 2


def test_happy_a_plain_one_comes_into_another_account(alice, bob, talk):
    talk("a lion", "roars")
    packed = plain(archives.prepare(alice).pieces())
    found = archives.restore(bob, io.BytesIO(packed))
    assert found["messages_recovered"] == 2
    assert Session.objects.mine(bob).count() == 1


def test_happy_what_came_after_stays(alice, talk, tmp_path):
    session = talk("a lion")
    packed = stored(alice, tmp_path)
    messages.append(session, alice, "user", "after")
    assert archives.restore(alice, io.BytesIO(packed))["messages_recovered"] == 0
    assert Message.objects.count() == 2


def test_happy_a_dry_run_says_and_does_nothing(alice, talk, tmp_path):
    talk("a lion")
    packed = stored(alice, tmp_path)
    Session.objects.all().delete()
    found = archives.restore(alice, io.BytesIO(packed), dry_run=True)
    assert found["messages_recovered"] == 1
    assert not Session.objects.exists()


def test_stranger_without_a_name_gets_nothing(alice, nobody, talk):
    talk("a lion")
    packed = plain(archives.prepare(alice).pieces())
    with pytest.raises(NotAllowed):
        archives.restore(nobody, io.BytesIO(packed))


def test_malformed_every_damage_is_refused(alice, talk, tmp_path):
    talk("a lion")
    packed = stored(alice, tmp_path)
    Session.objects.all().delete()
    for at in [*range(0, len(packed), 7), len(packed) - 1]:
        changed = bytearray(packed)
        changed[at] ^= 1
        with pytest.raises((Damaged, Invalid, archives.NotFound)):
            archives.restore(alice, io.BytesIO(bytes(changed)))
    for end in (0, 5, 40, len(packed) // 2, len(packed) - 1):
        with pytest.raises((Damaged, Invalid)):
            archives.restore(alice, io.BytesIO(packed[:end]))
    assert not Session.objects.exists()


def test_malformed_zips_that_are_no_archive(alice):
    for name in ("sessions/../../etc/passwd.json", "/sessions/x.json", "other.txt"):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(name, "{}")
        with pytest.raises(Invalid):
            archives.restore(alice, file)
    assert not Session.objects.exists()


def test_malformed_one_bad_session_is_named_and_the_others_come(alice, talk):
    talk("a lion")
    files = io.BytesIO(plain(archives.prepare(alice).pieces()))
    with zipfile.ZipFile(files, "a") as archive:
        archive.writestr("sessions/bad.json", '{"session_id": "x", "messages": [{"role": 5}]}')
    Session.objects.all().delete()
    found = archives.restore(alice, files)
    assert found["sessions_recovered"] == 1
    assert len(found["errors"]) == 1
    assert "bad.json" in found["errors"][0]
    assert Session.objects.get().message_count == 1


def without(packed: bytes, *names: str, **about: object) -> io.BytesIO:
    """Return an archive without some of its files, and what it says of itself changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(packed)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            if name == "metadata.json" and about:
                new.writestr(name, json.dumps(about))
            elif name not in names:
                new.writestr(name, old.read(name))
    return out


def test_malformed_one_that_lacks_sessions_says_so_and_the_others_come(alice, talk):
    lost, _kept = talk("a lion"), talk("a cat")
    packed = plain(archives.prepare(alice).pieces())
    Session.objects.all().delete()
    found = archives.restore(alice, without(packed, f"sessions/{lost.uuid}.json"))
    assert found["sessions_recovered"] == 1
    (error,) = found["errors"]
    assert "2 sessions were backed up, 1 " in error


@pytest.mark.parametrize(
    ("about", "is_short"),
    [
        ({"total_sessions": 2}, True),
        ({"total_sessions": 9, "sessions_backed_up": 1}, False),
        ({"total_sessions": 1}, False),
        ({"total_sessions": "2"}, False),
        ({"other": 2}, False),
    ],
)
def test_malformed_what_is_said_is_compared_where_it_is_a_number(alice, talk, about, is_short):
    talk("a lion")
    packed = plain(archives.prepare(alice).pieces())
    found = archives.restore(alice, without(packed, **about), dry_run=True)
    assert len(found["errors"]) == is_short


def test_happy_one_without_metadata_comes_back(alice, talk):
    talk("a lion")
    packed = plain(archives.prepare(alice).pieces())
    assert archives.restore(alice, without(packed, "metadata.json"))["errors"] == []


def test_happy_what_was_erased_since_stays_erased(alice, talk, tmp_path):
    whole, part = talk("a lion"), talk("a cat", "a mouse")
    gone = part.messages.get(seq=2)
    packed = stored(alice, tmp_path)
    account = whole.account
    ledger.note(account.uuid, whole.uuid)
    ledger.note(account.uuid, part.uuid, [gone.uuid])
    Session.objects.all().delete()
    found = archives.restore(alice, io.BytesIO(packed))
    assert found["sessions_recovered"] == 1
    assert "removed for good" in found["errors"][0]
    assert Session.objects.get().uuid == part.uuid
    back = Message.objects.get(uuid=gone.uuid)
    assert back.deleted_at is not None
    assert records.open_body(back, Session.objects.select_related("account").get()).content == ""


def test_repeated_adds_nothing(alice, talk, tmp_path):
    session = talk("a lion")
    packed = stored(alice, tmp_path)
    sessions.rename(session, alice, "Another name")
    for _ in range(2):
        found = archives.restore(alice, io.BytesIO(packed))
        assert found == {"sessions_recovered": 0, "messages_recovered": 0, "errors": []}


@pytest.mark.django_db(transaction=True)
def test_concurrent_restores_bring_each_back_once(alice, talk, tmp_path, together):
    talk("a lion", "roars")
    packed = stored(alice, tmp_path)
    Session.objects.all().delete()
    done = together(*[lambda: archives.restore(alice, io.BytesIO(packed))] * 3)
    assert sum(one["messages_recovered"] for one in done) == 2
    assert Message.objects.count() == 2


@pytest.mark.parametrize("step", ["_find", "_find_free"])
def test_what_another_restore_brings_back_in_between_is_not_there_twice(
    alice, talk, tmp_path, monkeypatch, step
):
    talk("a lion", "roars")
    packed = stored(alice, tmp_path)
    Session.objects.all().delete()
    found = getattr(Planner, step)

    def looked(*args):
        result = found(*args)
        monkeypatch.setattr(Planner, step, found)
        archives.restore(alice, io.BytesIO(packed))
        return result

    monkeypatch.setattr(Planner, step, looked)
    assert archives.restore(alice, io.BytesIO(packed))["messages_recovered"] == 0
    assert Message.objects.count() == 2
