"""sessions.rename: a title that automatic titles never overwrite."""

from __future__ import annotations

import pytest

from chathistory import records
from chathistory.actions import messages, sessions
from chathistory.exceptions import Conflict, Invalid, LimitExceeded, NotAllowed, NotFound, Stale
from chathistory.models import Change, Session
from chathistory.search.find import search


def found(user, word: str) -> list:
    return [row.uuid for row in search(user, word).titles]


def test_happy_the_title_is_found_and_stays(alice):
    session = sessions.create(alice, "tutor")
    renamed = sessions.rename(session, alice, "Category theory")
    assert records.title_of(renamed) == "Category theory"
    assert renamed.version == 2
    messages.append(session, alice, "user", "A first message that would be a title")
    assert records.title_of(Session.objects.get(pk=session.pk)) == "Category theory"
    assert found(alice, "category") == [session.uuid]


def test_happy_the_old_title_is_not_found_any_more(alice, talk):
    session = talk("Zebra")
    sessions.rename(session, alice, "Lion")
    sessions.rename(session, alice, "Tiger")
    assert found(alice, "tiger") == [session.uuid]
    assert found(alice, "lion") == found(alice, "zebra") == []


def test_happy_an_editor_may_rename(bob, talk, invite):
    session = talk("shared")
    invite(session, bob, "read", "edit")
    assert records.title_of(sessions.rename(session, bob, "By Bob")) == "By Bob"


def test_stranger_gets_not_found_and_a_reader_is_not_allowed(bob, charlie, talk, invite):
    session = talk("private")
    invite(session, bob)
    with pytest.raises(NotFound):
        sessions.rename(session, charlie, "Mine now")
    with pytest.raises(NotAllowed):
        sessions.rename(session, bob, "Mine now")
    assert records.title_of(Session.objects.get()) == "private"


@pytest.mark.parametrize("title", ["", " ", 5, ["x"], "a\0b", "\udfff", "x" * 201])
def test_malformed_titles_are_refused(alice, talk, title):
    session = talk("kept")
    with pytest.raises((Invalid, LimitExceeded)) as refused:
        sessions.rename(session, alice, title)
    assert refused.value.data["field"] == "title"
    assert Session.objects.get().version == session.version


def test_malformed_none_changes_nothing(alice, talk):
    session = talk("kept")
    assert sessions.rename(session, alice, None).version == session.version


def test_repeated_writes_nothing(alice, talk):
    session = sessions.rename(talk("x"), alice, "Same")
    before = Change.objects.count()
    assert sessions.rename(session, alice, "Same").version == session.version
    assert Change.objects.count() == before


def test_what_is_in_the_trash_is_not_renamed(alice, talk):
    session = talk("x")
    sessions.delete(session, alice)
    with pytest.raises(Conflict):
        sessions.rename(session, alice, "Y")


@pytest.mark.django_db(transaction=True)
def test_concurrent_renames_of_one_version_let_one_win(alice, talk, together):
    session = talk("x")
    work = [lambda n=n: sessions.rename(session, alice, f"T{n}", version=3) for n in range(6)]
    session = sessions.rename(session, alice, "start")
    assert session.version == 3
    results = together(*work)
    lost = [one for one in results if isinstance(one, Stale)]
    won = [one for one in results if isinstance(one, Session)]
    assert (len(won), len(lost)) == (1, 5)
    assert records.title_of(Session.objects.get()) == records.title_of(won[0])
    assert {error.data["version"] for error in lost} == {4}
    assert len(search(alice, records.title_of(won[0])).titles) == 1
