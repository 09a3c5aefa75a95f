"""Old places of moved rows are found in SQLite's file and wiped; what is there stays as it is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from django.db import connection
from django.db.transaction import atomic

from chathistory import records, wiping
from chathistory.actions import messages
from chathistory.models import Message, Session
from chathistory.search.find import search

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="the files are SQLite's"),
]


def dirty():
    assert wiping.truncate_log()
    return [(table.name, one) for table in wiping._tables() for one in wiping._dirty(table)]


def texts():
    rows = Message.objects.order_by("pk").select_related("session__account")
    return [records.open_body(row, row.session).content for row in rows]


def sound():
    with connection.cursor() as cursor:
        return cursor.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.fixture
def moved(alice, talk):
    """A session whose messages have grown out of their pages."""
    rnd = random.Random(4)
    session = talk(*(f"{rnd.getrandbits(8 * 150):x} zebra" for _ in range(60)))
    said = list(session.messages.order_by("seq"))
    # Where SQLite puts what grows depends on all that is in the file.
    for _attempt in range(10):
        for message in rnd.sample(said, len(said)):
            message.refresh_from_db()
            messages.edit(message, alice, f"{rnd.getrandbits(8 * rnd.choice((200, 700))):x} heron")
        if "chathistory_message" in {name for name, _one in dirty()}:
            break
    return session


def test_moved_rows_leave_places_which_are_wiped(alice, moved):
    before = texts()
    assert "chathistory_message" in {name for name, _one in dirty()}
    assert wiping.wipe(lambda: None)
    assert dirty() == []
    assert texts() == before
    assert len(search(alice, "heron", limit=100).hits) == 60
    assert sound()


def test_it_writes_nothing_where_nothing_was_moved(moved):
    wiping.wipe(lambda: None)
    steps = []
    assert wiping.wipe(lambda: steps.append(1))
    assert steps == []


def test_rows_on_overflow_pages_and_without_content(alice, talk):
    rnd = random.Random(5)
    session = talk("short")
    for _ in range(30):
        said = messages.append(session, alice, "user", f"{rnd.getrandbits(8 * 3_000):x}")
        messages.edit(said, alice, f"{rnd.getrandbits(8 * rnd.choice((20, 5_000))):x}")
    before = texts()
    assert wiping.wipe(lambda: None)
    assert dirty() == []
    assert texts() == before
    assert sound()


def test_what_is_left_of_a_table_without_rows(alice, moved):
    Session.objects.all().delete()
    assert wiping.wipe(lambda: None)
    assert dirty() == []
    assert sound()


def test_stopped_in_between_nothing_has_changed(moved):
    before = texts()

    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        wiping.wipe(stop)
    assert texts() == before
    assert wiping.wipe(lambda: None)
    assert texts() == before


def test_within_a_transaction_it_cannot_be_done(moved):
    with atomic():
        assert not wiping.truncate_log()
        assert not wiping.wipe(lambda: None)


def test_the_log_is_cut(moved):
    assert wiping.truncate_log()
    log = Path(f"{wiping._file()}-wal")
    assert log.stat().st_size == 0


def test_others_write_meanwhile(alice, moved, together):
    others = [f"other {n}" for n in range(40)]
    work = [lambda: [messages.append(moved, alice, "user", one) for one in others]]
    results = together(lambda: wiping.wipe(lambda: None), *work)
    assert isinstance(results[0], bool)
    assert texts()[60:] == others
    assert sound()
