"""Who sees which session: the one gate, asked in every way it can be asked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from chathistory import policy
from chathistory.actions import sessions
from chathistory.exceptions import NotAllowed, NotFound
from chathistory.models import Message, Session
from chathistory.querysets import require

VERBS = list(policy.VERBS)


def seen(user, verb: str = "read") -> set:
    """Return what is visible, by the single-row gate and by the two branches of lists."""
    both = set(Session.objects.visible_to(user, verb).values_list("pk", flat=True))
    mine = set(Session.objects.mine(user).values_list("pk", flat=True))
    shared = set(Session.objects.shared_with(user, verb).values_list("pk", flat=True))
    assert both == mine | shared
    assert not mine & shared
    through = Message.objects.visible_to(user, verb).values_list("session", flat=True)
    assert set(through) == both
    return both


@pytest.mark.parametrize("verb", VERBS)
def test_the_owner_may_do_everything_to_her_own_and_nothing_to_others(alice, bob, talk, verb):
    session, other = talk("mine"), talk("his", user=bob)
    assert seen(alice, verb) == {session.pk}
    assert seen(bob, verb) == {other.pk}


@pytest.mark.parametrize("verb", VERBS)
def test_a_grant_lets_do_its_verbs_and_no_other(bob, charlie, talk, invite, verb):
    session = talk("shared")
    talk("not shared")
    invite(session, bob, verb)
    for asked in VERBS:
        assert seen(bob, asked) == ({session.pk} if asked == verb else set())
        assert seen(charlie, asked) == set()


def test_a_group_grant_holds_for_its_members_as_long_as_they_are(bob, charlie, talk, invite):
    team = Group.objects.create(name="team")
    session = talk("shared")
    invite(session, team)
    assert seen(bob) == set()
    bob.groups.add(team)
    assert seen(bob) == {session.pk}
    assert seen(charlie) == set()
    bob.groups.clear()
    assert seen(bob) == set()


def test_a_grant_ends_at_its_expiry(bob, talk, invite):
    session = talk("shared")
    share = invite(session, bob, expires_at=timezone.now() + timedelta(hours=1))
    assert seen(bob) == {session.pk}
    share.expires_at = timezone.now() - timedelta(seconds=1)
    share.save()
    assert seen(bob) == set()
    with pytest.raises(NotFound):
        require(bob, session, "read")


def test_the_trash_is_the_owners_alone(alice, bob, talk, invite):
    session = talk("shared")
    invite(session, bob, *VERBS)
    sessions.delete(session, alice)
    assert seen(alice) == {session.pk}
    assert seen(bob) == set()


def test_two_grants_show_a_session_once(bob, talk, invite):
    team = Group.objects.create(name="team")
    bob.groups.add(team)
    session = talk("shared")
    invite(session, bob)
    invite(session, team, "read", "write")
    assert [row.pk for row in Session.objects.visible_to(bob, "read")] == [session.pk]


def test_nobody_and_the_inactive_see_nothing(alice, bob, nobody, talk, invite):
    session = talk("mine")
    invite(session, bob, *VERBS)
    alice.is_active = bob.is_active = False
    for user in (alice, bob, nobody):
        assert seen(user) == set()
        with pytest.raises(NotFound):
            require(user, session, "read")


def test_a_message_is_reached_as_its_session_is(bob, charlie, talk, invite):
    session = talk("shared")
    message = session.messages.get()
    invite(session, bob)
    assert Message.objects.reach(bob, message.uuid) == message
    assert Session.objects.reach(bob, session.uuid) == session
    for manager, uuid in ((Message.objects, message.uuid), (Session.objects, session.uuid)):
        with pytest.raises(NotFound):
            manager.reach(charlie, uuid)
        with pytest.raises(NotFound):
            manager.reach(bob, uuid, "write")


def test_who_may_read_learns_what_is_not_allowed_and_a_stranger_learns_nothing(
    alice, bob, charlie, talk, invite
):
    session = talk("shared")
    invite(session, bob, "read")
    require(alice, session, "own")
    require(bob, session, "read")
    with pytest.raises(NotAllowed):
        require(bob, session, "write")
    with pytest.raises(NotFound):
        require(charlie, session, "write")


def test_no_grant_makes_an_owner(bob, talk, invite):
    session = talk("shared")
    invite(session, bob, *VERBS)
    with pytest.raises(NotAllowed):
        require(bob, session, "own")
