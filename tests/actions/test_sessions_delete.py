"""sessions.delete: into the trash."""

from __future__ import annotations

from datetime import timedelta

import pytest

from chathistory import listing
from chathistory.actions import retention, sessions
from chathistory.exceptions import NotAllowed, NotFound, Stale
from chathistory.models import Change, Message, Session
from chathistory.search.find import search


def test_happy_it_leaves_lists_and_search_and_keeps_its_messages(alice, talk):
    session = talk("zebra", "a striped horse")
    gone = sessions.delete(session, alice)
    assert (gone.state, gone.version) == ("deleted", session.version + 1)
    assert gone.deleted_at is not None
    assert listing.page(alice).sessions == []
    answer = search(alice, "zebra")
    assert (answer.hits, answer.titles) == ([], [])
    assert Message.objects.filter(session=session).count() == 2


@pytest.mark.parametrize("days", [7, 30, 0])
def test_happy_the_trash_keeps_it_as_long_as_the_policy_says(alice, talk, days):
    retention.set_policy(None, trash_for=days * 86_400)
    gone = sessions.delete(talk("zebra"), alice)
    assert gone.purge_after == (gone.deleted_at + timedelta(days=days) if days else None)


def test_happy_who_may_delete_may_do_it_for_the_owner(bob, talk, invite):
    session = talk("shared")
    invite(session, bob, "read", "delete")
    assert sessions.delete(session, bob).state == "deleted"


def test_stranger_gets_not_found(bob, charlie, nobody, talk, invite):
    session = talk("mine")
    invite(session, bob, "read", "edit")
    for user in (charlie, nobody):
        with pytest.raises(NotFound):
            sessions.delete(session, user)
    with pytest.raises(NotAllowed):
        sessions.delete(session, bob)
    assert Session.objects.get().state == "active"


@pytest.mark.parametrize("version", [0, -1, 10**30, "2", 2.5])
def test_malformed_versions_are_stale(alice, talk, version):
    with pytest.raises(Stale):
        sessions.delete(talk("mine"), alice, version=version)
    assert Session.objects.get().state == "active"


def test_repeated_does_nothing(alice, talk):
    session = talk("mine")
    gone = sessions.delete(session, alice)
    before = Change.objects.count()
    again = sessions.delete(session, alice)
    assert (again.version, again.deleted_at) == (gone.version, gone.deleted_at)
    assert Change.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_concurrent_deletes_are_one(alice, talk, together):
    session = talk("mine")
    gone = together(*[lambda: sessions.delete(session, alice)] * 6)
    assert {one.state for one in gone} == {"deleted"}
    assert Change.objects.filter(op="session.delete").count() == 1
