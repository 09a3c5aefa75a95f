"""sessions.pin: to the top of the owner's list."""

from __future__ import annotations

import pytest

from chathistory import listing
from chathistory.actions import sessions
from chathistory.exceptions import Invalid, NotAllowed, NotFound
from chathistory.models import Change, Session


def shown(user) -> list:
    return [row.uuid for row in listing.page(user, order="shown").sessions]


def test_happy_a_pinned_session_stands_first_until_let_go(alice, talk):
    old, new = talk("old"), talk("new")
    assert shown(alice) == [new.uuid, old.uuid]
    assert sessions.pin(old, alice).pinned
    assert shown(alice) == [old.uuid, new.uuid]
    assert not sessions.pin(old, alice, False).pinned
    assert shown(alice) == [new.uuid, old.uuid]


def test_stranger_gets_not_found_and_no_grant_is_enough(bob, charlie, talk, invite):
    session = talk("mine")
    invite(session, bob, "read", "edit", "share")
    with pytest.raises(NotFound):
        sessions.pin(session, charlie)
    with pytest.raises(NotAllowed):
        sessions.pin(session, bob)
    assert not Session.objects.get().pinned


@pytest.mark.parametrize("pinned", ["yes", 1, [], "false"])
def test_malformed_values_are_refused(alice, talk, pinned):
    with pytest.raises(Invalid) as refused:
        sessions.pin(talk("mine"), alice, pinned)
    assert refused.value.field == "pinned"
    assert Session.objects.get().pinned is False


def test_repeated_writes_nothing(alice, talk):
    session = sessions.pin(talk("mine"), alice)
    before = Change.objects.count()
    assert sessions.pin(session, alice).version == session.version
    assert Change.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_concurrent_pins_change_it_once(alice, talk, together):
    session = talk("mine")
    assert all(one.pinned for one in together(*[lambda: sessions.pin(session, alice)] * 6))
    assert Change.objects.filter(op="session.change").count() == 1
    assert Session.objects.get().version == session.version + 1
