"""sessions.change: title, pin, tags and metadata in one operation, by version."""

from __future__ import annotations

import pytest

from chathistory import records, represent
from chathistory.actions import sessions
from chathistory.exceptions import Conflict, Invalid, LimitExceeded, NotAllowed, NotFound, Stale
from chathistory.models import Change, Session, Tag


def row() -> Session:
    return Session.objects.select_related("account").get()


def test_happy_all_of_it_is_one_operation_and_one_version(alice, talk):
    session = talk("mine")
    changed = sessions.change(
        session, alice, title="T", pinned=True, tags=["a"], metadata={"x": {"y": [1, 2.5, None]}}
    )
    fresh = row()
    assert changed.version == fresh.version == session.version + 1
    assert fresh.updated_at > session.updated_at
    assert (records.title_of(fresh), fresh.pinned) == ("T", True)
    assert records.metadata_of(fresh) == {"x": {"y": [1, 2.5, None]}}
    assert represent.tag_names(fresh) == ["a"]
    assert Change.objects.filter(op="session.change").values("operation").distinct().count() == 1


def test_happy_empty_metadata_takes_away_what_was_there(alice, talk):
    session = talk("mine", metadata={"a": 1})
    sessions.change(session, alice, metadata={})
    assert records.metadata_of(row()) == {}
    assert row().metadata is None


def test_happy_the_current_version_is_accepted(alice, talk):
    session = talk("mine")
    assert sessions.change(session, alice, title="T", version=session.version).version == 3


def test_a_stale_version_is_refused_and_says_the_current_one(alice, talk):
    session = talk("mine")
    with pytest.raises(Stale) as refused:
        sessions.change(session, alice, title="T", version=session.version - 1)
    assert refused.value.data == {"version": session.version, "epoch": 1}
    assert records.title_of(row()) == "mine"


def test_stranger_gets_not_found(bob, charlie, talk, invite):
    session = talk("mine")
    invite(session, bob, "read", "edit")
    with pytest.raises(NotFound):
        sessions.change(session, charlie, title="T")
    with pytest.raises(NotAllowed):
        sessions.change(session, bob, title="T", pinned=True)
    assert records.title_of(row()) == "mine"
    assert records.metadata_of(sessions.change(session, bob, metadata={"b": 1})) == {"b": 1}


@pytest.mark.parametrize(
    "bad",
    [
        *({"title": ""}, {"pinned": "yes"}, {"tags": "word"}, {"tags": [""]}),
        *({"metadata": [1]}, {"metadata": {"x": float("inf")}}, {"metadata": {"x": "\ud800"}}),
        {"metadata": {"x": "y" * 70_000}},
    ],
    ids=lambda bad: str(bad)[:30],
)
def test_malformed_parts_are_refused_and_the_good_ones_stay_out(alice, talk, bad):
    session = talk("mine")
    good = {"title": "T", "pinned": True, "tags": ["a"], "metadata": {"a": 1}}
    with pytest.raises((Invalid, LimitExceeded)) as refused:
        sessions.change(session, alice, **good | bad)
    assert refused.value.data["field"] == next(iter(bad))
    fresh = row()
    assert (fresh.version, fresh.pinned, fresh.metadata) == (session.version, False, None)
    assert not Tag.objects.exists()


def test_a_backslash_before_u0000_is_no_nul(alice, talk):
    given = {"x": "\\u0000", "y": "\\\\u0000"}
    sessions.change(talk("mine"), alice, metadata=given)
    assert records.metadata_of(row()) == given


def test_repeated_writes_nothing(alice, talk):
    given = {"title": "T", "pinned": True, "tags": ["a"], "metadata": {"a": 1}}
    session = sessions.change(talk("mine"), alice, **given)
    before = Change.objects.count()
    assert sessions.change(session, alice, **given).version == session.version
    assert sessions.change(session, alice).version == session.version
    assert Change.objects.count() == before


def test_what_is_in_the_trash_is_not_changed(alice, talk):
    session = talk("mine")
    sessions.delete(session, alice)
    with pytest.raises(Conflict):
        sessions.change(session, alice, metadata={"a": 1})


@pytest.mark.django_db(transaction=True)
def test_concurrent_changes_of_different_parts_all_stay(alice, talk, together):
    session = talk("mine")
    parts = [{"title": "T"}, {"pinned": True}, {"tags": ["a"]}, {"metadata": {"a": 1}}]
    work = [lambda part=part: sessions.change(session, alice, **part) for part in parts]
    assert all(isinstance(one, Session) for one in together(*work))
    fresh = row()
    assert fresh.version == session.version + 4
    assert (records.title_of(fresh), fresh.pinned) == ("T", True)
    assert (represent.tag_names(fresh), records.metadata_of(fresh)) == (["a"], {"a": 1})
