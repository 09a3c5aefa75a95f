"""Leases: one at a time, wherever it runs; who dies lets go."""

from __future__ import annotations

import time
from datetime import timedelta
from uuid import uuid4

import pytest
import time_machine
from django.utils import timezone

from chathistory import leases
from chathistory.exceptions import Conflict
from chathistory.leases import LENGTH, Hold, held
from chathistory.models import Lease

pytestmark = pytest.mark.django_db(transaction=True)


def of_another(ends: timedelta) -> None:
    Lease.objects.create(name="work", holder=uuid4(), until=timezone.now() + ends)


def test_it_is_there_while_the_block_lasts_and_gone_after():
    with held("work", "busy") as hold:
        assert Lease.objects.get().holder == hold.holder
        hold.sure()
    assert not Lease.objects.exists()
    with pytest.raises(KeyError), held("work", "busy"):
        raise KeyError
    assert not Lease.objects.exists()


def test_another_is_refused_and_other_names_are_not():
    with held("work", "busy"):
        with pytest.raises(Conflict, match="busy"), held("work", "busy"):
            pass
        with held("other work", "busy"):
            assert Lease.objects.count() == 2
    with held("work", "busy"):
        pass


def test_one_that_is_over_is_taken():
    of_another(-timedelta(seconds=1))
    with held("work", "busy") as hold:
        assert Lease.objects.get().holder == hold.holder


def test_one_that_a_wrong_clock_made_is_taken():
    of_another(timedelta(days=1))
    with held("work", "busy"):
        pass
    of_another(LENGTH)
    with pytest.raises(Conflict), held("work", "busy"):
        pass


def test_who_lost_it_knows():
    with time_machine.travel(timezone.now()) as clock, held("work", "busy") as hold:
        clock.shift(2 * LENGTH)
        other = Hold("work")
        assert other.take()
        with pytest.raises(Conflict, match="taken"):
            hold.sure()
        hold.renew()
        other.sure()
    assert Lease.objects.get().holder == other.holder


def test_it_is_renewed_while_it_is_held(monkeypatch):
    monkeypatch.setattr(leases, "_RENEWED", 0.02)
    with held("work", "busy"):
        first = Lease.objects.get().until
        end = time.monotonic() + 20
        while Lease.objects.get().until <= first:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_who_waits_gets_it_when_it_is_free(together):
    order: list[str] = []

    def work() -> None:
        with held("work", "busy", wait=30):
            order.append("in")
            time.sleep(0.05)
            order.append("out")

    assert together(*[work] * 4) == [None] * 4
    assert order == ["in", "out"] * 4


def test_of_many_at_once_one_has_it(together):
    holds = [Hold("work") for _ in range(8)]
    took = together(*[hold.take for hold in holds])
    assert took.count(True) == 1
    assert Lease.objects.get().holder == holds[took.index(True)].holder
