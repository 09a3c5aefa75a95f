"""Ids and the order of messages in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chathistory import ids

MOMENTS = st.datetimes(timezones=st.just(UTC))


def test_new_ids_are_uuid7_distinct_and_in_order():
    made = [ids.new_id() for _ in range(2_000)]
    assert {one.version for one in made} == {7}
    assert {one.variant for one in made} == {"specified in RFC 4122"}
    assert sorted(set(made)) == made


def test_an_imported_thing_always_gets_the_same_id_in_one_account_only():
    mine, his = uuid4(), uuid4()
    assert ids.derived_id(mine, "x") == ids.derived_id(mine, "x")
    assert len({ids.derived_id(a, o) for a in (mine, his) for o in ("x", "y")}) == 4


@given(*[st.lists(st.text(st.characters(categories=["Ll", "Po", "Cs"])), min_size=1)] * 2)
def test_other_names_give_other_ids(one, other):
    space = uuid4()
    assert (ids.derived_id(space, *one) == ids.derived_id(space, *other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [(("x:y", "z"), ("x", "y:z")), (("x\\", "y"), ("x\\:y",)), (("\ud800",), ("\ud801",))],
)
def test_names_cannot_be_cut_in_two_ways(one, other):
    space = uuid4()
    assert ids.derived_id(space, *one) != ids.derived_id(space, *other)


def test_plain_names_are_uuid5_of_what_they_were_always_joined_to():
    space = uuid4()
    assert ids.derived_id(space, "chatgpt", "c-1", "n") == uuid5(space, "chatgpt:c-1:n")


@given(MOMENTS, MOMENTS)
def test_places_follow_time_and_fit_a_signed_64_bit_integer(one, two):
    places = [ids.place(ids.milliseconds(moment)) for moment in sorted([one, two])]
    assert places == sorted(places)
    assert all(0 <= place < 2**63 for place in places)


def test_places_of_neighbouring_moments_leave_room_for_sixteen():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    first, second = (
        ids.place(ids.milliseconds(m)) for m in (moment, moment + timedelta(milliseconds=64))
    )
    assert second - first == 16
