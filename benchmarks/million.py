"""Search in a million messages of one's own, each answer held to a scan."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from functools import partial
from itertools import islice
from typing import Any

from . import words
from .known import PAGE, asked, kinds
from .searching import newest_first
from .site import person, site
from .strangers import dealt
from .table import Row, interleaved, percentile, timed

TITLE = "Search in a million messages of one's own, 20 queries a kind"
MESSAGES, QUERIES = 1_000_000, 20
BAR_MS, LIKE_SHARE = 80.0, 1 / 8
_RARE = 5  # words that LIKE looks for


def rows() -> list[Row]:
    """Return the table's rows."""
    with site() as home:
        from chathistory.actions import exchange  # needs the site

        from .sharegpt import endless

        owner = person("owner")
        exchange.import_transcripts(owner, dealt(endless(), MESSAGES))
        plain = sqlite3.connect(home / "plain.sqlite3")
        plain.execute("CREATE TABLE said (id INTEGER PRIMARY KEY, t TEXT)")
        said = _Said(owner, plain)
        found = _timed(owner, said)
        return [*found, _beside_like(owner, said, plain)]


class _Said:
    """What was said, newest first: the same texts were said again and again."""

    def __init__(self, owner: Any, plain: sqlite3.Connection) -> None:
        number: dict[str, int] = {}
        self.order: list[tuple[Any, int]] = []
        self.sets: list[set[str]] = []
        for uuid, text in newest_first(owner):
            if text not in number:
                number[text] = len(self.sets)
                self.sets.append(words.found_by(text))
            self.order.append((uuid, number[text]))
            plain.execute("INSERT INTO said(t) VALUES (?)", [text])
        plain.commit()
        self.counts = Counter[str]()
        for _uuid, text_number in self.order:
            self.counts.update(self.sets[text_number])

    def scan(self, query: str) -> list[Any]:
        """Return the newest messages with all words."""
        wanted = set(query.split())
        having = {number for number, found in enumerate(self.sets) if wanted <= found}
        return list(islice((uuid for uuid, number in self.order if number in having), PAGE))


def _timed(owner: Any, said: _Said) -> list[Row]:
    newest, best = asked(owner, "newest", PAGE), asked(owner, "relevance", PAGE)
    found = []
    for kind, chosen in kinds(said.counts, MESSAGES, QUERIES).items():
        for query in chosen:
            assert newest(query) == said.scan(query), f"a scan finds other messages: {query!r}"
            best(query)
        times = timed([partial(newest, query) for query in chosen])
        found.append(Row(f"search 1M own p95, {kind}", percentile(times, 0.95), "ms", BAR_MS))
        times = timed([partial(best, query) for query in chosen])
        name = f"search 1M own p95, {kind}, best first"
        found.append(Row(name, percentile(times, 0.95), "ms", BAR_MS))
    return found


def _beside_like(owner: Any, said: _Said, plain: sqlite3.Connection) -> Row:
    newest = asked(owner, "newest", PAGE)
    rare = kinds(said.counts, MESSAGES, QUERIES)["a rare word"]
    some = random.Random(17).sample(rare, _RARE)
    sql = "SELECT count(*) FROM said WHERE t LIKE ?"

    def ours() -> float:
        return sum(timed([partial(newest, word) for word in some])) / _RARE

    def count(word: str) -> int:
        return int(plain.execute(sql, [f"%{word}%"]).fetchone()[0])

    def like() -> float:
        return sum(timed([partial(count, word) for word in some])) / _RARE

    mine, theirs = interleaved(ours, like)
    return Row("search 1M own, rare word / LIKE count", mine, "ms", LIKE_SHARE, theirs)
