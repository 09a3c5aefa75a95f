"""Search: pages of what a person's query finds, newest or best first, and what kinds there are.

``asked`` finds the candidates behind the gate; here they are counted, grouped and ranked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Max, Min

from chathistory import keyring
from chathistory.conf import settings
from chathistory.exceptions import Invalid
from chathistory.models import Message, Session

from .asked import Asked, Found, Narrow, Position
from .branches import Branches, Path
from .facets import Facets, count
from .grouping import PerSession
from .matcher import snippet
from .query import parse
from .tokens import query_forms
from .tree import TITLES, Node, Term, conjuncts, leaves

SORTS = ("newest", "relevance")
GROUPS = ("session",)
MAX_LIMIT = 100
_TITLES = 20
_LISTED = 1_000  # titles opened where the index has no say
_BLOCK = 200
_NUMBER = "([0-7]?[0-9a-f]{1,15})"  # below 2**63
_CURSOR = re.compile(f"{_NUMBER}-([0-9a-f]{{32}})")  # a message's place and uuid
_TITLE_CURSOR = re.compile(_NUMBER)  # a session's key
_FIRST, _MOST = 100, 1_600  # candidates of the first and of the largest block
_ADJACENT, _K1, _B, _TYPICAL = 2.0, 1.2, 0.75, 800.0


@dataclass(slots=True)
class Hit:
    """A message found. ``highlights`` are ``(start, end)`` in the snippet's characters.

    ``path`` leads from the beginning of the chat to it; ``more`` is how many others of its session
    were found, where one stands for each session.
    """

    session: Session
    message: Message
    snippet: str
    highlights: list[tuple[int, int]]
    path: Path
    score: float = 0.0
    more: int | None = None


@dataclass(slots=True)
class Answer:
    """One page: messages, on the first page sessions by title, and how to go on.

    ``counted`` tells whether each hit's ``more`` is all there are, or only so many of the newest
    were counted.
    """

    hits: list[Hit]
    titles: list[Session]
    cursor: str | None
    complete: bool
    counted: bool = True
    facets: Facets | None = None


def search(
    user: Any,
    query: str,
    *,
    sort: str = "newest",
    limit: int = 20,
    cursor: str | None = None,
    narrow: Narrow | None = None,
    group: str | None = None,
    facets: bool = False,
) -> Answer:
    """Search what ``user`` may read and has not thrown away.

    ``narrow`` filters the sessions further; ``group="session"`` gives the newest or best message
    of each session; ``facets`` counts what kinds were found. Raises InvalidQuery, or Invalid for
    a bad sort, group, limit or cursor.
    """
    if sort not in SORTS:
        raise Invalid(f"Unknown sort; one of: {', '.join(SORTS)}.", field="sort")
    if group not in (None, *GROUPS):
        raise Invalid(f"Unknown group; one of: {', '.join(GROUPS)}.", field="group")
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid(f"From 1 to {MAX_LIMIT}.", field="limit")
    tree = parse(query)
    if TITLES in conjuncts(tree):
        key = _read(cursor, _TITLE_CURSOR)
        return _by_title(Asked(user, tree, narrow), limit, int(key[0], 16) if key else None)
    end = _read(cursor, _CURSOR)
    before = Position(int(end[0], 16), UUID(end[1])) if end else None
    asked = Asked(user, tree, narrow)
    once = PerSession(asked, before) if group else None
    answer = (
        _ranked(asked, limit, once) if sort == "relevance" else _newest(asked, limit, before, once)
    )
    if cursor is None and _has_words(tree):
        answer.titles, _ended = _titles(asked, _TITLES, None)
    answer.facets = count(asked) if facets else None
    return answer


def within(user: Any, query: str, session: Session) -> tuple[list[tuple[int, UUID]], bool]:
    """Return what a query finds in one session by number and uuid, and whether that is all.

    In the order of the numbers, so that from one of them there is a next and a previous. What
    ``user`` may not read, or has thrown away, has none. Raises InvalidQuery.
    """
    tree = parse(query)
    places = session.messages.aggregate(first=Min("place"), last=Max("place"))
    if TITLES in conjuncts(tree) or places["first"] is None:
        return [], True
    asked = Asked(user, tree, lambda rows: rows.filter(pk=session.pk))
    since, before = (
        Position(places["first"], UUID(int=0)),
        Position(places["last"] + 1, UUID(int=0)),
    )
    block = asked.candidates(before, settings.SEARCH_BUDGET, since=since)
    found = [(one.seq, one.position.uuid) for one, _ in asked.opened(block)]
    return sorted(found), len(block) < settings.SEARCH_BUDGET


def _newest(asked: Asked, limit: int, before: Position | None, once: PerSession | None) -> Answer:
    found: list[Found] = []
    size = _FIRST if asked.matcher.must_open or once else limit + 1
    opened = 0
    while opened < settings.SEARCH_BUDGET:
        block = asked.candidates(before, size)
        opened += len(block)
        held = asked.opened(block)
        for one in once.first(held) if once else held:
            if len(found) == limit:
                return _page(asked, found, _cursor(found[-1].candidate.position), once)
            found.append(one)
        if len(block) < size:
            return _page(asked, found, None, once)
        before, size = block[-1].position, min(4 * size, _MOST)
    answer = _page(asked, found, _cursor(before), once)
    answer.complete = False
    return answer


def _page(
    asked: Asked, found: Sequence[Found], cursor: str | None, once: PerSession | None
) -> Answer:
    answer = Answer(_hits(asked, found), [], cursor, True)
    if once:
        tally, answer.counted = once.tally([hit.session.pk for hit in answer.hits])
        for hit in answer.hits:
            hit.more = max(tally[hit.session.pk] - 1, 0)
    return answer


def _by_title(asked: Asked, limit: int, before: int | None) -> Answer:
    """Return a page of sessions by title, newest first."""
    found, ended = _titles(asked, limit + 1, before)
    if ended is not None:
        return Answer([], found, f"{ended:x}", False)
    cursor = f"{found[limit - 1].pk:x}" if len(found) > limit else None
    return Answer([], found[:limit], cursor, True)


def _titles(asked: Asked, limit: int, before: int | None) -> tuple[list[Session], int | None]:
    """Return sessions whose title holds the query, and the key at which the budget ended."""
    found: list[Session] = []
    looked = 0
    size = limit if asked.is_indexed else max(limit, _BLOCK)
    while looked < (settings.SEARCH_BUDGET if asked.is_indexed else _LISTED):
        block = asked.titles(before, size)
        looked += len(block)
        found += asked.titled(block)
        if len(found) >= limit or len(block) < size:
            return found[:limit], None
        before = block[-1].pk
    return found, before


def _ranked(asked: Asked, limit: int, once: PerSession | None) -> Answer:
    block = asked.candidates(None, _BLOCK)
    weights = _weights(asked)
    scores = {
        one: _score(asked, one.text, weights) - age / (10 * _BLOCK)
        for age, one in enumerate(asked.opened(block))
    }
    best = sorted(scores, key=lambda one: -scores[one])
    best = list(once.first(best) if once else best)[:limit]
    answer = _page(asked, best, None, once)
    answer.complete = len(block) < _BLOCK
    for hit, one in zip(answer.hits, best, strict=True):
        hit.score = scores[one]
    return answer


def _score(asked: Asked, text: str, weights: dict[str, float]) -> float:
    """BM25 (Robertson and Zaragoza, 2009) over the opened text; phrases on top."""
    counts: dict[str, int] = {}
    for start, end in asked.matcher.spans(text):
        for form in query_forms(text[start:end]):
            counts[form] = counts.get(form, 0) + 1
    norm = _K1 * (1 - _B + _B * len(text) / _TYPICAL)
    score = sum(
        weight * (counts.get(form, 0) * (_K1 + 1)) / (counts.get(form, 0) + norm)
        for form, weight in weights.items()
    )
    return score + _ADJACENT * asked.matcher.bonus(text)


def _weights(asked: Asked) -> dict[str, float]:
    keyed = {pk: keyring.account_keys(row).search for pk, row in asked.owners.items()}
    cap, reader = 5_000, asked.reader
    found = {}
    for form in asked.matcher.words:
        counts = (reader.count(pk, k.token(form), cap) for pk, k in keyed.items() if reader)
        count = sum(counts)
        found[form] = math.log(1 + (cap + 0.5) / (min(count, cap) + 0.5))
    return found


def _hits(asked: Asked, found: Sequence[Found]) -> list[Hit]:
    """Return what was found as hits, with the messages' and sessions' rows."""
    keys = [candidate.pk for candidate, _ in found]
    rows = Message.objects.select_related("session").in_bulk(keys)
    for row in rows.values():
        row.session.account = asked.owners[row.account_id]
    branches = Branches({row.session_id for row in rows.values()})
    there = [(rows[candidate.pk], text) for candidate, text in found if candidate.pk in rows]
    return [_hit(asked, row, text, branches) for row, text in there]


def _hit(asked: Asked, message: Message, text: str, branches: Branches) -> Hit:
    shown, highlights = snippet(text, asked.matcher.spans(text))
    path = branches.path(message.session_id, message.seq)
    return Hit(message.session, message, shown, highlights, path)


def _has_words(tree: Node) -> bool:
    """Tell whether there is a word for a title to have."""
    return any(isinstance(leaf, Term) and not negated for leaf, negated in leaves(tree))


def _cursor(end: Position | None) -> str | None:
    return None if end is None else f"{end.place:x}-{end.uuid.hex}"


def _read(cursor: str | None, form: re.Pattern[str]) -> tuple[str, ...]:
    """Return the parts of a cursor; none of none. Raises Invalid."""
    if cursor is None:
        return ()
    if (found := form.fullmatch(cursor)) is None:
        raise Invalid("Not a cursor that a search gave.", field="cursor")
    return found.groups()
