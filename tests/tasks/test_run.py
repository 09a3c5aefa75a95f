"""`make run`: what dies is started again; TERM stops everything, and jobs are handed back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.kills import free_port, serves
from tests.tasks.conftest import ROOT, wait_for

ENQUEUE = """
from chathistory.actions import accounts, jobs
print(jobs.enqueue(accounts.system(), "test.slow", {"notes": %r, "seconds": 600}).uuid)
"""
LOOK = """
from chathistory.models import Job
print(*Job.objects.values_list("state", "attempts").get(kind="test.slow"))
"""


class Running:
    """A site that `make run` serves."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        kept = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL")}
        own = {"CHATHISTORY_HOME": str(home), "DJANGO_SETTINGS_MODULE": "tests.tasks.site"}
        self._environment = kept | own | {"HTTPS": "0", "TEST_JOB_LEASE": "2"}
        self._log = home / "log"
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "project.run", str(self.port)],
                cwd=ROOT,
                env=self._environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def ask(self, source: str) -> str:
        """Run some Python in the site."""
        command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", source]
        return subprocess.run(
            command, cwd=ROOT, env=self._environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    def programs(self) -> dict[int, str]:
        """Return the processes of web, workers and beat that run now, and what they are."""
        names = ("gunicorn", "worker", "beat")
        found = {}
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                words = {Path(word).name for word in child.cmdline()}
                for name in words.intersection(names):
                    found[child.pid] = name
        return found

    def log(self) -> str:
        return self._log.read_text(errors="replace")


def runs(process: psutil.Process) -> bool:
    """Tell whether a process lives; one that nobody has buried yet does not."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def running() -> Iterator[Any]:
    home = Path(tempfile.mkdtemp(prefix="chathistory-", dir="/tmp"))
    made = Running(home)
    try:
        yield made
    finally:
        with suppress(psutil.NoSuchProcess):
            for one in psutil.Process(made.process.pid).children(recursive=True):
                one.kill()
        made.process.kill()
        made.process.wait()
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.timeout(300)
def test_what_dies_is_started_again_and_term_stops_all(running: Running) -> None:
    notes = running.home / "notes"
    notes.touch()
    wait_for(lambda: serves(running.port), "the site")
    wait_for(lambda: len(running.programs()) == 4, "two workers and the beat")
    before = running.programs()
    running.ask(ENQUEUE % str(notes))
    wait_for(notes.read_text, "the job's begin")
    for pid in before:
        os.kill(pid, signal.SIGKILL)

    def are_back() -> bool:
        now = running.programs()
        return sorted(now.values()) == sorted(before.values()) and not now.keys() & before.keys()

    wait_for(are_back, "all of them")
    wait_for(lambda: serves(running.port), "the site again")
    # Its lease of two seconds has ended; the beat's sweep hands it to a new worker.
    wait_for(lambda: notes.read_text().count("begun") == 2, "the job's second begin")
    everything = psutil.Process(running.process.pid).children(recursive=True)
    running.process.send_signal(signal.SIGTERM)
    running.process.wait(30)
    assert not [one for one in everything if runs(one)]
    assert running.ask(LOOK) == "queued 1"
    assert "begun" in notes.read_text()
    assert "ended" not in notes.read_text()
