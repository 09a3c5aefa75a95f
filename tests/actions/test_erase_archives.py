"""erase.erase: the archives of a person go with them, and nobody else's."""

from __future__ import annotations

from uuid import uuid4

import pytest

from chathistory.actions import accounts, archives, erase
from chathistory.exceptions import Conflict, Unavailable
from chathistory.models import Backup

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("keyed_home")]


@pytest.fixture
def stored(alice, bob, talk):
    """An archive of Alice, and one of Bob."""
    talk("a lion")
    talk("a cat", user=bob)
    return [archives.store(archives.prepare(user), archives.folder()) for user in (alice, bob)]


def left():
    return sorted(archives.folder().iterdir())


def test_files_and_rows_go_and_the_proof_says_so(alice, bob, stored):
    _mine, others = stored
    proof = erase.erase(accounts.of(alice), None)
    assert proof["removed"]["archives"] == 1
    assert left() == [others]
    assert [row.account.user for row in Backup.objects.all()] == [bob]


def test_one_that_is_not_listed_is_known_by_what_it_says(alice, stored):
    """As after a process died between file and row, or the rows were restored."""
    Backup.objects.all().delete()
    half = archives.folder() / f"{stored[0].name}.{uuid4().hex}.part"
    half.write_bytes(stored[0].read_bytes()[:-20])
    (archives.folder() / "notes.txt").write_text("the operator's own")
    assert erase.erase(accounts.of(alice), None)["removed"]["archives"] == 2
    assert left() == sorted([stored[1], archives.folder() / "notes.txt"])


def test_one_that_says_nothing_any_more_is_known_by_its_name(alice, stored):
    stored[0].chmod(0o600)
    stored[0].write_bytes(b"damaged")
    erase.erase(accounts.of(alice), None)
    assert left() == [stored[1]]


def test_one_that_is_written_meanwhile_is_refused_and_leaves_no_file(alice, talk, monkeypatch):
    talk("a lion")
    archive, record = archives.prepare(alice), archives._record

    def late(*more):
        erase.erase(accounts.of(alice), None)
        record(*more)

    monkeypatch.setattr(archives, "_record", late)
    with pytest.raises(Conflict, match="erased"):
        archives.store(archive, archives.folder())
    assert left() == []
    assert not Backup.objects.exists()


def test_a_folder_that_refuses_is_told_and_the_next_run_goes_on(alice, stored, monkeypatch):
    account = accounts.of(alice)
    with monkeypatch.context() as patch:
        patch.setattr(type(stored[0]), "unlink", _refused)
        with pytest.raises(Unavailable, match="Read-only"):
            erase.erase(account, None)
    account.refresh_from_db()
    assert account.erased_at is None
    assert erase.erase(account, None)["removed"]["archives"] == 1
    assert left() == [stored[1]]


def _refused(path, **_options):
    raise OSError(30, "Read-only file system", str(path))
