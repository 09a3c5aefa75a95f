"""Append: one message, durable, sealed, journalled and indexed, in a file of 100,000."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from io import StringIO
from itertools import islice
from json import dumps
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import Any

from django.core.management import call_command
from django.db import connection

from .reference import Reference
from .site import environment, person, site
from .table import Row, interleaved, timed

TITLE = "Append of one message to a file of 100,000"
FILL = 100_000
SESSIONS = 100
PART = 200  # appends of one measure in one round


def rows() -> list[Row]:
    """Return the table's rows."""
    with site() as home:
        return _rows(home)


def _rows(home: Path) -> list[Row]:
    from chathistory.actions import exchange, messages, sessions  # needs the site

    from .sharegpt import endless, texts

    owner = person("owner")
    exchange.import_transcripts(owner, _messages(endless(), FILL))
    ours = [sessions.create(owner, "tutor") for _ in range(SESSIONS)]
    reference = Reference(home / "reference.sqlite3", SESSIONS)
    reference.fill((n % SESSIONS + 1, "user", t) for n, t in enumerate(islice(texts(), FILL)))
    dice, said = random.Random(1), texts()

    def measure(append: Callable[[int, str], object]) -> Callable[[], float]:
        def one(number: int, text: str) -> Callable[[], object]:
            return lambda: append(number, text)

        def part() -> float:
            calls = [one(dice.randrange(SESSIONS), text) for text in islice(said, PART)]
            return median(timed(calls))

        return part

    with _served(home) as post:
        uuids = [str(session.uuid) for session in ours]
        service, http, plain = interleaved(
            measure(lambda n, text: messages.append(ours[n], owner, "user", text)),
            measure(lambda n, text: post(uuids[n], text)),
            measure(lambda n, text: reference.append(n + 1, "user", text)),
        )
    reference.close()
    return [
        Row("append (service) / reference", service, "ms", 3, plain),
        Row("append (http, 1 connection) / reference", http, "ms", 12, plain),
    ]


def _messages(transcripts: Iterator[Any], wanted: int) -> Iterator[Any]:
    """Yield transcripts until they hold ``wanted`` messages."""
    while wanted > 0:
        transcript = next(transcripts)
        wanted -= len(transcript.turns)
        yield transcript


@contextmanager
def _served(home: Path) -> Iterator[Callable[[str, str], None]]:
    """Serve ``home`` as the site does; give a function that posts over one kept connection."""
    out = StringIO()
    call_command("chat_token", "owner", stdout=out)
    connection.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "-c", "python:project.gunicorn", "project.wsgi"]
    settings = os.environ | environment(home) | {"PORT": str(port)}
    server = subprocess.Popen(command, env=settings)
    client = HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Token {out.getvalue().strip()}"}
    headers["Content-Type"] = "application/json"

    def post(session: str, text: str) -> None:
        body = dumps({"role": "user", "content": text})
        path = f"/api/chat_history/sessions/{session}/messages"
        client.request("POST", path, body, headers)
        answer = client.getresponse()
        told = answer.read()
        assert answer.status == 201, (answer.status, told[:500])

    try:
        _wait(client)
        yield post
    finally:
        client.close()
        server.send_signal(signal.SIGTERM)
        server.wait(20)


def _wait(client: HTTPConnection) -> None:
    """Wait until the server answers."""
    limit = monotonic() + 60
    while True:
        try:
            client.request("GET", "/api/chat_history/healthz")
            client.getresponse().read()
        except OSError:
            client.close()
            if monotonic() > limit:
                raise
            sleep(0.1)
        else:
            return
