"""Any moment is rebuilt beside the live rows from what the storage and the key sets hold."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from chathistory.actions import accounts, backup, lifecycle, messages, packing, sessions
from chathistory.backups import plans, rebuild
from chathistory.backups.scratch import scratch
from chathistory.models import Account, Block, Session
from tests.actions.asked import Asked
from tests.living import MICRO, START, VERBS, Life, indexed, less, lost, picture

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="the base is a copy of the file"),
    pytest.mark.usefixtures("home"),
]


def lives(alice: User, bob: User, clock, dice: random.Random, steps: int) -> Life:
    """Live a while, with a segment now and then and a full backup seldom."""
    life = Life(alice, bob, clock)
    life.live([("create", 1, 1, 1)])
    for _ in range(steps):
        if dice.random() < 0.2:
            (backup.full if dice.random() < 0.1 else backup.incremental)()
        wait = dice.choice((0, 1, 10**6, 3600 * 10**6))
        life.live([(dice.choice(VERBS), dice.randrange(12), dice.randrange(400), wait)])
    clock.shift(timedelta(seconds=1))
    return life


@pytest.mark.parametrize("seed", range(3))
def test_any_moment_comes_back(alice: User, bob: User, home, seed: int):
    dice = random.Random(seed)
    with time_machine.travel(START, tick=False) as clock:
        life = lives(alice, bob, clock, dice, 40)
        backup.incremental()
        first = min(part.at for part in backup.Backup.objects.filter(number=0))
        moments = [at for at, _ in life.pictures if at > first]
        for at in dice.sample(moments, min(5, len(moments))):
            for moment in (at - MICRO, at, at + MICRO):
                if moment >= first:
                    compare(life, moment)
    assert list((home / "tmp").iterdir()) == []


def compare(life: Life, moment) -> None:
    """Rebuild a moment, of the site with its index and of the account without, and compare."""
    then = life.at(moment)
    gone = lost(then, moment)
    for uuid in (None, life.account.uuid):
        plan = plans.plan(moment, uuid)
        with rebuild.built(plan, search=uuid is None) as made:
            assert made.problems == []
            with scratch(made.path, whole=made.whole):
                account = Account.objects.get(uuid=life.account.uuid)
                assert less(picture(account), gone) == less(then, gone)
                assert uuid is not None or indexed(account)


def test_of_others_nothing_is_rebuilt(alice: User, bob: User, talk):
    """One person's moment, past the day on which another's block was unpacked."""
    talk("a lion")
    session = sessions.create(bob, "tutor")
    for number in range(3):
        messages.append(session, bob, "user", f"number {number}")
    lifecycle.archive(session, bob)
    packing.compress(Asked(accounts.of(bob)))
    assert Block.objects.count() == 1
    backup.full()
    messages.append(session, bob, "user", "awake")
    packing.compress(Asked(accounts.of(bob)))
    assert not Block.objects.exists()
    talk("a heron")
    backup.incremental()
    with rebuild.built(plans.plan(timezone.now(), accounts.of(alice).uuid), search=False) as made:
        assert made.problems == []
        with scratch(made.path, whole=made.whole):
            assert not Block.objects.exists()
            assert [*Session.objects.values_list("account__user", flat=True)] == [alice.pk] * 2
