"""Search as one types, over HTTP: fifty keystrokes a second, whether or not the last are answered.

How long an answer takes is counted from when its key was due to be struck.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, RemoteDisconnected
from itertools import islice
from queue import SimpleQueue
from time import perf_counter, sleep
from typing import Any
from urllib.parse import urlencode

from . import words
from .searching import newest_first
from .served import API, served
from .site import person, site
from .strangers import dealt
from .table import Row, percentile

TITLE = "Search as one types, 100,000 messages of one's own, 50 keystrokes a second"
MESSAGES, RATE, STROKES, CLIENTS = 100_000, 50, 1_500, 16
BAR_MS = 100.0
SHOWN = 8  # as many as a list below the box has


def rows() -> list[Row]:
    """Return the table's rows."""
    with site() as home:
        from chathistory.actions import exchange  # needs the site
        from chathistory.models import Account
        from chathistory.search import learned

        from .sharegpt import transcripts

        owner = person("owner")
        exchange.import_transcripts(owner, dealt(transcripts(), MESSAGES))
        learned.of(Account.objects.get(user=owner))
        assert learned.finish(Account.objects.get(user=owner), lambda: None)  # as beat does
        texts = {str(uuid): words.found_by(text) for uuid, text in newest_first(owner)}
        typed = list(islice(_typed(texts), STROKES))
        with served(home, "owner") as (port, headers):
            client = _Client(port, headers)
            for query in dict.fromkeys(typed):
                _check(query, client.ask(query), texts)
            times = client.strike(typed)
    name = "search as one types, HTTP, 100k own, p95"
    return [Row(name, percentile(times, 0.95), "ms", BAR_MS)]


def _typed(texts: dict[str, set[str]]) -> Iterator[str]:
    """Yield what the box holds after each key from the second letter on: words people use."""
    counts = Counter(word for found in texts.values() for word in found if words.plain(word))
    common = sorted(word for word, count in counts.items() if count > 20 and len(word) > 3)
    dice = random.Random(19)
    while True:
        first, second = dice.sample(common, 2)
        yield from (first[:end] for end in range(2, len(first) + 1))
        yield from (f"{first} {second[:end]}" for end in range(2, len(second) + 1))


def _check(query: str, answer: dict[str, Any], texts: dict[str, set[str]]) -> None:
    """Hold an answer to a scan: all of it right, and nothing left out unless it says so."""
    *whole, begun = query.split()

    def holds(found: set[str]) -> bool:
        return found.issuperset(whole) and any(word.startswith(begun) for word in found)

    shown = [hit["message_id"] for hit in answer["results"]]
    wrong = [one for one in shown if not holds(texts[one])]
    assert not wrong, f"{query!r} finds what does not begin so: {wrong[:3]}"
    if answer["complete"]:
        scan = list(islice((uuid for uuid, found in texts.items() if holds(found)), SHOWN))
        assert shown == scan, f"a scan finds other messages for {query!r}"


class _Client:
    """A few browsers, each with one connection."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self._port, self._headers = port, headers
        self._free = SimpleQueue[HTTPConnection]()
        for _ in range(CLIENTS):
            self._free.put(HTTPConnection("127.0.0.1", self._port, timeout=60))

    def ask(self, query: str) -> dict[str, Any]:
        """Search over a connection that is free."""
        link = self._free.get()
        try:
            status, told = self._sent(link, query)
        except (RemoteDisconnected, ConnectionError):  # it was idle for too long
            link.close()
            status, told = self._sent(link, query)
        self._free.put(link)
        assert status == 200, (status, told[:500])
        found: dict[str, Any] = json.loads(told)
        return found

    def _sent(self, link: HTTPConnection, query: str) -> tuple[int, bytes]:
        asked = urlencode({"q": query, "typing": 1, "limit": SHOWN})
        link.request("GET", f"{API}/search?{asked}", None, self._headers)
        answer = link.getresponse()
        return answer.status, answer.read()

    def strike(self, queries: list[str]) -> list[float]:
        """Ask at the rate, each when it is due; return the milliseconds from then on."""
        start = perf_counter() + 0.1

        def stroke(number: int, query: str) -> float:
            due = start + number / RATE
            sleep(max(0.0, due - perf_counter()))
            self.ask(query)
            return (perf_counter() - due) * 1000

        with ThreadPoolExecutor(CLIENTS) as pool:
            return list(pool.map(stroke, range(len(queries)), queries))
