"""Three people live, backups are made meanwhile, and then moments are brought back, many of them.

    python -m tests.faults.moments [STEPS] [MOMENTS] [SEED]

2,000 steps of every verb and 1,000 moments of each person unless other numbers are given; a tenth
as many moments of the whole site, with its index, on SQLite. A fourth person is erased on the way.
In a database of its own (DATABASE_URL, else SQLite). A third of the moments are exactly when
something was committed, a third a microsecond beside. Exit status 0 only if every moment is what
it was, less what was removed for good since.
"""

from __future__ import annotations

import random
import sys
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

from tests.faults import own


def main(steps: int, moments: int, seed: int) -> None:
    """Live, then compare, in a database of its own."""
    with own.database("moments"):
        _run(steps, moments, random.Random(seed))


def _run(steps: int, moments: int, dice: random.Random) -> None:
    import time_machine
    from django.db import connection

    from chathistory.actions import backup
    from chathistory.models import Backup
    from tests.living import START

    with time_machine.travel(START, tick=False) as clock:
        lives = _live(steps, clock, dice)
        backup.incremental()
        clock.shift(timedelta(seconds=1))
        first = min(Backup.objects.filter(number=0).values_list("at", flat=True))
        say = f"{steps:,} steps, {Backup.objects.count():,} backups, {connection.vendor}"
        print(f"{say}; from {first} on", flush=True)
        for life in lives:
            chosen = _moments(life, first, moments, dice)
            _compare([life], chosen, str(life.account.uuid))
        if connection.vendor == "sqlite":
            chosen = _moments(lives[0], first, moments // 10, dice)
            _compare(lives, chosen, None)


def _live(steps: int, clock: Any, dice: random.Random) -> list[Any]:
    from django.contrib.auth.models import User
    from django.utils import timezone

    from chathistory.actions import backup, erase
    from tests.living import VERBS, Life

    people = [User.objects.create_user(name) for name in ("alice", "bob", "charlie", "dora")]
    backed = timezone.now()
    *lives, dora = (Life(user, user, clock) for user in people)
    for number in range(steps):
        if dice.random() < 0.2:
            (backup.full if dice.random() < 0.05 else backup.incremental)()
        if timezone.now() - backed > timedelta(days=1):  # the journal goes back 35 days
            backup.incremental()
            backed = timezone.now()
        living = [*lives, dora] if number < steps // 2 else lives
        wait = dice.choice((0, 1, 10**6, 600 * 10**6))
        step = (dice.choice(VERBS), dice.randrange(40), dice.randrange(400), wait)
        dice.choice(living).live([step])
        for life in lives:
            life.remember()
        if number == steps // 2:
            erase.erase(dora.account, None, override="she asked for it")
    return list(lives)


def _moments(life: Any, first: datetime, count: int, dice: random.Random) -> list[datetime]:
    times = [at for at, _ in life.pictures if at > first]
    last = life.pictures[-1][0]
    found = []
    for number in range(count):
        if number % 3 == 0:
            found.append(first + dice.random() * (last - first))
        else:
            beside = timedelta(microseconds=(number % 3 - 1) * dice.choice((-1, 1)))
            found.append(max(first, dice.choice(times) + beside))
    return found


def _compare(lives: list[Any], moments: list[datetime], whose: str | None) -> None:
    from uuid import UUID

    from chathistory.backups import plans, rebuild
    from chathistory.backups.scratch import scratch
    from chathistory.models import Account
    from tests.living import indexed, less, lost, picture

    began = perf_counter()
    for moment in moments:
        then = [life.at(moment) for life in lives]
        gone = [lost(one, moment) for one in then]
        plan = plans.plan(moment, UUID(whose) if whose else None)
        with rebuild.built(plan, search=whose is None) as made:
            assert made.problems == [], made.problems
            with scratch(made.path, whole=made.whole):
                for life, one, less_of in zip(lives, then, gone, strict=True):
                    account = Account.objects.get(uuid=life.account.uuid)
                    assert less(picture(account), less_of) == less(one, less_of), moment
                    assert whose is not None or indexed(account), moment
                assert not Account.objects.filter(erased_at__isnull=False, user__isnull=False)
    seconds = perf_counter() - began
    print(
        f"{len(moments):,} moments of {whose or 'the site'} are right, {seconds:.0f} s", flush=True
    )


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    main(*(given + [2_000, 1_000, 1][len(given) :]))
