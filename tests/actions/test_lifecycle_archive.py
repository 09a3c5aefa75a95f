"""lifecycle.archive: put away until somebody resumes it."""

from __future__ import annotations

import pytest

from chathistory import listing
from chathistory.actions import lifecycle, messages, sessions
from chathistory.exceptions import Conflict, NotAllowed, NotFound, Stale
from chathistory.models import Change, Session


def test_happy_it_is_archived_listed_and_woken_by_a_message(alice, talk):
    session = talk("zebra")
    put_away = lifecycle.archive(session, alice)
    assert (put_away.state, put_away.version) == ("archived", session.version + 1)
    assert put_away.archived_at == put_away.updated_at
    assert listing.page(alice).sessions == [put_away]
    messages.append(put_away, alice, "user", "And a mule?")
    row = Session.objects.get()
    assert (row.state, row.archived_at) == ("active", None)


def test_happy_a_pinned_session_is_archived_by_hand(alice, talk):
    session = sessions.pin(talk("mine"), alice)
    assert lifecycle.archive(session, alice).state == "archived"


def test_stranger_gets_not_found_and_no_grant_is_enough(bob, charlie, nobody, talk, invite):
    session = talk("mine")
    invite(session, bob, "read", "write", "edit", "delete", "share")
    for user in (charlie, nobody):
        with pytest.raises(NotFound):
            lifecycle.archive(session, user)
    with pytest.raises(NotAllowed):
        lifecycle.archive(session, bob)
    assert Session.objects.get().state == "active"


@pytest.mark.parametrize("version", [0, -1, 10**30, "2", 2.5])
def test_malformed_versions_are_stale(alice, talk, version):
    with pytest.raises(Stale):
        lifecycle.archive(talk("mine"), alice, version=version)
    assert Session.objects.get().state == "active"


def test_malformed_one_in_the_trash_is_a_conflict(alice, talk):
    session = sessions.delete(talk("mine"), alice)
    with pytest.raises(Conflict):
        lifecycle.archive(session, alice)
    assert Session.objects.get().state == "deleted"


def test_repeated_does_nothing(alice, talk):
    put_away = lifecycle.archive(talk("mine"), alice)
    before = Change.objects.count()
    again = lifecycle.archive(put_away, alice)
    assert (again.version, again.archived_at) == (put_away.version, put_away.archived_at)
    assert Change.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_concurrent_archives_are_one(alice, talk, together):
    session = talk("mine")
    done = together(*[lambda: lifecycle.archive(session, alice)] * 6)
    assert {one.state for one in done} == {"archived"}
    assert Change.objects.filter(op="session.archive").count() == 1
