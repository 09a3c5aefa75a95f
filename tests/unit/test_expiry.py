"""Grandfather, father, son: which points are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chathistory.backups import expiry
from chathistory.exceptions import Invalid

START = datetime(2026, 1, 1, tzinfo=UTC)
counts = st.integers(0, 5)
policies = st.fixed_dictionaries({}, optional=dict.fromkeys(expiry.PERIODS, counts)).filter(
    lambda policy: any(policy.values())
)
times = st.lists(st.integers(0, 400 * 24 * 60).map(lambda m: START + timedelta(minutes=m)))


@given(times, policies)
def test_the_newest_of_each_period_and_no_more_than_asked(moments, policy):
    points = list(enumerate(moments))
    kept = expiry.kept(((at, number) for number, at in points), policy)
    assert len(kept) <= sum(policy.values())
    if points:
        newest = max(moments)
        assert newest in {moments[number] for number in kept}
    for name, count in policy.items():
        period = expiry.PERIODS[name]
        last = sorted({period(at) for at in moments}, reverse=True)[:count]
        for one in last:
            newest = max(at for at in moments if period(at) == one)
            assert newest in {moments[number] for number in kept}


def test_a_month_of_days():
    points = [(START + timedelta(days=n, hours=12), n) for n in range(60)]
    assert expiry.kept(points, {"daily": 3}) == {57, 58, 59}
    assert expiry.kept(points, {"monthly": 12}) == {30, 58, 59}
    assert expiry.kept(points, {"hourly": 24}) == set(range(36, 60))
    # 2026 began on a Thursday: its Sundays are the 4th, the 11th, ...
    assert expiry.kept(points, {"weekly": 3}) == {45, 52, 59}


def test_periods_without_a_backup_are_not_counted():
    points = [(START, "old"), (START + timedelta(days=300), "new")]
    assert expiry.kept(points, {"daily": 2}) == {"old", "new"}


@pytest.mark.parametrize(
    "policy", [{}, {"daily": 0}, {"daily": -1}, {"daily": 1.5}, {"daily": True}, {"x": 1}, None, []]
)
def test_a_policy_that_keeps_nothing_is_none(policy):
    with pytest.raises(Invalid):
        expiry.check(policy)
