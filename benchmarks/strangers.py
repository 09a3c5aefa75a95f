"""Search in one's own 10,000 messages: what 990,000 of a thousand others cost."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from . import words
from .searching import SHOWN, newest_first
from .site import index_bytes, person, site, use
from .table import Row, interleaved, timed

TITLE = "Search in 10,000 messages of one's own, beside 990,000 of others"
OWN, OTHERS, PEOPLE = 10_000, 990_000, 1_000
CLASSES = {"rare": 0.0003, "medium": 0.01, "common": 0.18, "the": 1.0}
TERMS, TIMES = 10, 3
BAR, INDEX_SHARE = 1.5, 1.0


def rows() -> list[Row]:
    """Return the table's rows."""
    with site() as home:
        beside, alone = home / "db.sqlite3", home / "alone.sqlite3"
        content = _fill(beside, alone)
        owner = person("owner")
        texts = list(newest_first(owner))
        name = "index bytes / content bytes, 1 M of 1,001 owners"
        index = index_bytes()
        terms = _terms([words.found_by(text) for _, text in texts])
        found = [Row(name, index, "bytes", INDEX_SHARE, content)]
        for name, chosen in terms.items():
            files = ((beside, OWN + OTHERS), (alone, OWN))
            measures = [_measure(*file, owner, chosen, texts) for file in files]
            theirs, mine = interleaved(*measures)
            found.append(Row(f"search beside 990k / 10k alone, {name}", theirs, "ms", BAR, mine))
        return found


def _fill(beside: Path, alone: Path) -> int:
    """Store the same 10,000 messages in both files; in one, scattered among the others.

    Return the bytes of all that was said.
    """
    from chathistory.actions import exchange  # needs the site

    from .sharegpt import endless, transcripts

    owner = person("owner")
    own = list(dealt(transcripts(), OWN))
    exchange.import_transcripts(owner, own)
    use(beside)
    _copy(beside, alone)
    chats, content = endless(), _content(own)
    for number in range(PEOPLE):
        chats_of_one = list(dealt(chats, OTHERS // PEOPLE))
        content += _content(chats_of_one)
        exchange.import_transcripts(person(f"other{number}"), chats_of_one)
    return content


def _content(chats: list[Any]) -> int:
    return sum(len(turn.content.encode()) for chat in chats for turn in chat.turns)


def _copy(source: Path, target: Path) -> None:
    from django.db import connection  # needs the site

    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(target)])


def dealt(chats: Iterator[Any], wanted: int) -> Iterator[Any]:
    """Yield chats, the last cut short, until they hold ``wanted`` messages."""
    while wanted > 0:
        chat = next(chats)
        chat.turns = chat.turns[:wanted]
        wanted -= len(chat.turns)
        yield chat


def _terms(sets: list[set[str]]) -> dict[str, list[str]]:
    """Return words whose share of the messages is nearest to each class's."""
    counts, dice = words.frequencies(sets), random.Random(3)
    shuffled = sorted(counts, key=lambda word: (word, dice.random()))
    dice.shuffle(shuffled)
    return {
        name: sorted(shuffled, key=lambda word: abs(counts[word] / len(sets) - share))[:TERMS]
        for name, share in CLASSES.items()
    }


def _measure(
    path: Path, messages: int, owner: Any, terms: list[str], texts: list[tuple[Any, str]]
) -> Callable[[], float]:
    from chathistory.models import Message  # needs the site
    from chathistory.search import find

    def search(term: str) -> Callable[[], list[Any]]:
        def call() -> list[Any]:
            answer = find.search(owner, term, sort="newest", limit=SHOWN)
            return [hit.message.uuid for hit in answer.hits]

        return call

    def scan(term: str) -> list[Any]:
        holding = (uuid for uuid, text in texts if term in words.found_by(text))
        return list(islice(holding, SHOWN))

    expected = {term: scan(term) for term in terms}

    def measure() -> float:
        use(path)
        assert Message.objects.count() == messages, f"{path} was not opened"
        for term in terms:  # also warms the connection's cache up
            assert search(term)() == expected[term], f"a scan finds other messages for {term!r}"
        return median(timed([search(term) for term in terms] * TIMES))

    return measure
