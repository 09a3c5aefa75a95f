"""Lists by keyset say what a sort in memory of everything visible would say."""

from __future__ import annotations

import json
import random
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta

import pytest

from chathistory import listing
from chathistory.actions import accounts, sessions
from chathistory.exceptions import Invalid
from chathistory.models import Session
from chathistory.states import State

START = datetime(2026, 1, 1, tzinfo=UTC)
ORDERS = list(listing.ORDERS)


@pytest.fixture
def many(alice, bob, charlie, invite) -> None:
    """Sixty sessions of three people with many equal times; a third of Bob's shared to Alice."""
    chance = random.Random(7)
    for at in range(60):
        account = accounts.of((alice, bob, charlie)[at % 3])
        moment = START + timedelta(hours=chance.randrange(8))
        session = Session.objects.create(
            account=account,
            workflow=chance.choice(["tutor", "translator"]),
            pinned=chance.random() < 0.2,
            created_at=START,
            updated_at=moment,
            last_activity=moment + timedelta(hours=at % 2),
            state=chance.choice([State.ACTIVE, State.ACTIVE, State.DELETED]),
        )
        if at % 3 == 1 and chance.random() < 0.6:
            invite(session, alice)


def expected(user, order: str, narrow=None) -> list[int]:
    rows = Session.objects.visible_to(user, "read")
    rows = narrow(rows) if narrow else rows.exclude(state=State.DELETED)
    columns = listing.ORDERS[order]
    found = sorted(rows, key=lambda row: [getattr(row, c) for c in columns], reverse=True)
    return [row.pk for row in found]


def walked(user, order: str, limit: int, narrow=None) -> list[int]:
    found, cursor = [], None
    while True:
        page = listing.page(user, limit=limit, cursor=cursor, order=order, narrow=narrow)
        assert len(page.sessions) == limit or page.cursor is None
        found += [row.pk for row in page.sessions]
        if (cursor := page.cursor) is None:
            return found


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_cursor_pages_equal_brute_force(alice, order, limit):
    wanted = expected(alice, order)
    assert len(wanted) > 15
    assert walked(alice, order, limit) == wanted


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("order", ORDERS)
def test_a_narrowed_list_equals_brute_force(alice, order):
    for narrow in (
        lambda rows: rows.filter(workflow="tutor", state=State.ACTIVE),
        lambda rows: rows.filter(state=State.DELETED),
    ):
        assert walked(alice, order, 2, narrow) == expected(alice, order, narrow)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("order", ORDERS)
def test_numbered_pages_equal_brute_force(alice, order):
    wanted = expected(alice, order)
    found = []
    for number in range(1, 20):
        rows, total = listing.numbered(alice, number=number, size=4, order=order)
        assert total == len(wanted)
        found += [row.pk for row in rows]
    assert found == wanted


def test_a_change_between_pages_repeats_nothing_that_did_not_move(alice, talk):
    for at in range(6):
        talk(f"number {at}")
    first = listing.page(alice, limit=3)
    moved = first.sessions[2]
    sessions.pin(moved, alice)
    second = listing.page(alice, limit=3, cursor=first.cursor)
    assert not {row.pk for row in first.sessions} & {row.pk for row in second.sessions}


def packed(value) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "é", "====", "AAAA", "a" * 5_000, packed(5), packed([]), packed({"a": 1})),
        packed(["shown", False, "2026-01-01T00:00:00+00:00", 1]),
        packed(["updated", "2026-01-01T00:00:00+00:00", "1"]),
        packed(["updated", "2026-01-01T00:00:00+00:00", 10**30]),
        packed(["updated", "2026-01-01T00:00:00+00:00", -(10**30)]),
        packed(["updated", "0001-01-01T00:00:00+14:00", 1]),
        packed(["updated", "9999-12-31T23:59:59-14:00", 1]),
        packed(["updated", None, 1]),
        packed(["updated", "2026-01-01T00:00:00+00:00", 1, 1]),
        packed(["updated", "' OR 1=1 --", 1]),
        urlsafe_b64encode(b"[" * 3_000).decode(),
    ],
)
def test_a_cursor_it_did_not_give_is_refused(alice, cursor):
    with pytest.raises(Invalid) as refused:
        listing.page(alice, cursor=cursor)
    assert refused.value.field == "cursor"


@pytest.mark.parametrize(
    ("more", "field"),
    [({"limit": 0}, "limit"), ({"limit": 101}, "limit"), ({"order": "title"}, "sort")],
)
def test_a_bad_limit_or_order_is_refused(alice, more, field):
    with pytest.raises(Invalid) as refused:
        listing.page(alice, **more)
    assert refused.value.field == field


@pytest.mark.parametrize("number", [0, -1, 10**30])
def test_a_page_out_of_reach_is_refused(alice, number):
    with pytest.raises(Invalid) as refused:
        listing.numbered(alice, number=number, size=20)
    assert refused.value.field == "page"


def test_a_stranger_and_nobody_get_empty_lists(charlie, nobody, talk):
    talk("private")
    for user in (charlie, nobody):
        assert listing.page(user).sessions == []
        assert listing.numbered(user, number=1, size=20) == ([], 0)
