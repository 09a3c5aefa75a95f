"""archives.store: an archive as a sealed file, whole or not there."""

from __future__ import annotations

import os
import stat

import pytest

from chathistory.actions import archives
from chathistory.exceptions import NotFound
from chathistory.models import Backup, Change


def test_happy_it_is_sealed_and_listed(alice, talk, tmp_path):
    talk("a lion in the clear")
    path = archives.store(archives.prepare(alice), tmp_path / "new")
    packed = path.read_bytes()
    assert b"lion" not in packed
    assert b"PK" not in packed[:4]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    row = Backup.objects.get()
    assert (row.kind, row.account.user, row.size) == ("archive", alice, len(packed))
    assert Change.objects.filter(op="backup.archive", row=row.uuid).count() == 1


def test_stranger_only_the_owner_opens_it(alice, charlie, talk, tmp_path):
    talk("a lion")
    path = archives.store(archives.prepare(alice), tmp_path)
    with path.open("rb") as file, pytest.raises(NotFound):
        archives.restore(charlie, file)


def test_malformed_a_folder_that_is_a_file_leaves_nothing(alice, talk, tmp_path):
    talk("a lion")
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match="taken"):
        archives.store(archives.prepare(alice), tmp_path / "taken")
    assert not Backup.objects.exists()


def test_malformed_a_disk_that_is_full_leaves_nothing(alice, talk, tmp_path, monkeypatch):
    talk("a lion")
    opened = os.open
    monkeypatch.setattr(
        os,
        "open",
        lambda path, *more: (
            opened("/dev/full", os.O_WRONLY) if str(path).endswith(".part") else opened(path, *more)
        ),
    )
    with pytest.raises(OSError, match="No space"):
        archives.store(archives.prepare(alice), tmp_path)
    assert not Backup.objects.exists()
    assert list(tmp_path.iterdir()) == []


def test_repeated_a_file_is_never_written_over(alice, talk, tmp_path):
    talk("a lion")
    archive = archives.prepare(alice)
    path = archives.store(archive, tmp_path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        archives.store(archive, tmp_path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert Backup.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_one_of_the_same_name_wins(alice, talk, tmp_path, together):
    talk("a lion")
    archive = archives.prepare(alice)
    done = together(*[lambda: archives.store(archive, tmp_path)] * 4)
    assert sum(1 for one in done if not isinstance(one, Exception)) == 1
    assert Backup.objects.count() == 1
