"""sessions.fork: a branch copied into a session of one's own."""

from __future__ import annotations

import pytest

from chathistory import ids, records
from chathistory.actions import accounts, messages, sessions
from chathistory.exceptions import Invalid, NotAllowed, NotFound
from chathistory.models import Change, Session
from chathistory.search.find import search


def said(session: Session) -> list[str]:
    rows = session.messages.order_by("seq")
    return [records.open_body(row, session).content for row in rows]


def test_happy_the_branch_shown_is_copied_and_lives_on_alone(alice, talk):
    session = talk("one", "two", "three", title="T", metadata={"a": 1})
    copy = sessions.fork(session, alice)
    assert said(copy) == ["one", "two", "three"]
    assert records.title_of(copy) == "T"
    assert records.metadata_of(copy) == {"a": 1, "forked_from": str(session.uuid)}
    assert (copy.message_count, copy.last_seq, copy.head_seq) == (3, 3, 3)
    assert copy.total_tokens == session.total_tokens
    parents = list(copy.messages.order_by("seq").values_list("parent_seq", flat=True))
    assert parents == [None, 1, 2]
    messages.append(copy, alice, "assistant", "four")
    assert said(session) == ["one", "two", "three"]
    assert {hit.session for hit in search(alice, "two").hits} == {session, copy}


def test_happy_another_branch_is_copied_from_its_message(alice, talk):
    session = talk("one", "two")
    second = session.messages.get(seq=2)
    messages.branch(second, alice, "two again")
    session = Session.objects.select_related("account").get()
    assert said(sessions.fork(session, alice, at=second.uuid)) == ["one", "two"]
    assert said(sessions.fork(session, alice)) == ["one", "two again"]


def test_happy_a_tombstone_is_left_out(alice, talk):
    session = talk("one", "two", "three")
    messages.delete(session.messages.get(seq=2), alice)
    assert said(sessions.fork(session, alice)) == ["one", "three"]


def test_happy_an_empty_session_forks_into_an_empty_one(alice, talk):
    copy = sessions.fork(talk(), alice)
    assert said(copy) == []
    assert copy.title is None
    messages.append(copy, alice, "user", "the first question")
    assert records.title_of(Session.objects.get(pk=copy.pk)) == "the first question"


def test_happy_a_readers_copy_is_the_readers_and_the_owner_cannot_see_it(
    alice, bob, charlie, talk, invite
):
    session = talk("zebra")
    invite(session, bob)
    copy = sessions.fork(session, bob)
    assert copy.account == accounts.of(bob)
    assert not Session.objects.visible_to(alice, "read").filter(pk=copy.pk).exists()
    session.shares.all().delete()
    assert [hit.session for hit in search(bob, "zebra").hits] == [copy]


def test_stranger_gets_not_found_and_nobody_gets_a_copy(charlie, nobody, talk):
    session = talk("mine")
    for user in (charlie, nobody):
        with pytest.raises((NotFound, NotAllowed)) as refused:
            sessions.fork(session, user)
        assert refused.type is NotFound
    assert Session.objects.count() == 1


def test_malformed_places_are_refused_and_nothing_is_stored(alice, talk):
    session, other = talk("mine"), talk("another")
    for at in (ids.new_id(), other.messages.get().uuid):
        with pytest.raises(Invalid) as refused:
            sessions.fork(session, alice, at=at)
        assert refused.value.field == "message_id"
    assert Session.objects.count() == 2


def test_repeated_makes_another_copy_each_time(alice, talk):
    session = talk("one")
    before = session.version
    copies = [sessions.fork(session, alice) for _ in range(3)]
    assert len({copy.uuid for copy in copies}) == 3
    assert all(said(copy) == ["one"] for copy in copies)
    assert Session.objects.get(pk=session.pk).version == before


@pytest.mark.django_db(transaction=True)
def test_concurrent_forks_are_all_whole(alice, talk, together):
    session = talk("one", "two")
    copies = together(*[lambda: sessions.fork(session, alice)] * 5)
    assert [said(copy) for copy in copies] == [["one", "two"]] * 5
    seqs = list(Change.objects.order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, len(seqs) + 1))
