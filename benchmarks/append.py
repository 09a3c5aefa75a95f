"""Append: one message, durable, sealed, journalled and indexed, in a file of 100,000."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import islice
from json import dumps
from pathlib import Path
from statistics import median
from typing import Any

from .reference import Reference
from .served import API, served
from .site import person, site
from .table import Row, interleaved, timed

TITLE = "Append of one message to a file of 100,000"
FILL = 100_000
SESSIONS = 100
PART = 200  # appends of one measure in one round
INDEXING = 0.6  # of an append's time


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

    with _posting(home) as post:
        uuids = [str(session.uuid) for session in ours]
        append = measure(lambda n, text: messages.append(ours[n], owner, "user", text))
        service, http, plain, bare = interleaved(
            append,
            measure(lambda n, text: post(uuids[n], text)),
            measure(lambda n, text: reference.append(n + 1, "user", text)),
            _without_index(append),
        )
    reference.close()
    return [
        Row("append (service) / reference", service, "ms", 3, plain),
        Row("append (http, 1 connection) / reference", http, "ms", 12, plain),
        Row(
            "indexing (an append less one that is not indexed) / append",
            service - bare,
            "ms",
            INDEXING,
            service,
        ),
    ]


def _without_index(append: Callable[[], float]) -> Callable[[], float]:
    """Return the same where nothing about search is at rest."""
    from django.test import override_settings  # needs the site

    def measure() -> float:
        with override_settings(CHATHISTORY_SEARCH_BACKEND="memory"):
            return append()

    return measure


def _messages(transcripts: Iterator[Any], wanted: int) -> Iterator[Any]:
    """Yield transcripts until they hold ``wanted`` messages."""
    while wanted > 0:
        transcript = next(transcripts)
        wanted -= len(transcript.turns)
        yield transcript


@contextmanager
def _posting(home: Path) -> Iterator[Callable[[str, str], None]]:
    """Serve ``home`` as the site does; give a function that posts over one kept connection."""
    with served(home, "owner") as (port, headers):
        client = HTTPConnection("127.0.0.1", port, timeout=60)
        headers["Content-Type"] = "application/json"

        def post(session: str, text: str) -> None:
            body = dumps({"role": "user", "content": text})
            client.request("POST", f"{API}/sessions/{session}/messages", body, headers)
            answer = client.getresponse()
            told = answer.read()
            assert answer.status == 201, (answer.status, told[:500])

        yield post
        client.close()
