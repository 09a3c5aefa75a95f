"""Finding again what one knows was said: how high it stands, beside plaintext FTS5 with bm25.

Words are taken out of a message by chance, as people remember them, and looked for: a query
counts as one over the rank of that message. Both see the same 100,000 texts.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Any

from . import words
from .searching import newest_first
from .site import index_bytes, person, site
from .table import Row, interleaved, percentile, timed

TITLE = "Known items among 100,000 messages of one's own, 500 queries a kind"
MESSAGES, QUERIES, SHOWN = 100_000, 500, 100
TIMED, PAGE = 50, 20
BAR_MS, LIKE_SHARE, INDEX_SHARE = 30.0, 1 / 8, 0.5
#: How many words of which share of all messages; or how many that follow each other.
APART = {
    "3 words of 0.01-5 %": (3, 0.0001, 0.05),
    "2 words of 0.1-10 %": (2, 0.001, 0.1),
    "1 word of 0.001-1 %": (1, 0.00001, 0.01),
}
TOGETHER = {"5 consecutive words": 5, "3 consecutive words": 3}
#: Shares of the messages that a word, or each of two, stands in.
SHARES = {"rare": 0.0003, "uncommon": 0.003, "medium": 0.01, "common": 0.18, "stop": 0.6}

Ranked = Callable[[str], list[Any]]


def rows() -> list[Row]:
    """Return the table's rows."""
    with site():
        owner = person("owner")
        _fill(owner)
        texts = dict(newest_first(owner))
        counts = Counter(word for text in texts.values() for word in words.found_by(text))
        plain = _Plain(texts)
        ours = asked(owner, "relevance", SHOWN)
        found = _known(texts, counts, ours, plain.best)
        content = sum(len(text.encode()) for text in texts.values())
        name = "index bytes / content bytes, 100k of one owner"
        found.append(Row(name, index_bytes(), "bytes", INDEX_SHARE, content))
        return found + _timed(owner, texts, counts) + [_beside_like(owner, counts, plain)]


def _fill(owner: Any) -> None:
    from chathistory.actions import exchange  # needs the site

    from .sharegpt import transcripts
    from .strangers import dealt

    exchange.import_transcripts(owner, dealt(transcripts(), MESSAGES))


class _Plain:
    """The same texts in the clear, indexed with every position and count."""

    def __init__(self, texts: dict[Any, str]) -> None:
        self._link = sqlite3.connect(":memory:")
        self._uuids = list(texts)
        self._link.execute("CREATE VIRTUAL TABLE plain USING fts5(t, content='')")
        self._link.execute("CREATE TABLE said (id INTEGER PRIMARY KEY, t TEXT)")
        said = list(enumerate(texts.values()))
        self._link.executemany("INSERT INTO plain(rowid, t) VALUES (?, ?)", said)
        self._link.executemany("INSERT INTO said VALUES (?, ?)", said)

    def best(self, query: str) -> list[Any]:
        """Return the best by bm25, whatever the number of matches."""
        quoted = " ".join(f'"{word}"' for word in query.split())
        sql = "SELECT rowid FROM plain WHERE plain MATCH ? ORDER BY rank LIMIT ?"
        return [self._uuids[row[0]] for row in self._link.execute(sql, [quoted, SHOWN])]

    def like(self, word: str) -> int:
        """Count the texts with a run of letters, by reading all of them."""
        sql = "SELECT count(*) FROM said WHERE t LIKE ?"
        return int(self._link.execute(sql, [f"%{word}%"]).fetchone()[0])


def asked(owner: Any, sort: str, limit: int) -> Ranked:
    """Return what gives the messages of one page."""
    from chathistory.search import find  # needs the site

    def best(query: str) -> list[Any]:
        answer = find.search(owner, query, sort=sort, limit=limit)
        return [hit.message.uuid for hit in answer.hits]

    return best


def _known(texts: dict[Any, str], counts: Counter[str], ours: Ranked, plain: Ranked) -> list[Row]:
    found = []
    for name, items in _items(texts, counts).items():
        mine = _reciprocal(ours, items)
        theirs = _reciprocal(plain, items)
        label = f"known item, {name}: mean reciprocal rank"
        found.append(Row(label, mine, "", 1.0, theirs, at_least=True))
    return found


def _items(texts: dict[Any, str], counts: Counter[str]) -> dict[str, list[tuple[Any, str]]]:
    dice = random.Random(11)
    uuids = list(texts)

    def drawn(choose: Callable[[str], list[str]]) -> list[tuple[Any, str]]:
        made: list[tuple[Any, str]] = []
        while len(made) < QUERIES:
            uuid = dice.choice(uuids)
            if chosen := choose(texts[uuid]):
                made.append((uuid, " ".join(chosen)))
        return made

    def apart(many: int, least: float, most: float) -> Callable[[str], list[str]]:
        def choose(text: str) -> list[str]:
            fit = [w for w in dict.fromkeys(words.sequence(text)) if words.plain(w)]
            fit = [w for w in fit if least <= counts[w] / len(uuids) <= most]
            return dice.sample(fit, many) if len(fit) >= many else []

        return choose

    def together(many: int) -> Callable[[str], list[str]]:
        def choose(text: str) -> list[str]:
            said = words.sequence(text)
            start = dice.randrange(max(1, len(said) - many + 1))
            chosen = said[start : start + many]
            return chosen if len(chosen) == many and all(map(words.plain, chosen)) else []

        return choose

    made = {name: drawn(apart(*how)) for name, how in APART.items()}
    return made | {name: drawn(together(many)) for name, many in TOGETHER.items()}


def _reciprocal(best: Ranked, items: Sequence[tuple[Any, str]]) -> float:
    ranks = [found.index(uuid) + 1 for uuid, query in items if uuid in (found := best(query))]
    return sum(1 / rank for rank in ranks) / len(items)


def _timed(owner: Any, texts: dict[Any, str], counts: Counter[str]) -> list[Row]:
    """Time ten kinds of queries, each answer held to a scan; and the best first, of the same."""
    newest, best = asked(owner, "newest", PAGE), asked(owner, "relevance", PAGE)
    chosen = kinds(counts, len(texts), TIMED)
    sets = {uuid: words.found_by(text) for uuid, text in texts.items()}
    found = []
    for kind, queries in chosen.items():
        for query in queries:  # also warms the connection's cache up
            assert newest(query) == _scan(sets, query), f"a scan finds other messages: {query!r}"
        times = timed([partial(newest, query) for query in queries])
        found.append(Row(f"search 100k own p95, {kind}", percentile(times, 0.95), "ms", BAR_MS))
    every = [query for queries in chosen.values() for query in queries]
    times = timed([partial(best, query) for query in every])
    name = "search 100k own p95, best first, the same queries"
    return [*found, Row(name, percentile(times, 0.95), "ms", BAR_MS)]


def kinds(counts: Counter[str], total: int, many: int) -> dict[str, list[str]]:
    """Return ``many`` words by how many messages they are in, alone and in twos: ten kinds."""
    dice = random.Random(13)
    plain = sorted(word for word in counts if words.plain(word))
    near = {
        name: sorted(plain, key=lambda word: abs(counts[word] / total - share))[:many]
        for name, share in SHARES.items()
    }
    made = {f"a {name} word": chosen for name, chosen in near.items()}
    twos = ("rare", "rare"), ("rare", "common"), ("medium", "medium"), ("medium", "common")
    for left, right in (*twos, ("common", "stop")):
        pairs = [f"{dice.choice(near[left])} {dice.choice(near[right])}" for _ in range(many)]
        made[f"a {left} and a {right} word"] = pairs
    return made


def _scan(sets: dict[Any, set[str]], query: str) -> list[Any]:
    wanted = set(query.split())
    return list(islice((uuid for uuid, have in sets.items() if wanted <= have), PAGE))


def _beside_like(owner: Any, counts: Counter[str], plain: _Plain) -> Row:
    newest = asked(owner, "newest", PAGE)
    share = SHARES["rare"]
    some = sorted(filter(words.plain, counts), key=lambda w: abs(counts[w] / MESSAGES - share))
    some = some[:10]

    def mean(calls: Iterable[Callable[[], object]]) -> Callable[[], float]:
        made = list(calls)
        return lambda: sum(timed(made)) / len(made)

    ours = mean([partial(newest, word) for word in some])
    like = mean([partial(plain.like, word) for word in some])
    mine, theirs = interleaved(ours, like)
    return Row("search 100k own, rare word / LIKE count", mine, "ms", LIKE_SHARE, theirs)
