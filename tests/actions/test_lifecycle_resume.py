"""lifecycle.resume: an idle or archived session goes on."""

from __future__ import annotations

import pytest

from chathistory.actions import lifecycle, messages, sessions
from chathistory.exceptions import Conflict, NotAllowed, NotFound, Stale
from chathistory.models import Change, Session
from tests.actions.aging import DAY, HOUR, later, run


@pytest.fixture
def archived(alice, talk) -> Session:
    return lifecycle.archive(talk("zebra", "a striped horse"), alice)


def test_happy_an_archived_session_is_active_again(alice, archived):
    back = lifecycle.resume(archived, alice)
    assert (back.state, back.archived_at) == ("active", None)
    assert back.version == archived.version + 1
    assert messages.append(back, alice, "user", "And a mule?").seq == 3


def test_happy_it_stays_so_until_its_time_is_over_again(alice, talk, time_machine):
    session = talk("zebra")
    later(time_machine, 31 * DAY)
    run()
    lifecycle.resume(session, alice)
    run()
    assert Session.objects.get().state == "active"
    later(time_machine, 2 * HOUR)
    run()
    assert Session.objects.get().state == "idle"
    assert lifecycle.resume(session, alice).state == "active"


def test_happy_whoever_may_write_may_resume(bob, archived, invite):
    invite(archived, bob, "read", "write")
    assert lifecycle.resume(archived, bob).state == "active"


def test_stranger_gets_not_found(bob, charlie, nobody, archived, invite):
    invite(archived, bob, "read", "edit")
    for user in (charlie, nobody):
        with pytest.raises(NotFound):
            lifecycle.resume(archived, user)
    with pytest.raises(NotAllowed):
        lifecycle.resume(archived, bob)
    assert Session.objects.get().state == "archived"


@pytest.mark.parametrize("version", [0, -1, 10**30, "2", 2.5])
def test_malformed_versions_are_stale(alice, archived, version):
    with pytest.raises(Stale):
        lifecycle.resume(archived, alice, version=version)
    assert Session.objects.get().state == "archived"


def test_malformed_one_in_the_trash_is_a_conflict(alice, archived):
    sessions.delete(archived, alice)
    with pytest.raises(Conflict):
        lifecycle.resume(archived, alice)
    assert Session.objects.get().state == "deleted"


def test_repeated_does_nothing(alice, archived):
    back = lifecycle.resume(archived, alice)
    before = Change.objects.count()
    assert lifecycle.resume(back, alice).version == back.version
    assert Change.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_concurrent_resumes_and_archives_leave_a_whole_session(alice, archived, together):
    verbs = [lifecycle.resume, lifecycle.archive] * 3
    done = together(*[lambda verb=verb: verb(archived, alice) for verb in verbs])
    assert all(isinstance(one, Session) for one in done), done
    row = Session.objects.get()
    assert (row.state == "archived") == (row.archived_at is not None)
    assert row.state in ("active", "archived")
