"""archives.prepare: what an archive of somebody would hold."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import uuid4

import pytest

from chathistory.actions import archives, messages, sessions
from chathistory.exceptions import Conflict, NotAllowed, NotFound
from chathistory.models import Account, Backup
from tests.actions.archived import plain, unzipped


def test_happy_it_holds_each_session_and_says_how_many(alice, talk):
    first, second = talk("a lion", "roars"), talk("a cat")
    gone = talk("thrown away")
    sessions.delete(gone, alice)
    archive = archives.prepare(alice)
    assert re.fullmatch(r"chat_backup_alice_\d{8}_\d{6}\.zip", archive.name)
    files = unzipped(plain(archive.pieces()))
    assert files.keys() == {
        "metadata.json",
        *(f"sessions/{one.uuid}.json" for one in (first, second)),
    }
    said = [m["content"] for m in files[f"sessions/{first.uuid}.json"]["messages"]]
    assert said == ["a lion", "roars"]
    about = files["metadata.json"]
    assert (about["user_id"], about["total_sessions"], about["total_messages"]) == ("alice", 2, 3)
    assert about["backup_type"] == "full"
    assert about["backup_date"].endswith("Z")


def test_happy_one_session(alice, talk):
    session, _other = talk("a lion"), talk("a cat")
    files = unzipped(plain(archives.prepare(alice, session=session.uuid).pieces()))
    assert files.keys() == {"metadata.json", f"sessions/{session.uuid}.json"}


def test_happy_an_incremental_holds_what_changed(alice, talk, tmp_path):
    talk("stays as it is")
    changed = talk("a lion")
    archives.store(archives.prepare(alice), tmp_path)
    messages.append(changed, alice, "user", "one more")
    archive = archives.prepare(alice, full=False)
    about = unzipped(plain(archive.pieces()))["metadata.json"]
    assert about["backup_type"] == "incremental"
    assert (about["sessions_backed_up"], about["total_sessions"]) == (1, 2)
    assert about["last_backup_time"] < about["backup_time"]


def test_happy_after_one_of_a_session_an_incremental_still_holds_all_others(alice, talk, tmp_path):
    session, other = talk("a lion"), talk("a cat")
    archives.store(archives.prepare(alice, session=session.uuid), tmp_path)
    assert Backup.objects.get().session == session.uuid
    archive = archives.prepare(alice, full=False)
    files = unzipped(plain(archive.pieces()))
    assert {f"sessions/{one.uuid}.json" for one in (session, other)} < files.keys()
    assert files["metadata.json"]["backup_type"] == "full"


def test_happy_after_a_restore_of_the_site_all_is_taken_again(alice, talk, tmp_path):
    """Numbers begin again where the site went back to: they say nothing about what is new."""
    session = talk("a lion", "roars")
    archives.store(archives.prepare(alice), tmp_path)
    Account.objects.update(epoch=2)
    archive = archives.prepare(alice, full=False)
    files = unzipped(plain(archive.pieces()))
    assert files["metadata.json"]["backup_type"] == "full"
    assert f"sessions/{session.uuid}.json" in files
    archive.at += timedelta(seconds=1)  # and with it the file's name
    archives.store(archive, tmp_path)
    assert archives.prepare(alice, full=False) is None


def test_stranger_has_nothing_of_it(alice, bob, charlie, talk, invite, nobody):
    session = talk("a lion")
    invite(session, bob, "read", "export")
    for user in (bob, charlie):
        with pytest.raises(NotFound):
            archives.prepare(user, session=session.uuid)
        assert unzipped(plain(archives.prepare(user).pieces())).keys() == {"metadata.json"}
    with pytest.raises(NotAllowed):
        archives.prepare(nobody)


def test_malformed_an_unknown_session(alice):
    with pytest.raises(NotFound):
        archives.prepare(alice, session=uuid4())


def test_malformed_a_name_that_is_no_file_name(talk, django_user_model):
    user = django_user_model.objects.create_user("../../o k@x")
    assert "/" not in archives.prepare(user).name


def test_repeated_with_nothing_new_there_is_none(alice, talk, tmp_path):
    talk("a lion")
    archives.store(archives.prepare(alice), tmp_path)
    assert archives.prepare(alice, full=False) is None
    assert archives.prepare(alice) is not None


@pytest.mark.django_db(transaction=True)
def test_concurrent_with_writing_each_session_is_whole(alice, talk, together):
    session = talk("first", "answer")

    def write():
        for n in range(10):
            try:
                messages.append(session, alice, "user", f"more {n}")
            except Conflict:
                raise AssertionError from None

    files, _ = together(lambda: unzipped(plain(archives.prepare(alice).pieces())), write)
    said = files[f"sessions/{session.uuid}.json"]["messages"]
    assert [m["seq"] for m in said] == list(range(1, len(said) + 1))
