"""purge.cleanup: a person has what is due in their own trash removed at once."""

from __future__ import annotations

import pytest
from django.utils import timezone

from chathistory import registry
from chathistory.actions import accounts, jobs, messages, purge, sessions
from chathistory.exceptions import Invalid
from chathistory.models import Change, Message, Session
from tests.actions.aging import DAY, later
from tests.actions.asked import Asked

pytestmark = pytest.mark.usefixtures("keyed_home")


def clean(user, **more):
    return purge.cleanup(Asked(accounts.of(user), **more))


def test_happy_only_what_is_due_goes(alice, talk, time_machine):
    later(time_machine, 0 * DAY)
    sessions.delete(talk("old"), alice)
    living = talk("living", "and well")
    messages.delete(living.messages.get(seq=1), alice)
    later(time_machine, 30 * DAY)
    recent = sessions.delete(talk("recent"), alice)
    result = clean(alice)
    assert (result["sessions"], result["messages"]) == (1, 1)
    assert set(Session.objects.all()) == {living, recent}
    assert not Message.objects.filter(revision=0).exists()
    actors = Change.objects.filter(op="session.purge").values_list("actor", flat=True)
    assert set(actors) == {accounts.of(alice).pk}


def test_happy_people_ask_for_it_as_a_job(alice):
    assert registry.KINDS["cleanup"].public
    assert jobs.ask(alice, "cleanup", {}).account == accounts.of(alice)


def test_stranger_loses_nothing(alice, bob, talk, invite):
    session = talk("hers")
    invite(session, bob, "read", "delete")
    sessions.delete(session, alice)
    Session.objects.update(purge_after=timezone.now())
    assert clean(bob) == {}
    assert Session.objects.get() == session


def test_malformed_arguments_are_refused(alice):
    with pytest.raises(Invalid):
        jobs.ask(alice, "cleanup", {"everything": True})


def test_malformed_a_hold_keeps_it(alice, talk):
    sessions.delete(talk("held"), alice)
    Session.objects.update(purge_after=timezone.now(), hold=True)
    assert clean(alice) == {}
    assert Session.objects.count() == 1


def test_repeated_does_nothing(alice, talk):
    sessions.delete(talk("old"), alice)
    Session.objects.update(purge_after=timezone.now())
    assert clean(alice)["sessions"] == 1
    before = Change.objects.count()
    assert clean(alice) == {}
    assert Change.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_concurrent_cleanups_are_one(alice, talk, together):
    for n in range(4):
        sessions.delete(talk(f"old {n}"), alice)
    Session.objects.update(purge_after=timezone.now())
    results = together(*[lambda: clean(alice)] * 3)
    assert sum(result.get("sessions", 0) for result in results) == 4
    assert not Session.objects.exists()
