"""sessions.restore: out of the trash."""

from __future__ import annotations

from itertools import pairwise

import pytest

from chathistory import listing
from chathistory.actions import lifecycle, messages, retention, sessions
from chathistory.exceptions import Conflict, NotAllowed, NotFound, Stale
from chathistory.models import Change, Session
from chathistory.search.find import search
from tests.actions.aging import DAY, later, run


@pytest.fixture
def thrown(alice, talk) -> Session:
    return sessions.delete(talk("zebra", "a striped horse"), alice)


def test_happy_it_is_listed_found_and_goes_on(alice, thrown):
    back = sessions.restore(thrown, alice)
    assert (back.state, back.deleted_at) == ("active", None)
    assert listing.page(alice).sessions == [back]
    assert [hit.session for hit in search(alice, "horse").hits] == [back]
    assert search(alice, "zebra").titles == [back]
    assert messages.append(back, alice, "user", "And a mule?").seq == 3


def test_happy_no_policy_takes_it_away_again_at_once(alice, talk, time_machine):
    retention.set_policy(None, delete_after=90 * 86_400, yes=True)
    session = talk("zebra")
    later(time_machine, 91 * DAY)
    run()
    back = sessions.restore(session, alice)
    assert (back.state, back.purge_after) == ("active", None)
    assert back.last_activity == back.updated_at
    run()
    assert Session.objects.get().state == "active"


def test_happy_one_that_was_archived_is_archived_again(alice, talk):
    session = lifecycle.archive(talk("zebra"), alice)
    sessions.delete(session, alice)
    back = sessions.restore(session, alice)
    assert (back.state, back.archived_at) == ("archived", session.archived_at)


def test_malformed_one_that_is_being_purged_stays(alice, thrown):
    Session.objects.update(purging_at=thrown.deleted_at)
    with pytest.raises(Conflict):
        sessions.restore(thrown, alice)
    assert Session.objects.get().state == "deleted"


def test_stranger_gets_not_found_and_so_do_the_invited(bob, charlie, nobody, thrown, invite):
    invite(thrown, bob, "read", "edit", "delete", "share")
    for user in (bob, charlie, nobody):
        with pytest.raises(NotFound):
            sessions.restore(thrown, user)
    assert Session.objects.get().state == "deleted"


def test_no_grant_restores_what_is_not_in_the_trash(bob, talk, invite):
    session = talk("mine")
    invite(session, bob, "read", "delete")
    with pytest.raises(NotAllowed):
        sessions.restore(session, bob)


@pytest.mark.parametrize("version", [0, -1, 10**30, "4", 2.5])
def test_malformed_versions_are_stale(alice, thrown, version):
    with pytest.raises(Stale):
        sessions.restore(thrown, alice, version=version)
    assert Session.objects.get().state == "deleted"


def test_repeated_does_nothing(alice, thrown):
    back = sessions.restore(thrown, alice)
    before = Change.objects.count()
    assert sessions.restore(thrown, alice).version == back.version
    assert Change.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_concurrent_deletes_and_restores_leave_a_whole_session(alice, thrown, together):
    verbs = [sessions.restore, sessions.delete] * 3
    assert all(
        isinstance(one, Session)
        for one in together(*[lambda verb=verb: verb(thrown, alice) for verb in verbs])
    )
    row = Session.objects.get()
    assert (row.state == "deleted") == (row.deleted_at is not None)
    moves = Change.objects.filter(op__in=["session.delete", "session.restore"]).order_by("seq")
    ops = list(moves.values_list("op", flat=True))
    assert all(a != b for a, b in pairwise(ops))
    assert ops[-1] == ("session.delete" if row.state == "deleted" else "session.restore")
