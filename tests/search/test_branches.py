"""Where in its chat a hit stands: its branch, and what is found before and after it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chathistory.actions import messages, sessions
from chathistory.models import Message
from chathistory.reading import Tree
from chathistory.search import find
from chathistory.search.branches import Branches

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("backend")]


def paths(user: Any, query: str) -> dict[int, Any]:
    return {hit.message.seq: hit.path for hit in find.search(user, query, limit=100).hits}


def seqs(user: Any, query: str, session: Any) -> list[int]:
    found, complete = find.within(user, query, session)
    assert complete
    for seq, uuid in found:
        assert session.messages.get(seq=seq).uuid == uuid
    return [seq for seq, _ in found]


def test_a_chat_without_branches_is_one_run(alice, talk):
    talk("zebra", "a lion", "zebra")
    assert paths(alice, "zebra") == {1: [(1, 1)], 3: [(1, 3)]}


def test_it_leads_past_other_versions(alice, talk):
    session = talk("zebra 1", "zebra 2", "zebra 3", "zebra 4")
    messages.branch(session.messages.get(seq=3), alice, "zebra 5")
    messages.append(session, alice, "assistant", "zebra 6")
    messages.branch(session.messages.get(seq=1), alice, "zebra 7")
    assert paths(alice, "zebra") == {
        **{n: [(1, n)] for n in range(1, 5)},
        5: [(1, 2), (5, 5)],
        6: [(1, 2), (5, 6)],
        7: [(7, 7)],
    }


def test_no_chat_is_read_whole_for_it(alice, talk):
    talk(*["zebra"] * 30)
    with CaptureQueriesContext(connection) as queries:
        find.search(alice, "zebra", limit=3)
    (one,) = [q["sql"] for q in queries if '"parent_seq" = ' in q["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(one)
        assert len(cursor.fetchall()) == 1


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(parents=st.lists(st.integers(0, 20), min_size=1, max_size=20))
def test_any_tree_is_followed_as_the_pages_follow_it(alice, talk, parents):
    session = talk(*["zebra"] * (len(parents) + 1))
    for seq, parent in enumerate(parents, start=2):
        Message.objects.filter(session=session, seq=seq).update(parent_seq=parent % seq or None)
    tree, branches = Tree.of(session), Branches([session.pk])
    for seq in range(1, len(parents) + 2):
        runs = branches.path(session.pk, seq)
        assert [n for first, last in runs for n in range(first, last + 1)] == tree.path(seq)


def test_hits_of_one_chat_are_told_in_order(alice, talk):
    talk("zebra of another chat")
    session = talk("zebra", "lion", "a zebra", "the zebra lion")
    messages.branch(session.messages.get(seq=2), alice, "zebra instead")
    assert seqs(alice, "zebra", session) == [1, 3, 4, 5]
    assert seqs(alice, "zebra -lion", session) == [1, 3, 5]
    assert seqs(alice, '"a zebra" OR role:assistant', session) == [2, 3, 4, 5]
    assert seqs(alice, "zeb*", session) == [1, 3, 4, 5]
    assert seqs(alice, "tiger", session) == seqs(alice, "in:title zebra", session) == []
    assert seqs(alice, "zebra", talk()) == []


def test_they_end_with_the_budget_and_say_so(alice, talk, settings):
    session = talk(*["zebra"] * 5)
    settings.CHATHISTORY_SEARCH_BUDGET = 3
    found, complete = find.within(alice, "zebra", session)
    assert ([seq for seq, _ in found], complete) == ([3, 4, 5], False)


def test_who_may_not_read_a_chat_is_told_of_none(alice, bob, charlie, nobody, talk, invite):
    session = talk("zebra")
    share = invite(session, bob)
    assert seqs(bob, "zebra", session) == [1]
    assert seqs(charlie, "zebra", session) == seqs(nobody, "zebra", session) == []
    share.delete()
    assert seqs(bob, "zebra", session) == []
    sessions.delete(session, alice)
    assert seqs(alice, "zebra", session) == []
