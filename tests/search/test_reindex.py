"""The index made anew beside the one in use: found meanwhile, whole afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from chathistory import keyring
from chathistory.actions import accounts, indexing, messages, purge, sessions
from chathistory.models import Message, Session
from chathistory.search import base, generations, tokens, upkeep
from chathistory.search.base import Doc, index
from chathistory.search.find import search
from tests.living import Work, indexed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def said(alice: User, talk: Any) -> list[Message]:
    session = talk(*(f"zebra number{n}" for n in range(9)), title="birds", metadata={"who": "Acme"})
    talk("another lion", title="cats")
    return list(session.messages.order_by("seq").select_related("session__account"))


@pytest.fixture
def no_grace(monkeypatch: Any) -> None:
    monkeypatch.setattr(generations, "GRACE", -1)


class Stopped(Exception):
    """As a kill at that moment would be: nothing else is written."""


def stop_after(monkeypatch: Any, steps: int) -> None:
    """Let a re-index stop after so many transactions."""
    real, left = indexing._put_messages, [steps]

    def put(rows: Any, **more: Any) -> Any:
        if not left[0]:
            raise Stopped
        left[0] -= 1
        return real(rows, **more)

    monkeypatch.setattr(indexing, "_put_messages", put)
    monkeypatch.setattr(indexing, "_MESSAGES", 2)


def count(user: User, query: str) -> int:
    answer = search(user, query, limit=50)
    return len(answer.hits) + len(answer.titles)


def test_everything_is_found_as_before(alice: User, said: list[Message], no_grace: None) -> None:
    assert indexing.run() == {"messages": 10, "titles": 2, "closed": 0}
    assert index().generations.live.number == 2
    assert {row.indexed for row in Message.objects.all()} == {2}
    assert {row.indexed for row in Session.objects.all()} == {4}
    assert [count(alice, one) for one in ("zebra", "birds", "acme", "lion")] == [9, 1, 1, 1]
    assert indexed(accounts.of(alice))
    assert index().drop(lambda: None)
    assert [one.number for one in index().generations.written] == [2]
    assert indexing.run()["messages"] == 10
    assert indexed(accounts.of(alice))


def test_stopped_anywhere_it_goes_on_and_what_is_done_meanwhile_is_found(
    alice: User, said: list[Message], monkeypatch: Any
) -> None:
    for steps in (0, 1, 3):
        with monkeypatch.context() as patched:
            stop_after(patched, steps)
            with pytest.raises(Stopped):
                indexing.run()
        building = index().generations.building
        assert building is not None
        assert count(alice, "zebra") == 9
    assert {row.indexed for row in said[0].session.messages.all()} == {1, building.number}
    first, *_others, last = Message.objects.filter(session=said[0].session).order_by("seq")
    for row in (first, last):
        row.session.account = accounts.of(alice)
    assert (first.indexed, last.indexed) == (building.number, 1)
    messages.edit(first, alice, "heron one")
    messages.edit(last, alice, "heron two")
    second, third = Message.objects.filter(session=said[0].session, seq__in=(2, 8)).order_by("seq")
    messages.delete(second, alice)
    messages.delete(third, alice)
    messages.append(said[0].session, alice, "user", "heron three")
    sessions.rename(said[0].session, alice, "fish")
    for _time in range(2):
        assert [count(alice, one) for one in ("zebra", "heron", "birds", "fish")] == [5, 3, 0, 1]
        assert indexing.run()["closed"] == 0
        assert indexed(accounts.of(alice))


def test_a_purge_meanwhile_leaves_nothing(
    alice: User, said: list[Message], monkeypatch: Any, no_grace: None
) -> None:
    with monkeypatch.context() as patched:
        stop_after(patched, 2)
        with pytest.raises(Stopped):
            indexing.run()
    purge.purge(sessions.delete(said[0].session, alice), alice)
    indexing.run()
    keyed = keyring.account_keys(accounts.of(alice)).search
    assert index().counts([keyed.token("zebra")], 9)[0] == 0
    assert index().read([row.place for row in said]) == []
    assert index().merge(lambda: None)


def test_what_left_the_old_index_alone_is_not_gone_before_it_is(
    alice: User, said: list[Message]
) -> None:
    indexing.run()
    purge.purge(sessions.delete(said[0].session, alice), alice)
    assert purge.scrub(lambda: None) in ("busy", "vacuum")
    assert [one.number for one in index().generations.retired] == [1]


def test_another_tokeniser_is_a_new_index_and_queued_by_itself(
    alice: User, said: list[Message], monkeypatch: Any, no_grace: None
) -> None:
    assert indexing.queue() is None
    monkeypatch.setattr(base, "VERSION", base.VERSION + 1)
    real = tokens.Keyed.of_text
    monkeypatch.setattr(
        tokens.Keyed, "of_text", lambda self, text: real(self, text.replace("number", "no "))
    )
    assert not index().generations.is_current
    # Nothing is taken out of what cannot be told, and yet nothing wrong is found.
    messages.edit(said[0], alice, "a heron")
    messages.delete(said[1], alice)
    assert [count(alice, one) for one in ("zebra", "heron", "number0")] == [7, 1, 0]
    job = indexing.queue()
    assert job is not None
    assert indexing.queue() is None
    indexing.reindex(Work(accounts.system()))
    assert index().generations.is_current
    assert [count(alice, one) for one in ("zebra", "heron", "zebra 5")] == [7, 1, 1]
    assert indexed(accounts.of(alice))
    assert index().drop(lambda: None)


def test_an_index_begun_by_another_tokeniser_is_begun_again(
    alice: User, said: list[Message], monkeypatch: Any, no_grace: None
) -> None:
    with monkeypatch.context() as patched:
        stop_after(patched, 2)
        with pytest.raises(Stopped):
            indexing.run()
    monkeypatch.setattr(base, "VERSION", base.VERSION + 1)
    messages.append(said[0].session, alice, "user", "heron")
    indexing.run()
    assert index().generations.live.number == 3
    assert indexed(accounts.of(alice))
    assert index().drop(lambda: None)


def test_titles_of_before_get_their_metadata(alice: User, said: list[Message]) -> None:
    session = said[0].session
    index().remove(upkeep.title_docs(session), titles=True)
    keyed = keyring.account_keys(session.account).search
    index().add([Doc(session.pk, keyed.of_text("birds"))], titles=True)
    Session.objects.filter(pk=session.pk).update(indexed=1)
    assert count(alice, "acme") == 0
    told = indexing.tend(Work(accounts.system()))
    assert told == {"messages": 0, "titles": 1, "closed": 0, "queued": False}
    assert count(alice, "acme") == count(alice, "birds") == 1
    assert indexed(accounts.of(alice))
    assert indexing.tend(Work(accounts.system()))["titles"] == 0


def test_what_was_left_out_is_brought_in(alice: User, said: list[Message]) -> None:
    upkeep.drop(said[:3])
    assert count(alice, "zebra") == 6
    assert indexing.tend(Work(accounts.system()))["messages"] == 3
    assert count(alice, "zebra") == 9
    assert indexed(accounts.of(alice))


def test_what_does_not_open_is_left_out_and_counted(alice: User, said: list[Message]) -> None:
    Message.objects.filter(pk=said[4].pk).update(body=b"\0" * 60)
    Session.objects.filter(pk=said[0].session_id).update(metadata=b"\0" * 60)
    assert indexing.run() == {"messages": 9, "titles": 2, "closed": 1}
    assert count(alice, "zebra") == 8
    assert count(alice, "birds") == 1
    assert Session.objects.get(pk=said[0].session_id).indexed == 3
    assert indexing.run()["closed"] == 1


def test_one_persons_are_put_in_again(alice: User, bob: User, talk: Any, said: Any) -> None:
    talk("zebra of bob", user=bob)
    keyed = keyring.account_keys(accounts.of(alice)).search
    lost = [Doc(said[3].place, keyed.of_text("zebra number3"))]
    index().remove(lost)
    assert count(alice, "zebra") == 8
    assert indexing.run(user=alice) == {"messages": 10, "titles": 2, "closed": 0}
    assert count(alice, "zebra") == 9
    assert count(bob, "zebra") == 2  # with the title made of it
    assert indexed(accounts.of(alice))
    assert indexed(accounts.of(bob))


def test_an_index_of_before_the_numbers_is_the_first(alice: User, said: list[Message]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {generations.TABLE}")
    index().create()
    assert index().generations.live[:3] == (1, 1, "live")
    assert count(alice, "zebra") == 9


def test_forgetting_everything_begins_with_the_first(alice: User, said: list[Message]) -> None:
    indexing.run()
    index().clear()
    assert index().generations.live[:3] == (1, base.VERSION, "live")
    assert count(alice, "zebra") == 0
