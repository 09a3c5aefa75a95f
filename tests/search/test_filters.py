"""Filters: each lets through what it says and nothing else, alone, negated and with OR."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.utils import timezone

from chathistory import records
from chathistory.actions import lifecycle, messages, sessions
from chathistory.search import find, wanted
from chathistory.search.find import search
from tests.search import brute

pytestmark = pytest.mark.usefixtures("backend")

CODE = "zebra code\n```python\nprint(1)\n```\n"
QUERIES = [
    *("role:user", "zebra role:assistant", "zebra -role:user", "role:user OR role:assistant"),
    *("workflow:translator", "zebra -workflow:tutor", "workflow:tutor -role:user zebra"),
    *(
        "tag:work",
        "tag:WORK zebra",
        "-tag:work zebra",
        'tag:"two words"',
        "tag:nobody",
        "tag:theirs",
    ),
    *("state:archived", "state:active zebra", "-state:archived lion OR zebra"),
    *("is:pinned", "zebra -is:pinned", "is:shared", "-is:shared zebra", "is:pinned OR is:shared"),
    *("has:code", "has:link zebra", "-has:code zebra", "has:code OR has:link", "has:code has:link"),
    *("meta:project=apollo", "zebra meta:project=apollo", "zebra -meta:project=apollo"),
    *("meta:project=gemini OR lion", "meta:other=apollo", "zebra OR meta:project=apollo"),
    *("on:2026-03", "on:2026-03-09", "after:2026-03-10", "before:2026-03-10 zebra", "on:2025"),
    *("after:2026-01 before:2026-04 zebra", "-on:2026-03 zebra", "after:0001", "before:9999-12-31"),
    *("on:9999", "after:9999-12-31", "before:0001-01-01", "on:0001-01-01 zebra"),
    *(
        "(lion role:user) OR (zebra tag:work)",
        "lion OR (tag:work -has:code)",
        "(lion OR tag:work) zebra",
    ),
    *(
        "-(zebra role:user) lion OR zebra",
        "zebra -(tag:work OR has:link)",
        "lion OR -zebra role:user",
    ),
    *("zeb* role:user", "is:pinned zeb*", "-zeb* role:user"),
]


@pytest.fixture
def chats(alice, bob, talk, invite, settings):
    """Chats that differ in all that filters look at, oldest first: time never goes back."""
    settings.TIME_ZONE = "Europe/Berlin"
    with time_machine.travel(datetime(2025, 12, 31, 22, tzinfo=ZoneInfo("UTC")), tick=False):
        third = talk("see https://a.example/zebra", CODE + "https://b.example")
        lifecycle.archive(third, alice)
    with time_machine.travel(datetime(2026, 3, 9, 22, 59, tzinfo=ZoneInfo("UTC")), tick=False):
        first = talk("zebra one", "a lion", metadata={"project": "apollo"})
        sessions.change(first, alice, tags=["Work", "two words"], pinned=True)
    with time_machine.travel(datetime(2026, 3, 9, 23, 1, tzinfo=ZoneInfo("UTC")), tick=False):
        second = talk("zebra and lion", CODE, workflow="translator", metadata={"project": "gemini"})
        invite(second, bob)
    own = talk("zebra of Bob", "lion of Bob", user=bob, metadata={"project": "apollo"})
    sessions.change(own, bob, tags=["theirs"], pinned=True)
    invite(own, alice, expires_at=timezone.now() + timedelta(hours=1))
    gone = talk("zebra in the trash")
    sessions.delete(gone, alice)
    return first, second, third, own


@pytest.mark.usefixtures("chats")
@pytest.mark.parametrize("query", QUERIES)
def test_they_let_through_what_a_scan_lets_through(alice, bob, query):
    for user in (alice, bob):
        answer = search(user, query, limit=100)
        assert [hit.message.uuid for hit in answer.hits] == brute.found(user, query)
        assert answer.complete


@pytest.mark.usefixtures("chats")
@pytest.mark.parametrize("more", [q for q in QUERIES if "OR" not in q])
def test_whatever_is_added_narrows(alice, bob, more):
    for user in (alice, bob):
        all_ = {hit.message.uuid for hit in search(user, "zebra OR lion", limit=100).hits}
        found = {hit.message.uuid for hit in search(user, f"zebra OR lion {more}", limit=100).hits}
        assert found <= all_


def test_a_chat_is_named_by_its_id(alice, chats):
    first, second, _third, own = chats
    for session in (first, second, own):
        found = search(alice, f"session:{session.uuid} zebra OR lion").hits
        assert {hit.session.uuid for hit in found} == {session.uuid}
        assert {hit.session.uuid for hit in search(alice, f"session:{session.uuid}").hits} == {
            session.uuid
        }


def test_anothers_tags_and_pins_are_not_ones_own(alice, chats):
    assert not search(alice, "tag:theirs").hits
    pinned = {hit.session.uuid for hit in search(alice, "is:pinned").hits}
    assert pinned == {chats[0].uuid}


def test_a_share_that_has_run_out_is_none(alice, bob, talk, invite):
    invite(talk("zebra"), bob, expires_at=timezone.now() - timedelta(seconds=1))
    assert not search(alice, "is:shared zebra").hits
    assert not search(bob, "is:shared").hits


@pytest.mark.parametrize(
    ("metadata", "asked", "count"),
    [
        ({"Client": "ACME Inc"}, 'meta:client="acme  inc"', 1),
        ({"a key": "x"}, 'meta:"a key"=x', 1),
        ({"n": 5, "on": True}, "meta:n=5 meta:on=true", 1),
        ({"who": ["ann", "ben"]}, "meta:who=ben", 1),
        ({"who": "annabel"}, "meta:who=ann", 0),
        ({"deep": {"who": "ann"}}, "meta:who=ann", 0),
        ({}, "meta:who=ann", 0),
    ],
)
def test_metadata_is_held_to_the_whole_value(alice, talk, metadata, asked, count):
    talk("zebra", metadata=metadata)
    assert len(search(alice, asked).hits) == count


def test_titles_are_narrowed_by_what_a_chat_has(alice, chats, talk):
    first, second = chats[:2]
    for session, title in ((first, "Zebra crossing"), (second, "A zebra again")):
        sessions.rename(session, alice, title)
    found = {
        asked: {row.uuid for row in search(alice, f"zebra {asked}").titles}
        for asked in ("is:pinned", "workflow:translator", "tag:work", "on:2026-03", "role:user")
    }
    assert found == {
        "is:pinned": {first.uuid},
        "workflow:translator": {second.uuid},
        "tag:work": {first.uuid},
        "on:2026-03": {first.uuid, second.uuid},
        "role:user": set(),
    }
    assert not search(alice, "zebra has:code").titles
    assert not search(alice, "tag:work").titles


def test_in_title_looks_only_there_and_goes_on_by_cursor(alice, talk):
    for number in range(5):
        talk("a lion", title=f"Zebra {number}", metadata={"n": number})
    talk("zebra", title="A lion")
    found, cursor = [], None
    while not found or cursor:
        answer = search(alice, "in:title zebra", limit=2, cursor=cursor)
        assert not answer.hits
        found += [records.title_of(row) for row in answer.titles]
        cursor = answer.cursor
    assert found == [f"Zebra {number}" for number in (4, 3, 2, 1, 0)]
    titles = search(alice, 'in:title "zebra 3" OR "zebra 1"').titles
    assert [records.title_of(row) for row in titles] == ["Zebra 3", "Zebra 1"]
    titles = search(alice, "in:title meta:n=2 OR meta:n=4 -zeb*").titles
    assert not titles
    assert len(search(alice, "in:title meta:n=2 OR meta:n=4").titles) == 2


def test_without_a_word_of_the_index_titles_are_opened_some_at_a_time(alice, talk, monkeypatch):
    for number in range(6):
        talk(title=("Lion", "Zebra", "Tiger")[number % 3])
    monkeypatch.setattr(find, "_LISTED", 2)
    monkeypatch.setattr(find, "_BLOCK", 1)
    monkeypatch.setattr(wanted, "MOST", 0)
    found, pages, cursor = [], 0, None
    while not pages or cursor:
        answer = search(alice, "in:title zeb*", limit=1, cursor=cursor)
        assert answer.complete or answer.cursor
        found += [records.title_of(row) for row in answer.titles]
        pages, cursor = pages + 1, answer.cursor
    assert found == ["Zebra", "Zebra"]
    assert pages > 2


def test_a_budget_ends_a_page_of_filters_too_and_the_cursor_goes_on(alice, talk, settings):
    for number in range(9):
        talk(f"zebra {number}", metadata={"n": number % 3})
    settings.CHATHISTORY_SEARCH_BUDGET = 1
    found, cursor = [], None
    while not found or cursor:
        answer = search(alice, "meta:n=1 zeb*", limit=1, cursor=cursor)
        found += [hit.message.uuid for hit in answer.hits]
        cursor = answer.cursor
    assert len(found) == 3


def test_nobody_has_nothing_to_filter(nobody, charlie, chats):
    for user in (nobody, charlie):
        for query in (
            "role:user",
            "is:shared",
            "is:pinned",
            "tag:work",
            "has:code",
            "in:title zebra",
        ):
            answer = search(user, query)
            assert not answer.hits
            assert not answer.titles


def test_the_branch_that_was_edited_away_is_found_by_its_role(alice, talk):
    session = talk("zebra")
    messages.edit(session.messages.get(), alice, "lion")
    assert not search(alice, "zebra role:user").hits
    assert len(search(alice, "lion role:user").hits) == 1
