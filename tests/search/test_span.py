"""Dates bound the places that search looks at: never too closely."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from chathistory import ids
from chathistory.search.find import search
from chathistory.search.narrowing import LAST, span
from chathistory.search.query import parse
from tests.search import brute

DATES = st.sampled_from(["2026", "2026-03", "2026-03-29", "2025-12-31", "1970", "0001", "9999"])
NAMES = st.sampled_from(["before", "after", "on", "-before", "-after", "-on"])
PARTS = st.builds("{}:{}".format, NAMES, DATES)
MOMENTS = st.datetimes(
    min_value=datetime(1969, 12, 31),
    max_value=datetime(2110, 1, 1),
    timezones=st.just(UTC),
) | st.sampled_from(
    [
        datetime(2026, 3, 29, tzinfo=UTC) + timedelta(hours=hours, microseconds=micros)
        for hours in (-1, 0, 22, 23)
        for micros in (-1_000, -999, -1, 0, 1, 999)
    ]
)


def holds(asked: str, moment: datetime) -> bool:
    """Tell whether the filters of a query let a moment through, by the conditions on columns."""
    return all(_is(one, moment) for one in asked.split())


def _is(one: str, moment: datetime) -> bool:
    name, value = one.lstrip("-").split(":")
    start = brute.begin(value)
    said = timezone.localtime(moment)
    found = {
        "before": said < start,
        "after": said >= start,
        "on": f"{said:%Y-%m-%d}".startswith(value),
    }[name]
    return found != one.startswith("-")


@given(parts=st.lists(PARTS, min_size=1, max_size=3), moment=MOMENTS)
def test_whatever_a_date_lets_through_is_within_its_places(
    parts: list[str], moment: datetime
) -> None:
    asked = " ".join(["zebra", *parts])
    if holds(" ".join(parts), moment):
        first, last = span(parse(asked))
        start = ids.place(ids.milliseconds(moment))
        assert first <= start
        assert start + 2**20 <= last


@pytest.mark.parametrize(
    ("query", "is_bounded"),
    [
        ("zebra", (False, False)),
        ("zebra after:2026", (True, False)),
        ("zebra before:2026", (False, True)),
        ("zebra on:2026-03", (True, True)),
        ("zebra -after:2026", (False, True)),
        ("zebra -before:2026", (True, False)),
        ("zebra -on:2026", (False, False)),
        ("zebra on:2025 OR on:2026", (True, True)),
        ("on:2025 OR zebra", (False, False)),
        ("zebra (lion on:2025) OR on:2026", (True, True)),
        ("zebra -(on:2025 lion)", (False, False)),
    ],
)
def test_only_what_every_hit_must_be_bounds(query: str, is_bounded: tuple[bool, bool]) -> None:
    first, last = span(parse(query))
    assert (first > 0, last < LAST) == is_bounded


def test_dates_that_exclude_each_other_leave_no_place() -> None:
    first, last = span(parse("zebra after:2026 before:2025"))
    assert first > last


@pytest.mark.django_db
@pytest.mark.usefixtures("backend")
def test_the_first_and_last_moments_of_a_day_are_in_it(alice, talk, settings):
    settings.TIME_ZONE = "Europe/Berlin"
    midnight = datetime(2026, 3, 28, 23, tzinfo=UTC)  # the day that has 23 hours there
    for moment in (
        *(midnight - timedelta(microseconds=1), midnight, midnight + timedelta(microseconds=1)),
        *(midnight + timedelta(hours=23, microseconds=n) for n in (-1, 0, 1)),
    ):
        with time_machine.travel(moment, tick=False):
            talk("zebra", "zebra")
    for query in (
        *("zebra on:2026-03-29", "zebra before:2026-03-29", "zebra after:2026-03-30"),
        *("zebra -before:2026-03-29", "zebra -after:2026-03-30", "zebra -on:2026-03-29"),
        *("zebra on:2026-03-28 OR on:2026-03-30", "zebra after:2026-03-29 before:2026-03-30"),
    ):
        hits = search(alice, query, limit=100).hits
        assert [hit.message.uuid for hit in hits] == brute.found(alice, query)
        assert hits
    assert not search(alice, "zebra after:2026-03-30 before:2026-03-29").hits
