"""sessions.retag: some more tags, or some fewer."""

from __future__ import annotations

import pytest

from chathistory import represent
from chathistory.actions import sessions
from chathistory.exceptions import Conflict, Invalid, LimitExceeded, NotAllowed, NotFound
from chathistory.models import Change, Session


def tags() -> list[str]:
    return represent.tag_names(Session.objects.select_related("account").get())


def test_happy_others_stay_as_they_are(alice, talk):
    session = sessions.tag(talk("mine"), alice, ["a", "b"])
    sessions.retag(session, alice, ["c", "A"], add=True)
    assert tags() == ["a", "b", "c"]
    sessions.retag(session, alice, ["B", "unknown"], add=False)
    assert tags() == ["a", "c"]


def test_stranger_gets_not_found_and_no_grant_is_enough(bob, charlie, talk, invite):
    session = talk("mine")
    invite(session, bob, "read", "edit", "share")
    with pytest.raises(NotFound):
        sessions.retag(session, charlie, ["x"], add=True)
    with pytest.raises(NotAllowed):
        sessions.retag(session, bob, ["x"], add=True)


@pytest.mark.parametrize("names", ["word", None, 5, [""], [5], ["nul\0"], ["x" * 51]], ids=repr)
@pytest.mark.parametrize("add", [True, False])
def test_malformed_tags_are_refused(alice, talk, names, add):
    with pytest.raises((Invalid, LimitExceeded)) as refused:
        sessions.retag(talk("mine"), alice, names, add=add)
    assert refused.value.data["field"] == "tags"


def test_malformed_too_many_in_the_end_are_refused_and_nothing_moves(alice, talk):
    session = sessions.tag(talk("mine"), alice, [f"t{n}" for n in range(50)])
    before = Change.objects.count()
    with pytest.raises(LimitExceeded):
        sessions.retag(session, alice, ["one more"], add=True)
    assert len(tags()) == 50
    assert Change.objects.count() == before


def test_repeated_writes_nothing(alice, talk):
    session = sessions.retag(talk("mine"), alice, ["a"], add=True)
    before = Change.objects.count()
    assert sessions.retag(session, alice, ["a"], add=True).version == session.version
    assert sessions.retag(session, alice, ["z"], add=False).version == session.version
    assert Change.objects.count() == before


def test_what_is_in_the_trash_is_not_tagged(alice, talk):
    session = talk("mine")
    sessions.delete(session, alice)
    with pytest.raises(Conflict):
        sessions.retag(session, alice, ["x"], add=True)


@pytest.mark.django_db(transaction=True)
def test_concurrent_additions_all_stay(alice, talk, together):
    session = talk("mine")
    work = [lambda n=n: sessions.retag(session, alice, [f"t{n}"], add=True) for n in range(6)]
    assert all(isinstance(one, Session) for one in together(*work))
    assert tags() == [f"t{n}" for n in range(6)]
