"""lifecycle.hold: the site neither deletes nor purges it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User

from chathistory.actions import accounts, lifecycle, retention, sessions
from chathistory.exceptions import Conflict, Invalid, LimitExceeded, NotAllowed, NotFound
from chathistory.models import Change, Session
from tests.actions.aging import DAY, later, run


@pytest.fixture
def clerk(db: None) -> User:
    """Somebody of the staff who may change sessions."""
    user = User.objects.create_user("clerk", is_staff=True)
    user.user_permissions.add(
        Permission.objects.get(codename="change_session", content_type__app_label="chathistory")
    )
    return user


def test_happy_it_outlives_every_policy_until_let_go(clerk, talk, time_machine):
    session = talk("evidence")
    talk("other")
    held = lifecycle.hold(session, clerk, True, "Case 12")
    assert (held.hold, held.version) == (True, session.version + 1)
    change = Change.objects.latest("seq")
    assert (change.op, change.actor) == ("session.hold", accounts.of(clerk))
    retention.set_policy(None, delete_after=86_400, yes=True)
    later(time_machine, 40 * DAY)
    run()
    assert set(Session.objects.values_list("state", flat=True)) == {"archived", "deleted"}
    assert Session.objects.get(hold=True).state == "archived"
    lifecycle.hold(session, clerk, False, "Case 12 is closed")
    run()
    assert set(Session.objects.values_list("state", flat=True)) == {"deleted"}


def test_happy_its_owner_may_still_throw_it_away(alice, talk):
    session = lifecycle.hold(talk("evidence"), None, True, "Case 12")
    gone = sessions.delete(session, alice)
    assert (gone.state, gone.hold) == ("deleted", True)
    assert lifecycle.hold(gone, None, False, "Closed").state == "deleted"


def test_stranger_gets_not_found_and_the_owner_is_not_allowed(alice, charlie, nobody, talk):
    session = talk("mine")
    for user in (charlie, nobody):
        with pytest.raises(NotFound):
            lifecycle.hold(session, user, True, "Mine now")
    with pytest.raises(NotAllowed):
        lifecycle.hold(session, alice, True, "Keep it")
    alice.is_staff = True
    with pytest.raises(NotAllowed):
        lifecycle.hold(session, alice, True, "Keep it")
    assert not Session.objects.get().hold


@pytest.mark.parametrize(
    ("on", "reason", "error", "field"),
    [
        (True, "", Invalid, "reason"),
        (True, " \n", Invalid, "reason"),
        (True, None, Invalid, "reason"),
        (True, "a\0b", Invalid, "reason"),
        (True, "\ud800", Invalid, "reason"),
        (True, "x" * 501, LimitExceeded, "reason"),
        ("yes", "Case 12", Invalid, "on"),
        (1, "Case 12", Invalid, "on"),
    ],
)
def test_malformed_values_are_refused(talk, on, reason, error, field):
    with pytest.raises(error) as refused:
        lifecycle.hold(talk("mine"), None, on, reason)
    assert refused.value.data["field"] == field
    assert not Session.objects.get().hold


def test_malformed_one_that_is_gone_is_a_conflict(talk):
    session = talk("mine")
    Session.objects.all().delete()
    with pytest.raises(Conflict):
        lifecycle.hold(session, None, True, "Case 12")


def test_repeated_does_nothing(talk):
    held = lifecycle.hold(talk("mine"), None, True, "Case 12")
    before = Change.objects.count()
    assert lifecycle.hold(held, None, True, "Case 12 again").version == held.version
    assert Change.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_concurrent_holds_are_one(talk, together):
    session = talk("mine")
    done = together(*[lambda: lifecycle.hold(session, None, True, "Case 12")] * 6)
    assert all(one.hold for one in done)
    assert Change.objects.filter(op="session.hold").count() == 1
