"""backup.relist: the list made again from what the storage and the key sets hold."""

from __future__ import annotations

from uuid import uuid4

import pytest

from chathistory.actions import accounts, backup, messages
from chathistory.backups import store
from chathistory.backups.store import Place
from chathistory.exceptions import Damaged, MasterKeyError
from chathistory.models import Account, Backup
from tests.actions import backed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]
SAID = (
    *("account", "session", "kind", "chain", "number", "name", "previous", "at", "size"),
    *("counts", "created_at"),
)


@pytest.fixture
def made(alice, talk):
    """A chain, an account's backup and a session's."""
    session = talk("a heron", "a bird")
    rows = [backup.full()]
    messages.append(session, alice, "user", "and a stork?")
    rows.append(backup.incremental())
    rows.append(backup.full(alice, accounts.of(alice)))
    rows.append(backup.full(alice, session=session))
    return rows


def said():
    return list(Backup.objects.order_by("pk").values_list(*SAID))


def test_happy_a_lost_list_comes_back(made):
    before = said()
    Backup.objects.all().delete()
    found = backup.relist()
    assert [row.name for row in found] == [row.name for row in made]
    assert said() == before
    assert not Backup.objects.exclude(verified_at=None).exists()
    for row in found:
        backup.verify(row)


def test_happy_the_chain_goes_on_from_it(alice, talk, made):
    Backup.objects.all().delete()
    backup.relist()
    session = made[2].account.sessions.get()
    messages.append(session, alice, "user", "more")
    assert backup.incremental().previous == made[1].name


def test_happy_only_what_is_missing_is_read(made, home):
    for row in made[:-1]:
        backed.path(home, row).write_bytes(b"nobody looks at it")
    Backup.objects.filter(pk=made[-1].pk).delete()
    assert [row.name for row in backup.relist()] == [made[-1].name]


def test_stranger_files_of_others_are_named_and_the_rest_listed(made, home):
    """A container nobody here has the key of: another site's, in the same storage."""
    foreign = Place(uuid4(), 0, "ab" * 32)
    with store.draft("test") as file:
        file.write(backed.path(home, made[0]).read_bytes())
        store.publish(file, foreign)
    Backup.objects.all().delete()
    with pytest.raises(Damaged, match=str(foreign)):
        backup.relist()
    assert {row.name for row in Backup.objects.all()} == {row.name for row in made}


def test_stranger_an_account_that_is_no_more_is_nobodys(made):
    """Its backups must not be taken for the site's."""
    Backup.objects.all().delete()
    Account.objects.filter(pk=made[2].account_id).update(uuid=uuid4())
    assert [row.name for row in backup.relist()] == [row.name for row in made[:2]]


def test_malformed_a_damaged_one_is_named_and_not_listed(made, home):
    backed.flipped(backed.path(home, made[1]), 400)
    backed.flipped(backed.path(home, made[2]), 400)
    Backup.objects.all().delete()
    with pytest.raises(Damaged) as caught:
        backup.relist()
    assert made[1].name in str(caught.value)
    assert made[2].name in str(caught.value)
    assert {row.name for row in Backup.objects.all()} == {made[0].name, made[3].name}


def test_malformed_without_the_master_key_it_is_named(alice, talk, settings):
    settings.CHATHISTORY_MASTER_KEYS = [("old-one", b"o" * 32)]
    talk("a heron")
    backup.full()
    Backup.objects.all().delete()
    settings.CHATHISTORY_MASTER_KEYS = [("new-one", b"n" * 32)]
    with pytest.raises(MasterKeyError, match="old-one"):
        backup.relist()


def test_repeated_lists_nothing_twice(made):
    before = said()
    assert backup.relist() == []
    Backup.objects.all().delete()
    assert len(backup.relist()) == len(made)
    assert backup.relist() == []
    assert said() == before


def test_concurrent_ones_list_each_once(made, together):
    before = said()
    Backup.objects.all().delete()
    results = together(*[backup.relist] * 3)
    assert not [one for one in results if isinstance(one, Exception)], results
    assert sorted(said(), key=str) == sorted(before, key=str)
