"""After a purge, and after an erasure, nothing of it is left: not in rows, files, log or index."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.conf import settings
from django.db import connection
from django.utils import timezone

from chathistory.actions import accounts, erase, jobs, messages, purge, sessions, tokens
from chathistory.models import Block, Change, DataKey, Message, Revision, Session
from chathistory.search.find import search
from tests.actions.asked import Asked

from .remains import Remains

pytestmark = pytest.mark.django_db(transaction=True)
GONE, SESSIONS, TURNS = 4, 12, 10


def words(rnd, count):
    """Words that nobody else says."""
    return " ".join(f"w{rnd.getrandbits(48):x}" for _ in range(count))


def grow(rnd, rows, owner, guest=None, after=lambda: None):
    """Let sessions grow side by side, so that their rows stand between each other's."""
    for turn in range(TURNS):
        for session in rows:
            said = messages.append(session, owner, "user", words(rnd, rnd.choice((5, 60, 700))))
            if turn % 4 == 1:
                messages.edit(said, owner, words(rnd, rnd.choice((5, 200))))
            if turn % 5 == 3:
                sessions.change(session, owner, title=words(rnd, 4), metadata={"m": words(rnd, 9)})
            if guest and turn % 3 == 2:
                messages.append(session, guest, "user", words(rnd, 40))
        if turn % 3 == 0:
            after()
    after()


def session_of(row):
    """Return the uuid of the session that a row belongs to."""
    if isinstance(row, Session):
        return row.uuid
    if isinstance(row, Change):
        return row.session
    if isinstance(row, Revision):
        return row.message.session.uuid
    if isinstance(row, Message | Block | DataKey):
        return row.session and row.session.uuid
    return None


def assert_clean(remains, *, pieces, tokens):
    """None of it is there; and there was something to look for."""
    remains.keep_unique()
    assert len(remains.pieces) > pieces
    assert len(remains.tokens) > tokens
    assert remains.found() == remains.in_rows() == set()
    if connection.vendor == "sqlite":
        assert remains.in_files() == {}


def test_the_search_for_remains_finds_them_before(alice, talk):
    session = talk(words(random.Random(1), 50), title=words(random.Random(2), 5))
    remains = Remains()
    remains.collect(lambda row: session_of(row) == session.uuid)
    assert (len(remains.tokens), len(remains.found())) == (55, 50)  # titles are in another index
    assert {
        "chathistory_message",
        "chathistory_session",
        "chathistory_datakey",
    } <= remains.in_rows()
    if connection.vendor == "sqlite":
        found = remains.in_files()
        assert sum(found.values()) >= 60
        assert {name.partition(".")[0] for name in found} == {"test"}


def test_a_purge_leaves_nothing(alice, bob, talk, invite):
    rnd, remains = random.Random(3), Remains()
    rows = [talk() for _ in range(SESSIONS)]
    for session in rows:
        invite(session, bob, "read", "write")
    wanted = {session.uuid for session in rows[::3]}
    assert len(wanted) == GONE
    grow(rnd, rows, alice, bob, lambda: remains.collect(lambda r: session_of(r) in wanted))
    with time_machine.travel(timezone.now() + timedelta(days=1), tick=True):
        buried = [rows[1].messages.order_by("seq")[at] for at in (0, 1, 5)]
        remains.collect(lambda r: getattr(r, "uuid", None) in {one.uuid for one in buried})
        for message in buried:
            messages.delete(message, alice)
        for session in rows[::3]:
            sessions.delete(session, alice)
        remains.collect(lambda r: session_of(r) in wanted)
    with time_machine.travel(timezone.now() + timedelta(days=33), tick=True):
        result = purge.sweep(Asked(accounts.system()))
    assert (result["sessions"], result["files"]) == (
        GONE,
        "clean" if connection.vendor == "sqlite" else "vacuum",
    )
    assert_clean(remains, pieces=1_000, tokens=3_000)
    assert Session.objects.count() == SESSIONS - GONE
    assert not Change.objects.filter(session__in=wanted, before__isnull=False).exists()
    living = rows[2].messages.first()
    said = messages.append(rows[2], alice, "user", "stillfindable")
    assert [hit.message.pk for hit in search(alice, "stillfindable").hits] == [said.pk]
    assert living is not None


def test_an_erasure_leaves_nothing(alice, bob, talk, invite):
    rnd, remains = random.Random(5), Remains()
    hers, his = [talk() for _ in range(6)], [talk(user=bob) for _ in range(6)]
    for session in hers:
        invite(session, bob, "read", "write", "edit")
    account = accounts.of(bob)
    words_of_his = set()

    def collect():
        by_him = Change.objects.filter(actor=account, table="message")
        words_of_his.update(by_him.exclude(account=account).values_list("row", flat=True))
        remains.collect(lambda r: r.account == account or getattr(r, "uuid", None) in words_of_his)

    grow(rnd, his, bob)
    grow(rnd, hers, alice, bob, collect)
    sessions.tag(his[0], bob, [words(rnd, 1)])
    tokens.create(bob)
    jobs.run(account, "import", {"file": words(rnd, 3)}, lambda: {"said": words(rnd, 3)})
    collect()
    proof = erase.erase(account, None)
    assert proof["removed"]["sessions"] == 6
    assert_clean(remains, pieces=1_000, tokens=3_000)
    assert not DataKey.objects.filter(account=account).exists()
    assert hers[0].messages.filter(deleted_at=None).count() == TURNS


def test_neither_leaves_a_file_behind(alice, talk):
    before = {path for path in Path(settings.CHATHISTORY_HOME).rglob("*") if path.is_file()}
    session = talk("something")
    sessions.delete(session, alice)
    purge.purge(Session.objects.get(), alice)
    erase.erase(accounts.of(alice), None)
    after = {path for path in Path(settings.CHATHISTORY_HOME).rglob("*") if path.is_file()}
    assert {path.name for path in after - before} <= {"erasures.jsonl", "master.keys"}
