"""The site as it is served: gunicorn on a data folder, and somebody's token."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from io import StringIO
from pathlib import Path
from time import monotonic, sleep

from django.core.management import call_command
from django.db import connection

from .site import environment

API = "/api/chat_history"


@contextmanager
def served(home: Path, username: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Serve ``home``; give the port of 127.0.0.1, and headers by which ``username`` is known."""
    out = StringIO()
    call_command("chat_token", username, stdout=out)
    connection.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-c", "python:project.gunicorn", "project.wsgi"]
    server = subprocess.Popen(command, env=os.environ | environment(home) | {"PORT": str(port)})
    try:
        _wait(port)
        yield port, {"Authorization": f"Token {out.getvalue().strip()}"}
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)


def _wait(port: int) -> None:
    """Wait until the server answers."""
    client = HTTPConnection("127.0.0.1", port, timeout=60)
    limit = monotonic() + 60
    while True:
        try:
            client.request("GET", f"{API}/healthz")
            client.getresponse().read()
        except OSError:
            client.close()
            if monotonic() > limit:
                raise
            sleep(0.1)
        else:
            client.close()
            return
