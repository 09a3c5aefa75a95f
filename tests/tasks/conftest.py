"""Workers and beats for real, on the test's own database and a broker of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.conf import settings
from django.db import connection

from chathistory import hints
from project import environ
from tests import servers

ROOT = Path(__file__).parents[2]
LEASE = 2


class Site:
    """A broker, and what runs beside this process."""

    def __init__(self, folder: Path, kind: str, url: str) -> None:
        self.folder, self.kind, self.url = folder, kind, url
        self.notes = folder / "notes"
        self.notes.touch()
        self._running: list[subprocess.Popen[bytes]] = []

    def worker(self, *more: str) -> subprocess.Popen[bytes]:
        """Start a worker with one process for jobs; it is ready when it is returned."""
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
        command = ["worker", "-n", f"{len(self._running)}@tests", "--loglevel", "INFO", *quiet]
        return self._start([*command, *more], "ready.")

    def beat(self) -> subprocess.Popen[bytes]:
        """Start a beat."""
        return self._start(["beat", "--loglevel", "INFO", "--pidfile="], "beat: Starting...")

    def log(self) -> str:
        """Return what they all said."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def lines(self) -> list[str]:
        """Return what jobs noted."""
        return self.notes.read_text().splitlines()

    def stop(self) -> None:
        """End what still runs."""
        for one in self._running:
            if one.poll() is None:
                one.kill()
                one.wait()

    def _start(self, command: list[str], ready: str) -> subprocess.Popen[bytes]:
        log = self.folder / f"{len(self._running)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "project", *command],
                env=os.environ | self._environment(),
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )
        self._running.append(process)
        wait_for(lambda: ready in log.read_text() or process.poll() is not None, "a start")
        assert process.poll() is None, log.read_text()
        return process

    def _environment(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "tests.tasks.site",
            "CHATHISTORY_HOME": str(settings.CHATHISTORY_HOME),
            "DATABASE_URL": database(),
            "REDIS_URL": self.url,
            "TEST_JOB_LEASE": str(LEASE),
            "HTTPS": "0",
        }


def database() -> str:
    """Return the address of this test's database."""
    found = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{found['NAME']}"
    return f"postgres://{found['USER']}@/{found['NAME']}?host={found['HOST']}"


def wait_for(is_so: Callable[[], Any], what: str) -> None:
    """Wait until something is so; a test that hangs says for what."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


@pytest.fixture(params=["filesystem", "redis"])
def site(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site on each broker, which this process sends its hints to as well."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="chathistory-", dir="/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = stack.enter_context(servers.valkey(folder)) if request.param == "redis" else ""
        use_broker(monkeypatch, environ.broker(url, settings.CHATHISTORY_HOME / "broker"))
        monkeypatch.setattr(hints, "_quiet_until", 0.0)
        for stale in (settings.CHATHISTORY_HOME / "broker" / "messages").glob("*"):
            stale.unlink()
        made = Site(folder, request.param, url)
        stack.callback(made.stop)
        yield made


def use_broker(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    """Let this process send to a broker."""
    for name, value in options.items():
        monkeypatch.setitem(current_app.conf, name, value)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process as a crash does."""
    process.send_signal(signal.SIGKILL)
    process.wait()
