"""One row for each session: its newest or best message, and how many more."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chathistory.actions import messages
from chathistory.exceptions import Invalid
from chathistory.models import Session
from chathistory.search import grouping
from chathistory.search.find import search
from tests.search import brute

pytestmark = pytest.mark.usefixtures("backend")

TEXTS = st.sampled_from(["zebra", "the lion"])


def grouped(user: Any, query: str, limit: int) -> list[tuple[Any, int]]:
    """Return the message shown for each session and how many more it has, over all pages."""
    found, cursor = [], None
    while True:
        answer = search(user, query, limit=limit, cursor=cursor, group="session")
        assert answer.counted
        found += [(hit.message.uuid, hit.more) for hit in answer.hits]
        if (cursor := answer.cursor) is None:
            return found


def expected(user: Any, query: str) -> list[tuple[Any, int]]:
    """Return the same by a scan."""
    found = brute.found(user, query)
    rows = [row for row, _text in brute.opened(user) if row.uuid in set(found)]
    newest: dict[int, list[Any]] = {}
    for row in rows:
        newest.setdefault(row.session_id, []).append(row.uuid)
    return [(uuids[0], len(uuids) - 1) for uuids in newest.values()]


@pytest.mark.django_db
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    said=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["zebra", "the lion"])), max_size=20
    ),
    limit=st.integers(1, 4),
)
def test_each_session_comes_once_whatever_the_pages(alice, bob, talk, invite, said, limit):
    Session.objects.all().delete()
    chats = [talk() for _ in range(4)]
    invite(chats[0], bob)
    for at, text in said:
        messages.append(chats[at], alice, "user", text)
    for query in ("zebra", '"the lion"', "zebra OR lion", "role:user"):
        for user in (alice, bob):
            assert grouped(user, query, limit) == expected(user, query)


def test_the_best_of_each_session_is_shown_where_the_best_come_first(alice, talk):
    talk("fox " * 8, "one fox among very many other words " + "filler " * 60)
    talk("another fox here, with more words around it")
    hits = search(alice, "fox", sort="relevance", group="session").hits
    assert [(hit.message.seq, hit.more) for hit in hits] == [(1, 1), (1, 0)]
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_it_says_where_it_stopped_counting(alice, talk, monkeypatch):
    monkeypatch.setattr(grouping, "COUNTED", 3)
    talk(*["zebra"] * 5)
    answer = search(alice, "zebra", group="session")
    assert [hit.more for hit in answer.hits] == [2]
    assert not answer.counted


def test_without_a_group_there_is_no_more(alice, talk):
    talk("zebra", "zebra")
    assert [hit.more for hit in search(alice, "zebra").hits] == [None, None]


@pytest.mark.parametrize("group", ["", "sessions", "message", 1])
def test_there_is_only_one_way_to_group(alice, group):
    with pytest.raises(Invalid) as refused:
        search(alice, "fox", group=group)
    assert refused.value.field == "group"


def test_a_page_of_groups_is_in_the_order_of_their_newest(alice, talk):
    first, second = talk("zebra", "zebra"), talk("zebra")
    messages.append(first, alice, "user", "zebra")
    hits = search(alice, "zebra", group="session").hits
    assert [key for key, _ in groupby(hit.session.uuid for hit in hits)] == [
        first.uuid,
        second.uuid,
    ]
