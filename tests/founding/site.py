"""A site in a folder of its own: its commands, and a real gunicorn on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MAKE_USER = "from django.contrib.auth.models import User; User.objects.create_user('bernard')"


class Site:
    """What an operator has: manage.py and a server; each in a process of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.port, self.token = home, 0, ""
        self.server: subprocess.Popen[bytes]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CHATHISTORY")}
        for name in ("DATABASE_URL", "DEBUG", "REDIS_URL", "SECRET_KEY"):
            kept.pop(name, None)
        own = {"CHATHISTORY_HOME": str(home), "DJANGO_SETTINGS_MODULE": "project.settings"}
        self.environment = kept | own | {"HTTPS": "0"}

    def manage(self, *command: str) -> str:
        """Run a command and return what it prints."""
        run = [sys.executable, "manage.py", *command]
        done = subprocess.run(
            run, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def prepare(self) -> None:
        """Make the database, the user of the founding document and a token."""
        self.manage("migrate", "--verbosity", "0")
        self.manage("shell", "--no-imports", "-c", MAKE_USER)
        self.token = self.manage("chat_token", "bernard")

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve until the end, then stop as an operator would."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = ["-m", "gunicorn", "-c", "python:project.gunicorn", "project.wsgi"]
        log = (self.home / "gunicorn.log").open("wb")
        environment = self.environment | {"PORT": str(self.port)}
        run = [sys.executable, *command]
        server = self.server = subprocess.Popen(
            run, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            self._wait(server)
            yield
        finally:
            server.terminate()
            server.wait(15)
            log.close()

    def kill(self) -> None:
        """End the server and its workers as a power cut would."""
        os.killpg(self.server.pid, signal.SIGKILL)

    def _wait(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and server.poll() is None:
            try:
                self.ask("GET", "healthz")
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((self.home / "gunicorn.log").read_text())

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send one request over a connection of its own; return status and JSON."""
        sent = None if body is None else json.dumps(body)
        headers |= {"Content-Type": "application/json"}
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as link:
            link.request(method, f"/api/chat_history/{path}", sent, headers)
            with link.getresponse() as answer:
                said = answer.read()
        return answer.status, json.loads(said) if said else None

    def signed(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send one request with the token."""
        return self.ask(method, path, body, Authorization=f"Token {self.token}")
