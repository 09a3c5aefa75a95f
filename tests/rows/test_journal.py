"""The journal is dense, complete, and says what each row was before."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from django.contrib.auth.models import User

from chathistory import crypto, keyring
from chathistory.actions import accounts, jobs, messages, sessions, tokens
from chathistory.crypto import Context
from chathistory.journal import Operation
from chathistory.models import Account, Change, Job, Message, Revision, Session, Tag, Token
from tests.conftest import Talk

TABLES = {
    "session": Session,
    "message": Message,
    "revision": Revision,
    "tag": Tag,
    "job": Job,
    "token": Token,
}


def before(change: Change, session: Session | None) -> dict:
    """Open a before-image with the context its docstring names."""
    account = change.account
    key = keyring.account_keys(account).rows
    if session is not None:
        key = keyring.session_key(account, session)
    uuid = session.uuid if session else None
    context = Context("change", "before", change.row, uuid, change.table, change.seq)
    return json.loads(crypto.unseal(key, change.before, context))


def live_a_little(alice: User, talk: Talk) -> Session:
    """Use every verb once."""
    session = talk("What is a monad?", "A monoid.", title="Functors")
    question, answer = session.messages.order_by("seq")
    messages.edit(answer, alice, "A monoid in the category of endofunctors.")
    messages.branch(question, alice, "What is a comonad?")
    messages.delete(question, alice)
    sessions.change(session, alice, title="Monads", pinned=True, tags=["maths", "cs"])
    sessions.retag(session, alice, ["cs"], add=False)
    sessions.change(session, alice, metadata={"course": 1})
    sessions.fork(session, alice)
    sessions.delete(session, alice)
    sessions.restore(session, alice)
    jobs.run(session.account, "import", {"name": "a.json"}, lambda: 1)
    token = tokens.find(tokens.create(alice))
    assert token is not None
    tokens.revoke(token, alice)
    return session


def test_every_touched_row_has_one_change_and_carries_its_number(alice: User, talk: Talk) -> None:
    live_a_little(alice, talk)
    account = Account.objects.get(user=alice)
    changes = list(Change.objects.filter(account=account).order_by("seq"))
    assert [change.seq for change in changes] == list(range(1, account.seq + 1))
    assert [c.at for c in changes] == sorted(c.at for c in changes)
    touched = Counter((c.operation, c.table, c.row) for c in changes)
    assert set(touched.values()) == {1}
    newest = {(change.table, change.row): change.seq for change in changes}
    rows = {
        (name, uuid): changed
        for name, model in TABLES.items()
        for uuid, changed in model.objects.values_list("uuid", "changed")
    }
    assert rows == newest
    assert {table for table, _ in rows} == set(TABLES)


def test_a_before_image_holds_what_was_replaced(alice: User, talk: Talk) -> None:
    session = talk("Hello", title="Old title", metadata={"a": 1})
    sessions.change(session, alice, title="New title", pinned=True, metadata={"b": 2})
    change = Change.objects.get(op="session.change", table="session")
    assert before(change, session) == {
        "title": "Old title",
        "title_source": "user",
        "pinned": False,
        "metadata": {"a": 1},
        "updated_at": session.updated_at.isoformat(),
    }


def test_an_append_keeps_what_it_moved(alice: User, talk: Talk) -> None:
    session = talk("First")
    messages.append(session, alice, "assistant", "Second")
    change = Change.objects.filter(op="message.append", table="session").latest("seq")
    kept = before(change, session)
    assert (kept["head_seq"], kept["last_seq"], kept["state"]) == (1, 1, "active")
    assert kept["title"] == "First"
    assert kept["last_activity"] == session.last_activity.isoformat()


def test_a_new_row_has_no_before_image(talk: Talk) -> None:
    talk("Hello")
    for change in Change.objects.filter(table="message"):
        assert change.before is None


def test_an_operation_that_fails_leaves_no_trace(alice: User) -> None:
    account = accounts.of(alice)

    def fail() -> None:
        with Operation(account, account, "test") as op:
            op.record("session", account.uuid)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    account.refresh_from_db()
    assert account.seq == 0
    assert not Change.objects.exists()


def test_an_operation_that_records_nothing_leaves_the_journal_as_it_was(alice: User) -> None:
    account = accounts.of(alice)
    with Operation(account, account, "test"):
        pass
    account.refresh_from_db()
    assert account.seq == 0


def test_time_never_goes_back(alice: User, talk: Talk, time_machine) -> None:
    session = talk("Now")
    newest = Change.objects.latest("seq").at
    time_machine.move_to("2001-01-01")
    messages.append(session, alice, "user", "Then")
    assert Change.objects.latest("seq").at == newest


def test_the_actor_of_a_change_is_who_did_it(alice: User, bob: User, talk, invite) -> None:
    session = talk("Mine")
    invite(session, bob, "read", "write")
    messages.append(session, bob, "user", "Yours")
    change = Change.objects.filter(table="message").latest("seq")
    assert (change.account, change.actor) == (accounts.of(alice), accounts.of(bob))
