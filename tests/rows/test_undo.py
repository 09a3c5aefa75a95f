"""Undo to any time gives what the rows said then, less what was removed for good since."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chathistory import keyring
from chathistory.backups.undo import undo
from chathistory.models import Account, Change
from tests.living import MICRO, START, VERBS, Life, indexed, less, lost, picture

steps = st.lists(
    st.tuples(
        st.sampled_from(VERBS),
        st.integers(0, 11),
        st.integers(0, 400),
        st.sampled_from([0, 1, 1000, 3_600_000_000]),
    ),
    min_size=8,
    max_size=40,
)


@contextmanager
def taken_back() -> Iterator[None]:
    """Do something, and take the whole of it back."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    keyring.forget()


@given(steps, st.lists(st.tuples(st.integers(0, 99), st.integers(-1, 1)), min_size=1, max_size=4))
@settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@pytest.mark.django_db
def test_undo_gives_the_state_at_any_time(alice: User, bob: User, life, moments):
    with time_machine.travel(START, tick=False) as clock, taken_back():
        lived = Life(alice, bob, clock)
        lived.live(life)
        assert indexed(lived.account)
        for which, beside in moments:
            at, _ = lived.pictures[which % len(lived.pictures)]
            with taken_back():
                check(lived, at + beside * MICRO)


def check(lived: Life, moment: datetime) -> None:
    """Undo to a moment and compare with the picture that was taken then."""
    account = Account.objects.get(pk=lived.account.pk)
    then = {} if moment < START else lived.at(moment)
    gone = lost(then)
    assert undo(account, moment) == []
    assert less(picture(account), gone) == less(then, gone)
    assert indexed(account)
    left = Change.objects.filter(account=account)
    assert list(left.order_by("seq").values_list("seq", flat=True)) == list(
        range(1, account.seq + 1)
    )
    assert not left.filter(at__gt=moment).exists()
    assert undo(account, moment) == []
