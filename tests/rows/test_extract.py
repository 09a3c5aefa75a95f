"""One person's rows are read out of a copy of the whole file; what is read is proved."""

from __future__ import annotations

import io
import os
from datetime import datetime
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from chathistory import records
from chathistory.actions import accounts, backup, messages, sessions
from chathistory.backups import container, contents, extract, keysets, plans, rebuild
from chathistory.backups.scratch import scratch
from chathistory.exceptions import Damaged
from chathistory.models import Account, Backup, Change, Message, Revision, Session
from tests.living import picture

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="the base is a copy of the file"),
    pytest.mark.usefixtures("home"),
]


@pytest.fixture
def talked(alice: User, bob: User, talk) -> Session:
    """Alice's chat, far from the file's beginning: Bob has said 5 MB of noise."""
    theirs = sessions.create(bob, "tutor")
    for _ in range(8):
        messages.append(theirs, bob, "user", os.urandom(450_000).hex())
    session = talk("lion", "roars", title="Savanna")
    sessions.change(session, alice, tags=["cats"])
    messages.edit(session.messages.get(seq=1), alice, "tiger")
    talk("heron")
    backup.full()
    return session


def place() -> plans.Place:
    row = Backup.objects.get()
    return plans.Place(row.chain, row.number, row.name)


def file(home: Path) -> Path:
    return home / "backups" / str(place())


def plain(home: Path) -> bytes:
    key = keysets.containers([place().digest])[place().digest]
    return b"".join(container.read(io.BytesIO(file(home).read_bytes()), key))


def flip(home: Path, at: int) -> None:
    """Change a bit in the frame in which plain byte ``at`` is."""
    packed = bytearray(file(home).read_bytes())
    lead = 14 + int.from_bytes(packed[10:14], "big")
    record = container.FRAME + 20
    packed[lead + at // container.FRAME * record + 1000] ^= 1
    file(home).write_bytes(packed)


def built(alice: User, session: Session | None = None, at: datetime | None = None):
    """Rebuild a moment, now unless another is given, of the backups alone."""
    uuid = accounts.of(alice).uuid
    found = plans.plan(at or timezone.now(), uuid, session and session.uuid)
    return rebuild.built(found, search=False)


def test_a_session_comes_with_all_that_hangs_on_it_and_nothing_else(alice, talked):
    with built(alice, talked) as made, scratch(made.path, whole=made.whole):
        assert made.problems == []
        assert Session.objects.get().uuid == talked.uuid
        assert [*Message.objects.values_list("seq", "revision")] == [(1, 2), (2, 1)]
        assert Revision.objects.get().revision == 1
        assert Session.objects.get().tags.count() == 1
        assert not Change.objects.exists()


def test_an_account_is_the_same_as_by_way_of_the_whole_file(alice, talked, monkeypatch):
    with built(alice) as made, scratch(made.path, whole=made.whole):
        out = picture(Account.objects.get(user=alice))
        assert Session.objects.count() == 2
    monkeypatch.setattr(extract.Site, "is_of_now", lambda _site: False)
    with built(alice) as made, scratch(made.path, whole=made.whole):
        assert picture(Account.objects.get(user=alice)) == out
        assert Session.objects.count() == 3


def test_a_base_of_before_anything_was_said(alice):
    account = accounts.of(alice)
    backup.full()
    session = sessions.create(alice, "tutor", title="Savanna")
    backup.incremental()
    with built(alice, session) as made, scratch(made.path, whole=made.whole):
        assert made.problems == []
        assert records.title_of(Session.objects.select_related("account").get()) == "Savanna"
        assert account.keys.count() == 5


def test_a_key_that_only_an_older_set_has(alice, talked):
    """As after a restore of the site to a time when the chat was not there yet."""
    moment, uuid = Backup.objects.get().at, talked.uuid
    Session.objects.filter(uuid=uuid).delete()
    sessions.create(alice, "tutor")
    backup.full()
    assert uuid not in {name.session for name in keysets.load(newest=True).data}
    with built(alice, talked, moment) as made, scratch(made.path, whole=made.whole):
        assert made.problems == []
        assert records.title_of(Session.objects.select_related("account").get()) == "Savanna"


def test_damage_where_nothing_is_wanted_does_no_harm(home, alice, talked):
    flip(home, 2 * container.FRAME + 1)
    with built(alice, talked) as made:
        assert made.problems == []
    with pytest.raises(Damaged, match=Backup.objects.get().name):
        backup.verify(Backup.objects.get())


def test_malformed_damage_where_it_stands_is_refused_by_the_files_name(home, alice, talked):
    flip(home, plain(home).index(bytes(talked.messages.get(seq=2).body)))
    with pytest.raises(Damaged, match=Backup.objects.get().name), built(alice, talked):
        pass
    assert list((home / "tmp").iterdir()) == []


def test_malformed_a_file_that_is_cut_is_refused(home, alice, talked):
    whole = file(home).read_bytes()
    for end in (len(whole) - 1, len(whole) // 2, 100):
        file(home).write_bytes(whole[:end])
        with pytest.raises(Damaged, match=Backup.objects.get().name), built(alice, talked):
            pass


def test_tables_of_another_version_are_known(talked):
    key = keysets.containers([place().digest])[place().digest]
    with extract.opened(place(), key) as site:
        assert site.is_of_now()
    swap = "UPDATE django_migrations SET name = %s WHERE app = 'chathistory' AND name = %s"
    with connection.cursor() as cursor:
        cursor.execute(swap, ["0001_other", "0001_rows"])
    newer = backup.full()
    with connection.cursor() as cursor:
        cursor.execute(swap, ["0001_rows", "0001_other"])
    key = keysets.containers([newer.name])[newer.name]
    with extract.opened(plans.Place(newer.chain, 0, newer.name), key) as site:
        assert not site.is_of_now()


def test_malformed_what_is_no_database_is_refused(alice, talked, monkeypatch):
    noise = os.urandom(4096)
    monkeypatch.setattr(contents.Database, "page", lambda _file, _at, size: noise[:size])
    with pytest.raises(Damaged, match="database"), built(alice):
        pass
