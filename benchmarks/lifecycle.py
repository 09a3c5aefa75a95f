"""The sweep: 100,000 sessions due, while somebody else goes on writing.

`python -m benchmarks.lifecycle HOME` is that somebody: it appends a message every few
milliseconds to a session of its own until its input ends, and prints how long each one took.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID, uuid4

from .site import environment, person, site
from .table import Row, percentile

TITLE = "Sweep of 100,000 sessions that are due, beside an appender in another process"
DUE = 100_000
OWNERS = (1, 1_000)
_AT_ONCE = 500
_PAUSE = 0.005


@dataclass
class Inline:
    """Work that nobody watches."""

    account: Any
    arguments: dict[str, Any] = field(default_factory=dict)
    uuid: UUID = field(default_factory=uuid4)

    def step(self, done: int, total: int | None = None) -> None:
        """Go on."""


def rows() -> list[Row]:
    """Return the table's rows."""
    with site() as home:
        return [row for owners in OWNERS for row in _case(home, owners)]


def _case(home: Path, owners: int) -> list[Row]:
    from chathistory.actions import accounts, lifecycle  # needs the site

    _fill(owners)
    work = Inline(accounts.system())
    with appender(home) as appends:
        begun = perf_counter()
        done = lifecycle.sweep(work)
        ended = perf_counter()
    assert done["archive"] + done["idle"] == DUE, done
    waits = [ms for at, ms in appends if begun <= at <= ended]
    told = f"{DUE:,} sessions of {owners:,} account{'s' * (owners > 1)}"
    return [
        Row(f"{told}: the sweep", ended - begun, "s", 60),
        Row(f"{told}: 99 of 100 appends", percentile(waits, 0.99), "ms", 100),
        Row(f"{told}: the longest append", max(waits), "ms", 100),
    ]


def _fill(owners: int) -> None:
    """Make sessions that are due: one half to be idle, the other for the archive."""
    from chathistory import bulk, keyring  # needs the site
    from chathistory.actions import accounts
    from chathistory.journal import Operation
    from chathistory.models import Session

    mine = DUE // owners
    for owner in range(owners):
        account = accounts.of(person(f"owner {owners}-{owner}"))
        for start in range(0, mine, _AT_ONCE):
            with Operation(account, account, "session.create") as op:
                ages = [timedelta(hours=2), timedelta(days=40)] * (_AT_ONCE // 2)
                some = [
                    Session(account=op.account, workflow="tutor", last_activity=op.at - age)
                    for age in ages[: mine - start]
                ]
                for row in some:
                    row.changed = op.record("session", row.uuid, session=row)
                bulk.create(some)
                keyring.make_session_keys(op.account, some)


# Whoever writes meanwhile


@contextmanager
def appender(home: Path) -> Iterator[list[tuple[float, float]]]:
    """Let a process append; the list holds (when, milliseconds) of each append afterwards."""
    command = [sys.executable, "-m", "benchmarks.lifecycle", str(home)]
    found: list[tuple[float, float]] = []
    process = subprocess.Popen(
        command,
        env=os.environ | environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield found
        told, _nothing = process.communicate()
        found += [tuple(one) for one in json.loads(told)]
    finally:
        process.kill()
        process.wait()


def append(home: Path) -> None:
    """Append until the input ends."""
    with site(home):
        from chathistory.actions import messages, sessions  # needs the site

        user = person("appender")
        session = sessions.create(user, "tutor")
        messages.append(session, user, "user", "The first loads keys.")
        print("ready", flush=True)
        found = []
        while not select.select([sys.stdin], [], [], _PAUSE)[0]:
            begun = perf_counter()
            messages.append(session, user, "user", "How long does this take?")
            found.append((begun, (perf_counter() - begun) * 1000))
        print(json.dumps(found))


if __name__ == "__main__":
    append(Path(sys.argv[1]))
