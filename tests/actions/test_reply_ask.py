"""reply.ask: the question is stored first, whatever comes of the answer."""

from __future__ import annotations

import pytest

from chathistory import records
from chathistory.actions import reply, sessions
from chathistory.exceptions import (
    Conflict,
    Invalid,
    LimitExceeded,
    NotAllowed,
    NotFound,
    Unavailable,
)
from chathistory.models import Message, Session
from tests.actions.responders import WORKFLOWS


@pytest.fixture(autouse=True)
def workflows(settings) -> None:
    settings.CHATHISTORY_WORKFLOWS = WORKFLOWS


def said() -> list[tuple[str, str, str]]:
    session = Session.objects.select_related("account").get()
    rows = session.messages.order_by("seq")
    return [(r.role, r.status, records.open_body(r, session).content) for r in rows]


def ask(workflow: str, user, content: str | None = "Why?") -> list[reply.Piece]:
    session = Session.objects.first() or sessions.create(user, workflow)
    _, answer = reply.ask(Session.objects.get(pk=session.pk), user, content)
    return list(answer)


def test_happy_the_answer_comes_in_pieces_and_is_stored_under_the_question(alice):
    *deltas, last = ask("echo", alice)
    assert [piece.text for piece in deltas] == ["You said: ", "Why?"]
    assert last.kind == "done"
    assert said() == [("user", "complete", "Why?"), ("assistant", "complete", "You said: Why?")]
    assert last.message.parent_seq == 1


def test_happy_the_question_is_there_before_anything_is_asked(alice):
    session = sessions.create(alice, "broken")
    question, _ = reply.ask(session, alice, "Why?")
    assert said() == [("user", "complete", "Why?")]
    assert question.seq == 1


@pytest.mark.parametrize("workflow", ["broken", "silent", "numbers", "endless"])
def test_a_failed_answer_is_marked_and_the_question_can_be_asked_again(alice, workflow, settings):
    last = ask(workflow, alice)[-1]
    assert last.kind == "error"
    assert [(role, status) for role, status, _ in said()] == [
        *(("user", "complete"), ("assistant", "failed"))
    ]
    settings.CHATHISTORY_WORKFLOWS = WORKFLOWS | {workflow: WORKFLOWS["echo"]}
    assert ask(workflow, alice, None)[-1].kind == "done"
    assert said()[-1] == ("assistant", "complete", "You said: Why?")
    assert Message.objects.get(seq=3).parent_seq == 1
    assert len(said()) == 3


def test_what_was_said_stays_when_the_reader_leaves(alice):
    _, answer = reply.ask(sessions.create(alice, "echo"), alice, "Why?")
    next(answer)
    answer.close()
    assert said()[-1] == ("assistant", "failed", "You said:")


def test_stranger_gets_not_found_and_a_reader_is_not_allowed(alice, bob, charlie, invite):
    session = sessions.create(alice, "echo")
    invite(session, bob)
    with pytest.raises(NotFound):
        reply.ask(session, charlie, "Why?")
    with pytest.raises(NotAllowed):
        reply.ask(session, bob, "Why?")
    assert not Message.objects.exists()


@pytest.mark.parametrize("content", ["", " ", 5, "a\0b", "\ud800", "x" * 2_000_001, None])
def test_malformed_questions_are_refused_and_nothing_is_stored(alice, content):
    session = sessions.create(alice, "echo")
    with pytest.raises((Invalid, LimitExceeded)) as refused:
        reply.ask(session, alice, content)
    assert refused.value.data["field"] == "content"
    assert not Message.objects.exists()


@pytest.mark.parametrize(("workflow", "error"), [("mute", Conflict), ("missing", Unavailable)])
def test_malformed_workflows_are_refused_before_anything_is_stored(alice, workflow, error):
    with pytest.raises(error):
        ask(workflow, alice)
    assert not Message.objects.exists()


def test_repeated_without_a_question_left_is_refused(alice):
    ask("echo", alice)
    with pytest.raises(Invalid):
        ask("echo", alice, None)
    assert len(said()) == 2


@pytest.mark.django_db(transaction=True)
def test_concurrent_questions_each_get_their_own_answer(alice, together):
    session = sessions.create(alice, "echo")
    together(*[lambda n=n: list(reply.ask(session, alice, f"q{n}")[1]) for n in range(5)])
    rows = {row.seq: row for row in session.messages.all()}
    assert sorted(rows) == list(range(1, 11))
    for row in rows.values():
        if row.role == "assistant":
            asked = records.open_body(rows[row.parent_seq], session).content
            assert records.open_body(row, session).content == f"You said: {asked}"
