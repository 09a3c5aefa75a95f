"""sessions.tag: exactly these tags."""

from __future__ import annotations

import pytest

from chathistory import records, represent
from chathistory.actions import accounts, sessions
from chathistory.exceptions import Invalid, LimitExceeded, NotAllowed, NotFound
from chathistory.models import Change, Session, Tag


def tags() -> list[str]:
    return represent.tag_names(Session.objects.select_related("account").get())


def test_happy_the_tags_are_those_given(alice, talk):
    session = talk("mine")
    sessions.tag(session, alice, ["Maths", " to  read ", "日本"])
    assert tags() == ["Maths", "to read", "日本"]
    sessions.tag(session, alice, ["Maths"])
    assert tags() == ["Maths"]
    sessions.tag(session, alice, [])
    assert tags() == []


def test_happy_a_tag_is_one_whatever_its_case(alice, talk):
    session = talk("mine")
    sessions.tag(session, alice, ["Maths", "MATHS", "maths"])
    assert tags() == ["Maths"]
    assert Tag.objects.count() == 1


def test_two_owners_tags_share_no_hash(alice, bob, talk):
    sessions.tag(talk("mine"), alice, ["same"])
    sessions.tag(talk("his", user=bob), bob, ["same"])
    assert len(set(Tag.objects.values_list("digest", flat=True))) == 2
    assert {records.tag_name(tag, tag.account) for tag in Tag.objects.all()} == {"same"}


def test_stranger_gets_not_found_and_no_grant_is_enough(bob, charlie, talk, invite):
    session = talk("mine")
    invite(session, bob, "read", "edit", "share")
    with pytest.raises(NotFound):
        sessions.tag(session, charlie, ["x"])
    with pytest.raises(NotAllowed):
        sessions.tag(session, bob, ["x"])
    assert not Tag.objects.exists()


@pytest.mark.parametrize(
    "names",
    [
        "word",
        5,
        [""],
        [" "],
        [5],
        [None],
        ["nul\0"],
        ["\ud800"],
        ["x" * 51],
        list(map(str, range(51))),
    ],
    ids=lambda names: repr(names)[:20],
)
def test_malformed_tags_are_refused_and_nothing_is_stored(alice, talk, names):
    session = talk("mine")
    with pytest.raises((Invalid, LimitExceeded)) as refused:
        sessions.tag(session, alice, names)
    assert refused.value.data["field"] == "tags"
    assert not Tag.objects.exists()


def test_repeated_writes_nothing(alice, talk):
    session = sessions.tag(talk("mine"), alice, ["a", "b"])
    before = Change.objects.count()
    assert sessions.tag(session, alice, ["B", "a"]).version == session.version
    assert Change.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_concurrent_tagging_makes_each_tag_once(alice, talk, together):
    rows = [talk(f"number {n}") for n in range(6)]
    done = together(*[lambda row=row: sessions.tag(row, alice, ["new", "newer"]) for row in rows])
    assert all(isinstance(one, Session) for one in done)
    assert Tag.objects.filter(account=accounts.of(alice)).count() == 2
    assert all(row.tags.count() == 2 for row in rows)
