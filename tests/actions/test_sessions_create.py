"""sessions.create: with an id of the client's own, a title and metadata."""

from __future__ import annotations

import pytest

from chathistory import ids, records
from chathistory.actions import sessions
from chathistory.exceptions import Conflict, Invalid, LimitExceeded, NotAllowed
from chathistory.models import Change, DataKey, Session


def test_happy_what_is_given_is_what_is_stored(alice):
    uuid = ids.new_id()
    made = sessions.create(
        alice, "tutor", session_id=uuid, title="  Two\n words ", metadata={"k": ["é", None]}
    )
    row = Session.objects.get(uuid=uuid)
    assert row == made
    assert records.title_of(row) == "Two words"
    assert records.metadata_of(row) == {"k": ["é", None]}
    assert row.title_source == "user"
    assert row.keys.get().purpose == DataKey.Purpose.SESSION


def test_happy_without_a_title_it_is_named_by_its_id(alice):
    made = sessions.create(alice, "tutor")
    assert records.title_of(made) == f"Chat {str(made.uuid)[-8:]}"


def test_stranger_with_a_taken_id_learns_no_more_than_of_any_conflict(alice, charlie, nobody):
    taken = sessions.create(alice, "tutor", title="Secret")
    with pytest.raises(Conflict) as strangers:
        sessions.create(charlie, "tutor", session_id=taken.uuid, title="Secret")
    with pytest.raises(Conflict) as owners:
        sessions.create(alice, "translator", session_id=taken.uuid)
    assert str(strangers.value) == str(owners.value)
    assert strangers.value.data == owners.value.data
    with pytest.raises(NotAllowed):
        sessions.create(nobody, "tutor")


@pytest.mark.parametrize(
    ("given", "kind", "field"),
    [
        ({"title": ""}, Invalid, "title"),
        ({"title": " \n "}, Invalid, "title"),
        ({"title": 5}, Invalid, "title"),
        ({"title": "nul\0"}, Invalid, "title"),
        ({"title": "half \ud83d"}, Invalid, "title"),
        ({"title": "x" * 201}, LimitExceeded, "title"),
        ({"metadata": [1]}, Invalid, "metadata"),
        ({"metadata": "x"}, Invalid, "metadata"),
        ({"metadata": {"x": float("nan")}}, Invalid, "metadata"),
        ({"metadata": {"x": ...}}, Invalid, "metadata"),
        ({"metadata": {"x": "\udc00"}}, Invalid, "metadata"),
        ({"metadata": {"x": "nul\0"}}, Invalid, "metadata"),
        ({"metadata": {"nul\0": 1}}, Invalid, "metadata"),
        ({"metadata": {"x": "y" * 65_536}}, LimitExceeded, "metadata"),
        ({"metadata": {"x": "é" * 40_000}}, LimitExceeded, "metadata"),
    ],
    ids=str,
)
def test_malformed_values_are_refused_and_nothing_is_stored(alice, given, kind, field):
    with pytest.raises(kind) as refused:
        sessions.create(alice, "tutor", **given)
    assert refused.value.data["field"] == field
    assert not Session.objects.exists()
    assert not Change.objects.exists()


def test_repeated_with_the_same_id_returns_the_one_there_is(alice):
    uuid = ids.new_id()
    first = sessions.create(alice, "tutor", session_id=uuid, title="Same")
    before = Change.objects.count()
    assert sessions.create(alice, "tutor", session_id=uuid, title="Same") == first
    assert Change.objects.count() == before
    for other in ({"title": "Another"}, {"workflow": "translator"}):
        with pytest.raises(Conflict):
            sessions.create(alice, **{"workflow": "tutor", "session_id": uuid, **other})


@pytest.mark.django_db(transaction=True)
def test_concurrent_with_one_id_makes_one_session(alice, together):
    uuid = ids.new_id()
    made = together(*[lambda: sessions.create(alice, "tutor", session_id=uuid, title="One")] * 6)
    assert {getattr(one, "uuid", one) for one in made} == {uuid}
    assert Session.objects.get().uuid == uuid
    assert Change.objects.count() == 1
