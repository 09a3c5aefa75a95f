"""Web and workers are killed again and again under load; then the books are compared.

    python -m tests.faults.kills [COUNT] [--broker filesystem|redis] [--every SECONDS]

COUNT kills (20), one every SECONDS (0.7), of gunicorn's and Celery's main processes and of their
children, on SQLite in a temporary folder. Meanwhile 20 messages a second are written and 5 jobs a
second asked for over HTTP. What was acknowledged is written down here, what jobs did in a ledger
that they only append to. Exit status 0 only if nothing acknowledged is lost, each job had its
effect and its end once, and none was left longer than a minute after its lease.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import psutil

from tests import servers

ROOT = Path(__file__).parents[2]
LEASE = 10
WRITES, JOBS = 20, 5  # a second
WRITERS, ASKERS = 10, 5
WEBS, WORKERS, SESSIONS = 2, 4, 6
QUIET = ["--without-gossip", "--without-mingle", "--without-heartbeat"]


@dataclass
class Part:
    """One process of the site and those it starts; started again when it is gone."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def keep(self) -> None:
        """Start it unless it runs."""
        if self.process is None or self.process.poll() is not None:
            with self.log.open("ab") as output:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", *self.command],
                    env=self.environment,
                    cwd=ROOT,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )

    def pids(self) -> list[int]:
        """Return its main process and then its children."""
        if self.process is None or self.process.poll() is not None:
            return []
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children()
            return [self.process.pid, *(child.pid for child in children)]
        return []

    def end(self) -> None:
        """End it and all its children."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass
class Load:
    """People who write and ask for jobs, and what they were told."""

    ports: list[int]
    token: str
    sessions: list[str]
    written: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    failed: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin: so many a second, each in its turn."""
        for number in range(WRITERS):
            self._go(self._write, WRITERS / WRITES, number)
        for number in range(ASKERS):
            self._go(self._ask, ASKERS / JOBS, number)

    def stop(self) -> None:
        """End, when each has had its last answer."""
        self.ended.set()
        for thread in self._threads:
            thread.join()

    def _go(self, act: Any, pause: float, number: int) -> None:
        def loop() -> None:
            dice, due = random.Random(number), time.monotonic()
            while not self.ended.is_set():
                act(dice)
                due += pause  # who had to wait makes up for it
                self.ended.wait(max(0.0, due - time.monotonic()))

        self._threads.append(threading.Thread(target=loop))
        self._threads[-1].start()

    def _write(self, dice: random.Random) -> None:
        """Write a message, and try again with the same id until it is acknowledged."""
        uuid, session = str(uuid4()), dice.choice(self.sessions)
        body = {"id": uuid, "role": "user", "content": f"message {uuid}"}
        while not self.ended.is_set():
            status, _said = self._send(dice, f"sessions/{session}/messages", body)
            if status == 201:
                self.written[uuid] = session
                return

    def _ask(self, dice: random.Random) -> None:
        body = {"kind": "test.effect", "sessions": [dice.choice(self.sessions)]}
        status, said = self._send(dice, "jobs", body)
        if status == 202:
            self.asked.append(said["id"])

    def _send(self, dice: random.Random, path: str, body: Any) -> tuple[int, Any]:
        link = HTTPConnection("127.0.0.1", dice.choice(self.ports), timeout=20)
        headers = {"Content-Type": "application/json", "Authorization": f"Token {self.token}"}
        try:
            link.request("POST", f"/api/chat_history/{path}", json.dumps(body), headers)
            answer = link.getresponse()
            said = json.loads(answer.read() or b"null")
        except (OSError, HTTPException, ValueError):
            self.failed += 1
            self.ended.wait(0.05)
            return 0, None
        finally:
            link.close()
        if answer.status >= 500:
            print(f"  {answer.status} {said}", flush=True)
        return answer.status, said


def main(count: int, broker: str, every: float) -> int:
    """Run it all and say how it went."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="chathistory-", dir="/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = stack.enter_context(servers.valkey(folder)) if broker == "redis" else ""
        ledger = folder / "ledger"
        ledger.touch()
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "tests.tasks.site",
            "CHATHISTORY_HOME": str(folder / "home"),
            "DATABASE_URL": "",
            "REDIS_URL": url,
            "TEST_JOB_LEASE": str(LEASE),
            "TEST_LEDGER": str(ledger),
            "HTTPS": "0",
        }
        token, sessions = set_up()
        ports = [free_port() for _ in range(WEBS)]
        parts = parts_of(folder, ports)
        stack.callback(lambda: [part.end() for part in parts])
        load = Load(ports, token, sessions)
        stack.callback(load.stop)
        begin(parts, ports)
        load.start()
        started = time.monotonic()
        tally, late = kill(parts, count, every)
        load.stop()
        print(f"under load for {time.monotonic() - started:.0f} s")
        late = max(late, finish(parts))
        return compare(load, ledger, tally, late)


def set_up() -> tuple[str, list[str]]:
    """Make the site's rows; return a token and some sessions."""
    import django
    from django.core.management import call_command

    django.setup()
    from django.contrib.auth.models import User

    from chathistory.actions import sessions, tokens

    call_command("migrate", verbosity=0)
    alice = User.objects.create_user("alice")
    made = [str(sessions.create(alice, "tutor").uuid) for _ in range(SESSIONS)]
    return tokens.create(alice), made


def parts_of(folder: Path, ports: list[int]) -> list[Part]:
    """Return the site's processes, not yet started."""
    celery = ["celery", "-A", "project"]
    commands = {
        f"web{port}": ["gunicorn", "-c", "python:project.gunicorn", "project.wsgi"]
        for port in ports
    }
    commands |= {
        f"worker{n}": [*celery, "worker", "-n", f"{n}@kills", *QUIET] for n in range(WORKERS)
    }
    commands["beat"] = [*celery, "beat", "--pidfile="]
    return [
        Part(name, command, os.environ | {"PORT": name[3:]}, folder / f"{name}.log")
        for name, command in commands.items()
    ]


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def begin(parts: list[Part], ports: list[int]) -> None:
    """Start everything and wait until it serves."""
    for part in parts:
        part.keep()
    for port in ports:
        deadline = time.monotonic() + 60
        while not serves(port) and time.monotonic() < deadline:
            time.sleep(0.2)


def serves(port: int) -> bool:
    """Tell whether a web process answers."""
    link = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        link.request("GET", "/api/chat_history/healthz")
        return link.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        link.close()


def kill(parts: list[Part], count: int, every: float) -> tuple[dict[str, int], float]:
    """Kill one process after the other; return how many of each, and the latest job's delay."""
    dice, tally, late = random.Random(count), dict[str, int](), 0.0
    while sum(tally.values()) < count:
        time.sleep(every)
        part = dice.choice([one for one in parts if one.name != "beat"])
        pids = part.pids()
        if pids:
            # One in five of the web's is a main process: its children go with it.
            pid = dice.choice(pids[1:]) if pids[1:] and dice.random() < 0.8 else pids[0]
            name = f"{part.name.rstrip('0123456789')} {'main' if pid == pids[0] else 'child'}"
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                tally[name] = tally.get(name, 0) + 1
        for one in parts:
            one.keep()
        late = max(late, delay())
    return tally, late


def delay() -> float:
    """Return for how many seconds a job waits: since its lease has ended, or it was asked for."""
    from django.utils import timezone

    from chathistory.models import Job

    leases = Job.objects.filter(state="running", lease__isnull=False).order_by("lease")
    asked = Job.objects.filter(state="queued").order_by("created_at")
    waits = (
        leases.values_list("lease", flat=True)[:1],
        asked.values_list("created_at", flat=True)[:1],
    )
    return max(
        (timezone.now() - since).total_seconds() for since in [timezone.now(), *waits[0], *waits[1]]
    )


def finish(parts: list[Part]) -> float:
    """Let the site end its jobs in peace; return the latest job's delay."""
    from chathistory.models import Job

    late, deadline = 0.0, time.monotonic() + 600
    open_ = Job.objects.filter(state__in=("queued", "running"), account__user__isnull=False)
    while open_.exists() and time.monotonic() < deadline:
        for part in parts:
            part.keep()
        late = max(late, delay())
        time.sleep(0.5)
    return late


def compare(load: Load, ledger: Path, tally: dict[str, int], late: float) -> int:
    """Compare what was acknowledged with what is there."""
    from django.db import connection

    from chathistory import records
    from chathistory.models import Account, Change, Job, Message, Session

    rows = {str(row.uuid): row for row in Message.objects.select_related("session__account")}
    contents = {name: records.open_body(row, row.session).content for name, row in rows.items()}
    jobs = {str(job.uuid): job for job in Job.objects.filter(kind="test.effect")}
    effects = {name: str(uuid5(UUID(name), "effect")) for name in jobs}
    begun, ended = attempts(ledger)
    changes = [str(row) for row in Change.objects.filter(table="job").values_list("row", flat=True)]
    account = Account.objects.get(user__isnull=False)
    numbers = list(account.changes.order_by("seq").values_list("seq", flat=True))
    with connection.cursor() as cursor:
        (healthy,) = cursor.execute("PRAGMA integrity_check").fetchone()
    checks = {
        "every acknowledged message is there, as it was said": all(
            contents.get(uuid) == f"message {uuid}" for uuid in load.written
        ),
        "every acknowledged job is there": set(load.asked) <= set(jobs),
        "every job is done": {job.state for job in jobs.values()} == {"done"},
        "every job had its effect, and nobody else's": all(
            contents.get(effects[name]) == name for name in jobs
        ),
        "no effect is there twice": sum(text in jobs for text in contents.values()) == len(jobs),
        "every job's end was written once": all(
            job.result_revision == 1 and changes.count(name) == 2 for name, job in jobs.items()
        ),
        "every job's function came to its end": set(jobs) <= set(ended),
        "messages are numbered densely": all(
            list(one.messages.order_by("seq").values_list("seq", flat=True))
            == list(range(1, one.last_seq + 1))
            for one in Session.objects.all()
        ),
        "the journal is dense": numbers == list(range(1, account.seq + 1)),
        "no job waited longer than a minute after its lease": late <= 60,
        "the database is whole": healthy == "ok",
    }
    repeated = sum(count > 1 for count in begun.values())
    print(f"{sum(tally.values())} kills: {tally}")
    print(f"{len(load.written)} messages acknowledged, {load.failed} requests cut off")
    print(f"{len(load.asked)} jobs acknowledged, {len(jobs)} there, {repeated} begun again,")
    print(f"{sum(map(len, ended.values())) - len(ended)} of them after their effect;")
    print(f"longest wait after a lease: {late:.1f} s")
    for name, is_so in checks.items():
        print(f"  {name}: {is_so}")
    return int(not all(checks.values()))


def attempts(ledger: Path) -> tuple[dict[str, int], dict[str, list[str]]]:
    """Return how often each job was begun, and in which processes it came to its end."""
    begun: dict[str, int] = {}
    ended: dict[str, list[str]] = {}
    for line in ledger.read_text().splitlines():
        what, job, pid = line.split()
        if what == "begun":
            begun[job] = begun.get(job, 0) + 1
        else:
            ended.setdefault(job, []).append(pid)
    return begun, ended


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=20)
    parser.add_argument("--broker", choices=["filesystem", "redis"], default="filesystem")
    parser.add_argument("--every", type=float, default=0.7)
    given = parser.parse_args()
    sys.exit(main(given.count, given.broker, given.every))
