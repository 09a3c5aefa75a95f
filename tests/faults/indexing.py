"""A process lives and re-indexes at random and is killed again and again; then rows meet index.

    python -m tests.faults.indexing [STEPS] [SEED]

10,000 steps unless another number is given: every verb of ``tests.living``, re-indexes of all and
of one person, other tokenisers, upkeep, the doctor, purges and merges. About one kill -9 in a
hundred steps, at any moment. On SQLite in a temporary folder, or at DATABASE_URL in a database
of its own. Exit status 0 only if in the end the doctor finds nothing, and neither does whoever
compares everything that is in the index with everything that can be read.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.faults.appenders import ROOT, database

OWN = (
    "reindex",
    "reindex",
    "reindex",
    "reindex",
    "again",
    "tend",
    "doctor",
    "scrub",
    "drop",
    "words",
)
#: Steps between two kills, about.
PACE = 100


def main(steps: int, seed: int) -> int:
    """Live, be killed, and compare."""
    with tempfile.TemporaryDirectory() as home, database(os.environ.get("DATABASE_URL", "")) as url:
        os.environ |= {
            "CHATHISTORY_HOME": home,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "project.settings",
        }
        ledger = Path(home) / "steps"
        ledger.touch()
        command = [sys.executable, "-m", "tests.faults.indexing", "--live", str(ledger)]
        dice, kills = random.Random(seed), 0
        subprocess.run([*command, "0", "0"], cwd=ROOT, check=True)
        while (done := ledger.stat().st_size) < steps:
            more = str(min(steps - done, 2 * PACE))
            child = subprocess.Popen([*command, more, str(dice.randrange(2**31))], cwd=ROOT)
            kills += _killed(child, ledger, done + dice.randrange(1, 2 * PACE), dice)
            if child.returncode not in (0, -signal.SIGKILL):
                print(f"A process ended with {child.returncode}.")
                return 1
        print(f"{steps:,} steps, {kills:,} kills", flush=True)
        return subprocess.run([*command, "-1", "0"], cwd=ROOT, check=False).returncode


def _killed(child: subprocess.Popen[bytes], ledger: Path, at: int, dice: random.Random) -> bool:
    """Wait for so many steps, then kill the process somewhere within the next."""
    while child.poll() is None and ledger.stat().st_size < at:
        time.sleep(0.01)
    time.sleep(dice.random() * 0.2)
    was_alive = child.poll() is None
    child.kill()
    child.wait()
    return was_alive


def live(ledger: Path, steps: int, seed: int) -> int:
    """Do steps in this process, or with -1 compare what the others have left."""
    import django

    django.setup()
    from django.core.management import call_command

    _tokenise(ledger.with_name("tokenisers"))
    if steps == 0:
        call_command("migrate", verbosity=0)
        return 0
    return _compared() if steps < 0 else _lived(ledger, steps, random.Random(seed))


def _tokenise(versions: Path) -> None:
    """Cut words as the newest tokeniser does: each has a word of its own for every text.

    But for none: of a chat that has neither title nor metadata nothing is put in.
    """
    from chathistory.search import base
    from chathistory.search.tokens import Keyed

    first = base.__dict__.setdefault("real_version", base.VERSION)
    if versions.exists():
        base.VERSION = first + versions.stat().st_size
    real = getattr(Keyed, "real_of_text", Keyed.of_text)
    more = f" tokeniser{base.VERSION}"
    Keyed.real_of_text = real  # type: ignore[attr-defined]
    Keyed.of_text = lambda self, text: real(self, text and text + more)  # type: ignore[method-assign]


def _lived(ledger: Path, steps: int, dice: random.Random) -> int:
    import time_machine
    from django.contrib.auth.models import User

    from chathistory.models import Account
    from tests import living

    newest = Account.objects.order_by("-at").first()
    start = newest.at + timedelta(seconds=1) if newest else living.START
    with time_machine.travel(start, tick=False) as clock, ledger.open("ab", buffering=0) as book:
        names = ("alice", "bob")
        users = [User.objects.get_or_create(username=name)[0] for name in names]
        lives = []
        for user in users:
            life = living.Life(user, user, clock)
            clock.move_to(start, tick=False)
            life.remember = lambda: None  # type: ignore[method-assign]
            lives.append(life)
        for _step in range(steps):
            if dice.random() < 0.1:
                what = dice.choice(OWN)
                if what == "words":
                    with (versions := ledger.with_name("tokenisers")).open("ab") as file:
                        file.write(b".")
                    _tokenise(versions)
                else:
                    _own(what, dice.choice(users), dice)
            else:
                verb, wait = dice.choice(living.VERBS), dice.choice((0, 1, 10**6, 600 * 10**6))
                dice.choice(lives).live([(verb, dice.randrange(40), dice.randrange(400), wait)])
            book.write(b".")
    return 0


def _own(what: str, user: Any, dice: random.Random) -> None:
    """Do something to the index itself; whoever died holds its lease no longer."""
    from chathistory.actions import accounts, doctor, indexing, purge
    from chathistory.models import Lease
    from chathistory.search import generations
    from chathistory.search.base import index
    from tests.living import Work

    Lease.objects.all().delete()
    generations.GRACE = -1e12  # the clock here stands far off
    indexing._MESSAGES, indexing._SESSIONS = dice.choice((3, 20, 200)), dice.choice((2, 50))
    if what == "reindex":
        indexing.run()
    elif what == "again":
        indexing.run(user=user)
    elif what == "tend":
        indexing.tend(Work(accounts.system()))
    elif what == "doctor":
        report = doctor.run()
        assert report["ok"] or not report["index"]["current"], report
    elif what == "scrub":
        purge.scrub(lambda: None)
    else:
        index().drop(lambda: None)


def _compared() -> int:
    """Compare what there is, and once more when it was made anew."""
    from chathistory.actions import doctor, indexing
    from chathistory.models import Account, Lease, Message, Session
    from chathistory.search.base import index
    from tests.living import indexed

    Lease.objects.all().delete()
    wrong = 0
    if not index().generations.is_current:
        indexing.run()
    for when in ("as the last kill left it", "made anew"):
        report = doctor.run()
        known = everything()
        checks = {
            "the doctor finds nothing": report["ok"],
            "all that is in the index can be read": known[0] == known[1],
            "each account's rows say so": all(
                indexed(one) for one in Account.objects.filter(user__isnull=False)
            ),
        }
        print(f"{when}: {Message.objects.count():,} messages, {Session.objects.count():,} sessions")
        for name, is_so in checks.items():
            print(f"  {name}: {is_so}")
        wrong += sum(not one for one in checks.values())
        if not report["ok"]:
            print(report)
        for read, held in zip(*known, strict=True):
            print("  lacking", sorted(read - held)[:5], "too many", sorted(held - read)[:5])
        indexing.run()
    return int(bool(wrong))


def everything() -> tuple[list[set[tuple[int, str]]], list[set[tuple[int, str]]]]:
    """Return what can be read, and what is in the index: of messages and of titles, as pairs."""
    from chathistory import keyring, records, text
    from chathistory.models import Message, Session

    said: set[tuple[int, str]] = set()
    titled: set[tuple[int, str]] = set()
    for row in Message.objects.filter(deleted_at=None).select_related("session__account"):
        keyed = keyring.account_keys(row.session.account).search
        content = records.open_body(row, row.session).content
        said |= {(row.place, token) for token in keyed.of_text(content).split()}
    for one in Session.objects.select_related("account"):
        keyed = keyring.account_keys(one.account).search
        parts = [records.title_of(one) if one.title is not None else ""]
        parts += text.strings(records.metadata_of(one))
        titled |= {(one.pk, token) for token in keyed.of_text("\n".join(parts)).split()}
    return [said, titled], [_held(titles=False), _held(titles=True)]


def _held(*, titles: bool) -> set[tuple[int, str]]:
    """Return every posting of the index in use, read in one statement."""
    from django.db import connection

    from chathistory.search import postgres, sqlite
    from chathistory.search.base import index

    number = index().generations.live.number
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            table = postgres.tables(number)[titles]
            cursor.execute(f"SELECT place, unnest(t) FROM {table}")  # noqa: S608
            return {(place, f"{one:012x}") for place, one in cursor.fetchall()}
        table = sqlite.tables(number)[titles]
        cursor.execute(
            f"CREATE VIRTUAL TABLE temp.all_{table} USING fts5vocab(main, {table}, instance)"
        )
        cursor.execute(f"SELECT doc, term FROM temp.all_{table}")  # noqa: S608
        return set(cursor.fetchall())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--live"]:
        sys.exit(live(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
    given = [int(one) for one in sys.argv[1:]]
    sys.exit(main(*(given + [10_000, 1][len(given) :])))
