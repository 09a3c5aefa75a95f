"""backup.verify: all of a backup read, and every damage named."""

from __future__ import annotations

import shutil

import pytest

from chathistory.actions import accounts, backup, erase, messages
from chathistory.backups import store
from chathistory.exceptions import Conflict, Damaged, MasterKeyError, NotFound
from chathistory.models import Backup
from tests.actions import backed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]


@pytest.fixture
def chain(alice, talk):
    """A base and two segments."""
    session = talk("a heron", "a bird")
    made = [backup.full()]
    for number in range(2):
        messages.append(session, alice, "user", f"number {number}")
        made.append(backup.incremental())
    return made


def refused(row):
    """Verify what is damaged; return what was said."""
    with pytest.raises(Damaged) as caught:
        backup.verify(row)
    assert row.name in str(caught.value) or "missing" in str(caught.value)
    row.refresh_from_db()
    assert row.verified_at is None
    return str(caught.value)


def test_happy_a_whole_one_is_noted(alice, chain):
    Backup.objects.update(verified_at=None)
    for row in chain:
        assert backup.verify(row).verified_at is not None
    assert not Backup.objects.filter(verified_at=None).exists()


def test_happy_ones_own(alice, talk):
    session = talk("a heron")
    made = backup.full(alice, session=session)
    assert backup.verify(made, alice).verified_at is not None
    assert backup.reach(alice, made.uuid) == made


def test_happy_one_of_an_account_that_was_erased(alice, talk):
    made = backup.full(alice, session=talk("a heron"))
    erase.erase(made.account, None)
    made.account.refresh_from_db()
    assert backup.verify(made).verified_at is not None


def test_stranger_verifies_and_sees_no_others(alice, bob, nobody, chain, talk):
    mine = backup.full(alice, accounts.of(alice))
    for user in (bob, nobody):
        with pytest.raises(NotFound):
            backup.verify(mine, user)
        with pytest.raises(NotFound):
            backup.reach(user, mine.uuid)
        assert list(backup.visible_to(user)) == []
    with pytest.raises(NotFound):
        backup.reach(alice, chain[0].uuid)
    assert list(backup.visible_to(alice)) == [mine]
    assert backup.visible_to(None).count() == 4


def test_malformed_every_byte_of_a_segment_counts(chain, home):
    row = chain[1]
    path = backed.path(home, row)
    size = path.stat().st_size
    for at in [*range(700), *range(700, size, 13), size - 1]:
        whole = backed.flipped(path, at)
        refused(row)
        path.write_bytes(whole)
    backup.verify(row)


def test_malformed_cuts_and_additions(chain, home):
    for row in chain:
        path = backed.path(home, row)
        whole = path.read_bytes()
        for changed in (whole[:-1], whole[: len(whole) // 2], whole[:20], b"", whole + b"x"):
            path.write_bytes(changed)
            refused(row)
        path.write_bytes(whole)
        backup.verify(row)


def test_malformed_swapped_with_another_of_the_chain_or_of_another(chain, home, alice):
    first, second = (backed.path(home, row) for row in chain[1:])
    aside = shutil.copy(first, home / "aside")
    shutil.copy(second, first)
    assert "another place" in refused(chain[1])
    shutil.copy(aside, first)
    backup.full()
    other = Backup.objects.filter(number=1).order_by("-pk")[0]
    base = Backup.objects.filter(number=0).order_by("-pk")[0]
    shutil.copy(backed.path(home, base), backed.path(home, chain[0]))
    assert "another place" in refused(chain[0])
    assert backup.verify(other) == other


def test_malformed_a_lost_file_and_a_lost_one_before_it(chain, home):
    backed.path(home, chain[1]).unlink()
    assert "missing" in refused(chain[1])
    said = refused(chain[2])
    assert str(backed.place(chain[1])) in said
    assert str(backed.place(chain[2])) in said


def test_malformed_one_before_it_that_is_not_listed(chain):
    chain[1].delete()
    assert chain[1].name in refused(chain[2])


def test_malformed_a_row_that_says_something_else(chain):
    Backup.objects.filter(pk=chain[2].pk).update(previous="0" * 64)
    chain[2].refresh_from_db()
    assert "not the backup that is listed" in refused(chain[2])


def test_malformed_without_the_master_key_it_is_named(alice, talk, settings):
    settings.CHATHISTORY_MASTER_KEYS = [("old-one", b"o" * 32)]
    talk("a heron")
    made = backup.full()
    verified = made.verified_at
    settings.CHATHISTORY_MASTER_KEYS = [("new-one", b"n" * 32)]
    with pytest.raises(MasterKeyError, match="old-one"):
        backup.verify(made)
    made.refresh_from_db()
    assert made.verified_at == verified  # the file may be well


def test_malformed_an_archive_is_no_container(alice, talk):
    session = talk("a heron")
    row = Backup.objects.create(
        account=session.account,
        kind="archive",
        chain=session.uuid,
        name="0" * 64,
        at=session.created_at,
    )
    with pytest.raises(Conflict):
        backup.verify(row)


def test_repeated_is_the_same(chain):
    for _ in range(2):
        assert backup.verify(chain[2]).verified_at is not None


def test_concurrent_readers_all_prove_it(chain, together):
    done = together(*[lambda row=row: backup.verify(row) for row in [*chain, *chain]])
    assert all(isinstance(one, Backup) for one in done), done
    assert [at.number for at in store.places()] == [0, 1, 2]
