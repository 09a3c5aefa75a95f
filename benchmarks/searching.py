"""Search in one long history: how long the slowest of twenty takes, and whether it is right."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import words
from .sharegpt import transcripts
from .site import person, site
from .table import Row, percentile, timed

TITLE = "Search in 129,071 messages of one's own, 200 queries a kind"
QUERIES, SHOWN = 200, 20
BAR = 60.0


def rows() -> list[Row]:
    """Return the table's rows."""
    with TemporaryDirectory(prefix="chathistory-bench-") as folder:
        home = Path(folder)
        with site(home):
            _fill()
            return _rows()


def _fill() -> None:
    from chathistory.actions import exchange  # needs the site

    exchange.import_transcripts(person("owner"), transcripts())


def _rows() -> list[Row]:
    owner = person("owner")
    texts = dict(newest_first(owner))
    sets = {uuid: words.found_by(text) for uuid, text in texts.items()}
    found = []
    for kind, queries in _queries(list(texts.values()), list(sets.values())).items():
        times, wrong = [], []
        for query in queries:
            (took,) = timed([search := _searcher(owner, query)])
            times.append(took)
            if search() != _scan(query, texts, sets):
                wrong.append(query)
        assert not wrong, f"{kind}: a scan finds other messages for {wrong[:5]} ({len(wrong)})"
        found.append(Row(f"search 129k own p95, {kind}", percentile(times, 0.95), "ms", BAR))
    return found


def newest_first(owner: Any) -> Iterator[tuple[Any, str]]:
    """Yield the uuid and the opened text of everything that somebody has."""
    from chathistory import records  # needs the site
    from chathistory.models import Message

    mine = Message.objects.filter(account__user=owner).select_related("session__account")
    for message in mine.order_by("-place").iterator():
        yield message.uuid, records.open_body(message, message.session).content


def _searcher(owner: Any, query: str) -> Callable[[], list[Any]]:
    from chathistory.search import find  # needs the site

    def search() -> list[Any]:
        answer = find.search(owner, query, sort="newest", limit=SHOWN)
        return [hit.message.uuid for hit in answer.hits]

    return search


def _queries(texts: list[str], sets: list[set[str]]) -> dict[str, list[str]]:
    counts, dice = words.frequencies(sets), random.Random(7)
    rare = sorted(word for word, count in counts.items() if count <= len(texts) * 0.0003)
    common = sorted(word for word, count in counts.items() if count > len(texts) / 2)
    return {
        "rare word": dice.sample(rare, QUERIES),
        "3-word phrase": [_phrase(texts, dice) for _ in range(QUERIES)],
        "word in over half": [dice.choice(common) for _ in range(QUERIES)],
    }


def _phrase(texts: list[str], dice: random.Random) -> str:
    while True:
        said = words.sequence(dice.choice(texts))
        start = dice.randrange(max(1, len(said) - 2))
        chosen = said[start : start + 3]
        if len(chosen) == 3 and all(map(words.plain, chosen)):
            return f'"{" ".join(chosen)}"'


def _scan(query: str, texts: dict[Any, str], sets: dict[Any, set[str]]) -> list[Any]:
    """Return the newest messages that hold the query, by looking at one text after the other."""
    wanted = query.strip('"').split()
    found: list[Any] = []
    for uuid, text in texts.items():
        if sets[uuid].issuperset(wanted) and (len(wanted) == 1 or _follow(wanted, text)):
            found.append(uuid)
            if len(found) == SHOWN:
                break
    return found


def _follow(wanted: list[str], text: str) -> bool:
    said = words.sequence(text)
    starts = (n for n, word in enumerate(said) if word == wanted[0])
    return any(said[n : n + len(wanted)] == wanted for n in starts)
