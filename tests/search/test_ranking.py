"""What comes first: the oldest, or the best; and what has all words only as a chat."""

from __future__ import annotations

from typing import Any

import pytest

from chathistory import records
from chathistory.actions import sessions
from chathistory.exceptions import Invalid
from chathistory.search import find, spread
from chathistory.search.find import search
from tests.search import brute

pytestmark = pytest.mark.usefixtures("backend")


def said(user: Any, query: str, **more: Any) -> list[str]:
    """Return the texts found, over all pages."""
    found: list[str] = []
    cursor = None
    while True:
        answer = search(user, query, cursor=cursor, **more)
        found += [records.open_body(hit.message, hit.session).content for hit in answer.hits]
        if (cursor := answer.cursor) is None:
            return found


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_the_oldest_first_is_the_newest_first_from_the_end(alice, talk, limit):
    for n in range(3):
        talk(f"zebra {n}", f"lion {n}", f"zebra lion {n}", title=f"Zebra {n}")
    for query in ("zebra", '"zebra lion"', "zebra -lion", "role:user"):
        newest = said(alice, query, limit=limit)
        assert len(newest) == len(brute.found(alice, query))
        assert said(alice, query, limit=limit, sort="oldest") == newest[::-1]
    shown = search(alice, "zebra", limit=limit, sort="oldest", group="session")
    assert [hit.message.seq for hit in shown.hits] == [1] * min(limit, 3)
    titles = search(alice, "in:title zebra", sort="oldest").titles
    assert [records.title_of(row) for row in titles] == ["Zebra 0", "Zebra 1", "Zebra 2"]


def test_groups_of_the_oldest_come_once_whatever_the_pages(alice, talk):
    talk(*[f"zebra {n}" for n in range(3)])
    talk(*[f"zebra {n}" for n in range(3, 5)])
    for limit in (1, 2):
        assert said(alice, "zebra", sort="oldest", group="session", limit=limit) == [
            "zebra 0",
            "zebra 3",
        ]


@pytest.mark.parametrize(("limit", "ranked"), [(1, 1_000), (2, 3), (3, 2), (100, 1)])
def test_pages_of_the_best_hold_everything_once(alice, talk, monkeypatch, limit, ranked):
    monkeypatch.setattr(find, "_RANKED", ranked)
    for n in range(4):
        talk(f"zebra {n}", "a zebra " * (n + 1), "lion")
    found = said(alice, "zebra", sort="relevance", limit=limit)
    assert sorted(found) == sorted(said(alice, "zebra"))
    grouped = said(alice, "zebra", sort="relevance", limit=limit, group="session")
    assert len(grouped) == 4
    assert search(alice, "zebra", sort="relevance").complete is (ranked > 8)


def test_a_large_text_ends_a_page_of_the_best_and_the_next_goes_on(alice, talk, monkeypatch):
    monkeypatch.setattr(find, "_OPENED", 30)
    talk(*[f"zebra {n} " + "x" * 20 for n in range(5)])
    assert not search(alice, "zebra", sort="relevance").complete
    assert len(said(alice, "zebra", sort="relevance")) == 5


def test_words_that_stand_together_come_first(alice, talk):
    talk("the brown cat is a quick one", "quick brown cats are not", "brown and, later on, quick")
    talk("filler " * 40 + "quick " + "filler " * 40 + "brown")
    assert said(alice, "quick brown", sort="relevance")[0] == "quick brown cats are not"
    assert said(alice, "quick brown", sort="relevance")[-1].startswith("filler")


def test_a_title_and_a_pin_lift_what_is_alike(alice, talk):
    titled, pinned = talk("a lion here", title="Lion"), talk("a lion here", title="x")
    talk("a lion here", title="y")
    sessions.change(pinned, alice, pinned=True)
    found = [hit.session.pk for hit in search(alice, "lion", sort="relevance").hits]
    assert found[:2] == [titled.pk, pinned.pk]


def test_a_chat_with_all_words_comes_after_messages_with_all_words(alice, talk):
    apart = talk("a lion", "a zebra", title="x")
    talk("a lion", "a lion", title="x")
    both = talk("lion and zebra", title="x")
    found = search(alice, "lion zebra", sort="relevance")
    assert [hit.session.pk for hit in found.hits] == [both.pk, apart.pk]
    assert found.complete
    assert found.hits[0].score > found.hits[1].score
    assert len(search(alice, "lion zebra").hits) == 1
    assert said(alice, "lion zebra", sort="relevance", limit=1) == ["lion and zebra", "a zebra"]
    assert said(alice, "lion zebra role:user", sort="relevance") == ["lion and zebra"]
    assert said(alice, 'zebra "a lion"', sort="relevance") == ["a zebra"]


def test_the_work_for_words_apart_is_bounded_and_said_so(alice, talk, monkeypatch):
    monkeypatch.setattr(spread, "OPENED", 1)
    talk("a lion", "a zebra", title="x")
    found = search(alice, "lion zebra", sort="relevance")
    assert (found.hits, found.complete) == ([], False)


def test_words_apart_in_a_strangers_chat_are_not_found(alice, bob, charlie, talk, invite):
    shared = talk("a lion", "a zebra", title="x")
    invite(shared, bob)
    assert len(search(bob, "lion zebra", sort="relevance").hits) == 1
    assert search(charlie, "lion zebra", sort="relevance").hits == []


def test_a_score_tells_nothing_of_what_the_owner_said_elsewhere(alice, bob, talk, invite):
    invite(talk("a lion", title="x"), bob)
    before = search(bob, "lion", sort="relevance").hits[0].score
    talk(*["lion"] * 9, title="y")
    assert search(bob, "lion", sort="relevance").hits[0].score == before


@pytest.mark.parametrize("sort", ["relevance", "newest", "oldest"])
def test_a_cursor_is_only_for_the_order_that_gave_it(alice, sort):
    at = "1f-" + 32 * "0"
    with pytest.raises(Invalid) as refused:
        search(alice, "fox", sort=sort, cursor=at if sort == "relevance" else f"{at}-3")
    assert refused.value.field == "cursor"
