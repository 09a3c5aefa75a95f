"""sessions.open: load, or create."""

from __future__ import annotations

import pytest

from chathistory.actions import sessions
from chathistory.exceptions import Invalid, NotAllowed, NotFound
from chathistory.models import Change, Session


def test_happy_without_an_id_creates_and_with_it_loads(alice):
    made = sessions.open(alice, "tutor")
    assert sessions.open(alice, "tutor", made.uuid) == made
    assert sessions.open(alice, "tutor", str(made.uuid)) == made
    assert (made.state, made.version, made.message_count) == ("active", 1, 0)


def test_happy_the_invited_load_it_too(bob, talk, invite):
    session = talk("shared")
    invite(session, bob)
    assert sessions.open(bob, "tutor", session.uuid) == session


def test_stranger_gets_not_found(charlie, nobody, talk):
    session = talk("private")
    for user in (charlie, nobody):
        with pytest.raises(NotFound):
            sessions.open(user, "tutor", session.uuid)
    with pytest.raises(NotAllowed):
        sessions.open(nobody, "tutor")


def test_another_workflows_id_is_not_found_even_by_its_owner(alice, talk):
    with pytest.raises(NotFound):
        sessions.open(alice, "translator", talk("mine").uuid)


@pytest.mark.parametrize("given", ["", "x", 5, "0" * 33, "../../etc/passwd", "\0"])
def test_malformed_ids_are_refused(alice, given):
    with pytest.raises(Invalid) as refused:
        sessions.open(alice, "tutor", given)
    assert refused.value.field == "session_id"


@pytest.mark.parametrize("workflow", ["", "no-such", None, 5, ["tutor"], "TUTOR"])
def test_malformed_workflows_are_refused_and_nothing_is_stored(alice, workflow):
    with pytest.raises(Invalid) as refused:
        sessions.open(alice, workflow)
    assert refused.value.field == "workflow_type"
    assert not Session.objects.exists()


def test_repeated_loading_writes_nothing(alice, talk):
    session = talk("mine")
    before = Change.objects.count()
    for _ in range(3):
        sessions.open(alice, "tutor", session.uuid)
    assert Change.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_concurrent_creation_gives_each_its_own(alice, together):
    made = together(*[lambda: sessions.open(alice, "tutor")] * 8)
    assert len({session.uuid for session in made}) == 8
    assert Session.objects.filter(account__user=alice).count() == 8
    numbers = Change.objects.order_by("seq").values_list("seq", flat=True)
    assert list(numbers) == list(range(1, 9))
