"""messages.branch: say something else at the same place."""

from __future__ import annotations

import pytest

from chathistory import records
from chathistory.actions import messages, sessions
from chathistory.exceptions import Conflict, Invalid, LimitExceeded, NotAllowed, NotFound
from chathistory.models import Message, Session


def reread(session: Session) -> Session:
    return Session.objects.select_related("account").get(pk=session.pk)


def shown(session: Session) -> list[str]:
    fresh = reread(session)
    path = sessions.branch(fresh, fresh.head_seq)
    return [records.open_body(row, fresh).content for row in path]


def test_happy_the_sibling_is_shown_and_the_first_stays(alice, talk):
    session = talk("q1", "a1", "q2", "a2")
    question = session.messages.get(seq=3)
    sibling = messages.branch(question, alice, "q2 put better")
    assert (sibling.parent_seq, sibling.role, sibling.seq) == (2, "user", 5)
    assert shown(session) == ["q1", "a1", "q2 put better"]
    assert reread(session).message_count == 5
    messages.append(reread(session), alice, "assistant", "a3")
    assert shown(session) == ["q1", "a1", "q2 put better", "a3"]


def test_happy_a_root_gets_a_second_root(alice, talk):
    session = talk("first", "answer")
    sibling = messages.branch(session.messages.get(seq=1), alice, "first, put better")
    assert sibling.parent_seq is None
    assert shown(session) == ["first, put better"]


def test_happy_an_answer_made_anew_is_an_answer(alice, talk):
    session = talk("q", "a")
    assert messages.branch(session.messages.get(seq=2), alice, "b").role == "assistant"
    assert shown(session) == ["q", "b"]


def test_stranger_gets_not_found_and_a_reader_is_not_allowed(bob, charlie, talk, invite):
    session = talk("mine")
    invite(session, bob)
    message = session.messages.get()
    with pytest.raises(NotFound):
        messages.branch(message, charlie, "x")
    with pytest.raises(NotAllowed):
        messages.branch(message, bob, "x")
    assert Message.objects.count() == 1


@pytest.mark.parametrize("bad", ["", " ", None, 5, "a\0b", "\udead", "x" * 2_000_001])
def test_malformed_texts_are_refused_and_nothing_is_stored(alice, talk, bad):
    session = talk("mine")
    with pytest.raises((Invalid, LimitExceeded)) as refused:
        messages.branch(session.messages.get(), alice, bad)
    assert refused.value.data["field"] == "content"
    assert shown(session) == ["mine"]


def test_repeated_makes_a_sibling_each_time(alice, talk):
    session = talk("q", "a")
    answer = session.messages.get(seq=2)
    made = [messages.branch(answer, alice, "again") for _ in range(3)]
    assert [row.seq for row in made] == [3, 4, 5]
    assert {row.parent_seq for row in made} == {1}


def test_what_is_in_the_trash_gets_no_sibling(alice, talk):
    session = talk("q")
    sessions.delete(session, alice)
    with pytest.raises(Conflict):
        messages.branch(session.messages.get(), alice, "x")


@pytest.mark.django_db(transaction=True)
def test_concurrent_siblings_are_all_there(alice, talk, together):
    session = talk("q", "a")
    answer = session.messages.get(seq=2)
    made = together(*[lambda n=n: messages.branch(answer, alice, f"b{n}") for n in range(6)])
    assert {row.parent_seq for row in made} == {1}
    assert sorted(row.seq for row in made) == list(range(3, 9))
    fresh = reread(session)
    assert (fresh.head_seq, fresh.last_seq, fresh.message_count) == (8, 8, 8)
