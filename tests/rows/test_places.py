"""Places: distinct on SQLite, by time and then by arrival, also where much was said at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chathistory import ids
from chathistory.actions import indexing, placing
from chathistory.models import Message
from chathistory.search.find import search
from tests.search import brute

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MOVE = import_module("chathistory.migrations.0008_places")
pytestmark = pytest.mark.django_db


def place(moment: datetime) -> int:
    return ids.place(ids.milliseconds(moment))


def test_what_is_said_at_once_stands_in_the_order_it_came_in():
    found = list(placing.places(NOW, [NOW] * 5_000))
    assert found == list(range(place(NOW), place(NOW) + 5_000))
    assert list(placing.places(NOW, [None, NOW])) == found[:2]


def test_what_runs_over_takes_nobody_elses_place(talk):
    rows = Message.objects.filter(session=talk("a", "b", "c", "d"))
    said = NOW + timedelta(milliseconds=64)
    taken = [place(said), place(said) + 1, place(said) + 15, place(said) + 16]
    for row, at in zip(rows, taken, strict=True):
        Message.objects.filter(pk=row.pk).update(place=at)
    found = list(placing.places(NOW, [said, NOW, *[NOW] * 40]))
    assert len({*found, *taken}) == len(found) + len(taken)
    assert found[0] > place(said) + 16
    assert found[1:] == sorted(found[1:])


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8, deadline=None
)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 20)), max_size=5))
def test_what_is_remembered_of_full_moments_changes_nothing(talk, groups):
    places = placing.Places()
    session = talk(*(["a"] * sum(count for _ms, count in groups)))
    rows = iter(Message.objects.filter(session=session).order_by("pk").values_list("pk", flat=True))
    for ms, count in groups:
        now = NOW + timedelta(milliseconds=ms)
        found = list(places.of(now, [None] * count))
        assert found == list(placing.places(now, [None] * count))
        for at in found:
            Message.objects.filter(pk=next(rows)).update(place=at)
    Message.objects.all().delete()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    said=st.lists(st.integers(0, 5_000), min_size=1, max_size=60),
    more=st.lists(st.integers(0, 5_000), max_size=60),
)
def test_whatever_comes_in_has_its_own_place_near_its_time(said, more):
    times = [NOW + timedelta(milliseconds=ms) for ms in [*said, *more]]
    found = list(placing.places(NOW, times))
    assert len(set(found)) == len(found)
    for time, at in zip(times, found, strict=True):
        assert place(time) <= at <= place(time) + 16 + 2 * len(found)


@pytest.mark.django_db(transaction=True)
def test_rows_of_before_keep_their_order_and_are_found_once_they_are_indexed_again(alice, talk):
    talk("zebra one", "zebra two")
    talk("zebra three")
    before = [hit.message.uuid for hit in search(alice, "zebra").hits]
    with connection.schema_editor() as editor:
        MOVE._widen(apps, editor)
    pks = list(Message.objects.order_by("place").values_list("pk", flat=True))
    same = place(NOW) >> 4 << 26
    for number, pk in enumerate(pks):
        Message.objects.filter(pk=pk).update(place=same + number, created_at=NOW)
    with connection.schema_editor() as editor:
        MOVE._narrow(apps, editor)
    moved = Message.objects.order_by("place")
    assert list(moved.values_list("place", "indexed")) == [
        (place(NOW) + number, 0) for number in range(len(pks))
    ]
    assert [row.pk for row in moved] == pks
    indexing.run()
    assert [hit.message.uuid for hit in search(alice, "zebra").hits] == before
    assert brute.found(alice, "zebra") == before
