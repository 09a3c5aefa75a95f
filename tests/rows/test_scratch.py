"""A scratch holds this thread's rows, and nobody else's."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connections, router
from django.utils.connection import ConnectionDoesNotExist

from chathistory import keyring, records
from chathistory.actions import messages, sessions
from chathistory.backups.scratch import make_tables, scratch
from chathistory.exceptions import Invalid
from chathistory.models import Account, Message, Session
from chathistory.search.base import index
from chathistory.search.find import search


def test_rows_index_and_verbs_are_the_scratchs_own(alice: User, talk, tmp_path: Path):
    live = talk("zebra")
    with scratch(tmp_path / "a.sqlite3"):
        make_tables()
        assert not Session.objects.exists()
        session = sessions.create(alice, "tutor")
        message = messages.append(session, alice, "user", "okapi")
        assert records.open_body(message, session).content == "okapi"
        keyed = keyring.account_keys(session.account).search
        found = index().counts([keyed.token(word) for word in ("okapi", "zebra")], 9)
        assert found == [1, 0]
        assert message.session.account.user == alice
    assert [row.uuid for row in Session.objects.all()] == [live.uuid]
    assert search(alice, "okapi").hits == []
    with scratch(tmp_path / "a.sqlite3"):
        assert Message.objects.get().uuid == message.uuid


def test_one_within_the_other_and_after_an_error(alice: User, talk, tmp_path: Path):
    talk("zebra")
    with scratch(tmp_path / "a.sqlite3"):
        make_tables()
        with pytest.raises(Invalid), scratch(tmp_path / "b.sqlite3"):
            sessions.create(alice, "")
        assert Session.objects.count() == 0
    assert Session.objects.count() == 1


def test_nothing_is_left_of_its_alias(tmp_path: Path, db):
    with scratch(tmp_path / "a.sqlite3") as alias:
        assert router.db_for_write(Account) == alias
        assert router.db_for_write(User) == "default"
        assert alias not in set(connections)
    assert router.db_for_write(Account) == "default"
    with pytest.raises(ConnectionDoesNotExist):
        connections[alias]


def test_whole_moves_the_hosts_models_too(tmp_path: Path, db):
    with scratch(tmp_path / "a.sqlite3", whole=True) as alias:
        assert router.db_for_read(User) == alias


@pytest.mark.django_db(transaction=True)
def test_other_threads_go_on_with_the_live_rows(alice: User, talk, tmp_path: Path):
    talk("zebra")
    seen: list[int] = []

    def count() -> None:
        seen.append(Session.objects.count())
        connections.close_all()

    with scratch(tmp_path / "a.sqlite3"):
        make_tables()
        thread = threading.Thread(target=count)
        thread.start()
        thread.join()
        assert Session.objects.count() == 0
    assert seen == [1]
