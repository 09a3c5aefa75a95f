"""messages.delete: a tombstone in the tree."""

from __future__ import annotations

import pytest

from chathistory import records
from chathistory.actions import messages, sessions
from chathistory.exceptions import Conflict, NotAllowed, NotFound, Stale
from chathistory.models import Change, Message, Session
from chathistory.search.find import search


def reread(session: Session) -> Session:
    return Session.objects.select_related("account").get(pk=session.pk)


def test_happy_it_leaves_search_and_counts_and_keeps_its_place(alice, talk):
    session = talk("zebra one", "zebra two", "zebra three")
    tokens = session.messages.get(seq=2).tokens
    messages.delete(session.messages.get(seq=2), alice)
    fresh = reread(session)
    assert (fresh.message_count, fresh.last_seq, fresh.head_seq) == (2, 3, 3)
    assert fresh.total_tokens == session.total_tokens - tokens
    assert {hit.message.seq for hit in search(alice, "zebra").hits} == {1, 3}
    assert [row.seq for row in sessions.branch(fresh, 3)] == [1, 3]
    tombstone = session.messages.get(seq=2)
    assert tombstone.deleted_at is not None
    assert (tombstone.indexed, tombstone.parent_seq) == (0, 1)


def test_happy_a_deleted_head_leaves_no_preview(alice, talk):
    session = talk("zebra")
    messages.delete(session.messages.get(), alice)
    assert records.preview_of(reread(session)) == ""


def test_happy_the_title_that_it_gave_goes_with_it(alice, talk):
    session = talk("my password is hunter2", "Never say it.", "what is rye?", "A grain.")
    messages.delete(session.messages.get(seq=1), alice)
    assert records.title_of(reread(session)) == "what is rye?"
    assert not search(alice, "hunter2").titles
    assert len(search(alice, "rye").titles) == 1
    messages.delete(session.messages.get(seq=3), alice)
    assert reread(session).title is None
    assert not search(alice, "rye").titles
    messages.append(session, alice, "user", "and wheat?")
    assert records.title_of(reread(session)) == "and wheat?"
    assert len(search(alice, "wheat").titles) == 1


def test_happy_a_title_from_elsewhere_stays(alice, talk):
    named, first = talk("hunter2", title="Mine"), talk("first", "answer", "second")
    messages.delete(named.messages.get(), alice)
    for seq in (2, 3):
        messages.delete(first.messages.get(seq=seq), alice)
    assert records.title_of(reread(named)) == "Mine"
    assert records.title_of(reread(first)) == "first"


def test_stranger_gets_not_found_and_a_writer_is_not_allowed(bob, charlie, nobody, talk, invite):
    session = talk("mine")
    message = session.messages.get()
    invite(session, bob, "read", "write")
    for user in (charlie, nobody):
        with pytest.raises(NotFound):
            messages.delete(message, user)
    with pytest.raises(NotAllowed):
        messages.delete(message, bob)
    assert Message.objects.get().deleted_at is None


@pytest.mark.parametrize("changed", [0, -1, 10**30, "2", 2.5])
def test_malformed_or_old_numbers_are_stale(alice, talk, changed):
    message = talk("mine").messages.get()
    with pytest.raises(Stale):
        messages.delete(message, alice, changed=changed)
    assert Message.objects.get().deleted_at is None


def test_repeated_does_nothing(alice, talk):
    session = talk("one", "two")
    gone = messages.delete(session.messages.get(seq=1), alice)
    before, fresh = Change.objects.count(), reread(session)
    assert messages.delete(session.messages.get(seq=1), alice).deleted_at == gone.deleted_at
    assert Change.objects.count() == before
    assert reread(session).version == fresh.version


def test_what_is_in_the_trash_is_left_alone(alice, talk):
    session = talk("mine")
    sessions.delete(session, alice)
    with pytest.raises(Conflict):
        messages.delete(session.messages.get(), alice)


@pytest.mark.django_db(transaction=True)
def test_concurrent_deletes_count_once(alice, talk, together):
    session = talk("zebra one", "zebra two")
    message = session.messages.select_related("session__account").get(seq=1)
    together(*[lambda: messages.delete(message, alice)] * 6)
    fresh = reread(session)
    assert (fresh.message_count, fresh.version) == (1, session.version + 1)
    assert [hit.message.seq for hit in search(alice, "zebra").hits] == [2]


@pytest.mark.django_db(transaction=True)
def test_concurrent_edit_and_delete_leave_nothing_to_be_found(alice, talk, together):
    session = talk("zebra")
    message = session.messages.select_related("session__account").get()
    for _ in range(4):
        together(
            lambda: messages.edit(message, alice, "lion"), lambda: messages.delete(message, alice)
        )
    assert reread(session).message_count == 0
    assert reread(session).total_tokens == 0
    assert not search(alice, "zebra").hits + search(alice, "lion").hits
