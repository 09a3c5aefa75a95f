"""Facets count what kinds of messages were found, and say of how many."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import time_machine

from chathistory.actions import sessions
from chathistory.search import facets
from chathistory.search.find import search

pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def chats(alice, bob, talk, invite, settings):
    """Two chats of Alice's and one of Bob's, which she may read."""
    settings.TIME_ZONE = "Europe/Berlin"
    with time_machine.travel(datetime(2026, 1, 31, 23, 30, tzinfo=UTC), tick=False):
        first = talk("a zebra", "the zebra", "a lion")
        sessions.change(first, alice, tags=["Work", "Animals"])
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False):
        second = talk("zebra", workflow="translator")
        sessions.change(second, alice, tags=["Animals"])
        theirs = talk("zebra", "zebra", user=bob)
        sessions.change(theirs, bob, tags=["secret"])
        invite(theirs, alice)
    return first, second, theirs


def kinds(user, query: str, **more) -> dict[str, list[tuple[str, int]]]:
    found = search(user, query, facets=True, **more).facets
    assert found is not None
    return {name: found.values(name) for name in facets.NAMES}


@pytest.mark.usefixtures("chats")
def test_they_count_messages_by_kind(alice, bob):
    assert kinds(alice, "zebra") == {
        "workflow": [("tutor", 4), ("translator", 1)],
        "month": [("2026-03", 3), ("2026-02", 2)],
        "role": [("user", 3), ("assistant", 2)],
        "tag": [("Animals", 3), ("Work", 2)],
    }
    assert kinds(bob, "zebra")["tag"] == [("secret", 2)]
    assert kinds(alice, '"the zebra" tag:work')["role"] == [("assistant", 1)]


@pytest.mark.usefixtures("chats")
def test_every_value_is_a_filter_that_finds_as_many(alice):
    names = {"month": "on"}
    for name, values in kinds(alice, "zebra").items():
        for value, count in values:
            assert len(search(alice, f"zebra {names.get(name, name)}:{value}").hits) == count


@pytest.mark.usefixtures("chats")
def test_they_are_the_same_on_every_page_and_only_where_asked_for(alice):
    page = search(alice, "zebra", limit=1, facets=True)
    following = search(alice, "zebra", limit=1, cursor=page.cursor, facets=True)
    assert following.facets == page.facets
    assert search(alice, "zebra").facets is None
    assert kinds(alice, "zebra", group="session") == kinds(alice, "zebra", sort="relevance")


@pytest.mark.usefixtures("chats")
def test_they_say_where_they_stopped_counting(alice, monkeypatch):
    found = search(alice, "zebra", facets=True).facets
    assert (found.counted, found.complete) == (5, True)
    monkeypatch.setattr(facets, "COUNTED", 2)
    found = search(alice, "zebra", facets=True).facets
    assert (found.counted, found.complete) == (2, False)
    assert found.values("month") == [("2026-03", 2)]


@pytest.mark.usefixtures("chats")
def test_a_stranger_counts_nothing(charlie, nobody):
    for user in (charlie, nobody):
        assert kinds(user, "zebra") == {name: [] for name in facets.NAMES}
