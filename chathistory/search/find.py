"""Search: pages of what a person's query finds, newest or best first, and what kinds there are.

``asked`` finds the candidates behind the gate; here they are counted, grouped and ranked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chathistory import keyring
from chathistory.exceptions import Invalid
from chathistory.models import Message, Session

from . import learned
from .asked import Asked, Found, Narrow
from .base import index
from .facets import Facets, count
from .grouping import PerSession
from .matcher import snippet
from .query import begun, parse
from .suggest import suggestions
from .tokens import query_forms
from .tree import TITLES, Node, Term, conjuncts, leaves

SORTS = ("newest", "relevance")
GROUPS = ("session",)
MAX_LIMIT = 100
_TITLES = 20
_FEW = 3  # results with which nobody is asked what was meant
_LISTED = 1_000  # titles opened where the index has no say
_BLOCK = 200
_CURSOR = re.compile("[0-7]?[0-9a-f]{1,15}")  # a place: below 2**63
_FIRST, _MOST = 100, 1_600  # candidates of the first and of the largest block
_ADJACENT, _K1, _B, _TYPICAL = 2.0, 1.2, 0.75, 800.0


@dataclass(slots=True)
class Hit:
    """A message found. ``highlights`` are ``(start, end)`` in the snippet's characters.

    ``more`` is how many others of its session were found, where one stands for each session.
    """

    session: Session
    message: Message
    snippet: str
    highlights: list[tuple[int, int]]
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
    #: A query with words of the asker's own for those that are met nowhere; it finds something.
    did_you_mean: str | None = None


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
    typing: bool = False,
) -> Answer:
    """Search what ``user`` may read and has not thrown away.

    ``narrow`` filters the sessions further; ``group="session"`` gives the newest or best message
    of each session; ``facets`` counts what kinds were found; ``typing`` takes the last word for
    one that is only begun, and looks less far. Raises InvalidQuery, or Invalid for a bad sort,
    group, limit or cursor.
    """
    if sort not in SORTS:
        raise Invalid(f"Unknown sort; one of: {', '.join(SORTS)}.", field="sort")
    if group not in (None, *GROUPS):
        raise Invalid(f"Unknown group; one of: {', '.join(GROUPS)}.", field="group")
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid(f"From 1 to {MAX_LIMIT}.", field="limit")
    tree, before = (begun if typing else parse)(query), _place(cursor)
    asked = Asked(user, tree, narrow, typing=typing)
    answer = _answer(asked, sort, limit, before, group)
    answer.facets = count(asked) if facets and not _is_of_titles(asked) else None
    if asked.is_cut:
        _say_cut(answer)
    is_all = cursor is None and answer.cursor is None
    if is_all and not typing and len(answer.hits) + len(answer.titles) < _FEW:
        answer.did_you_mean = _meant(asked, query, narrow)
    return answer


def _answer(asked: Asked, sort: str, limit: int, before: int | None, group: str | None) -> Answer:
    if _is_of_titles(asked):
        return _by_title(asked, limit, before)
    once = PerSession(asked, before) if group else None
    answer = (
        _ranked(asked, limit, once) if sort == "relevance" else _newest(asked, limit, before, once)
    )
    if before is None and _has_words(asked.tree):
        answer.titles, _ended = _titles(asked, _TITLES, None)
    return answer


def _say_cut(answer: Answer) -> None:
    """Say that there may be more: not every word that begins so was looked for."""
    answer.complete = answer.counted = False
    if answer.facets:
        answer.facets.complete = False


def _meant(asked: Asked, query: str, narrow: Narrow | None) -> str | None:
    """Return another query that finds something, where words of this one are met nowhere."""
    for other, tree in suggestions(query, asked.tree, asked.own) if asked.own else ():
        again = Asked(asked.user, tree, narrow)
        if _titles(again, 1, None)[0]:
            return other
        if not _is_of_titles(again) and _newest(again, 1, None, None).hits:
            return other
    return None


def _is_of_titles(asked: Asked) -> bool:
    return TITLES in conjuncts(asked.tree)


def _newest(asked: Asked, limit: int, before: int | None, once: PerSession | None) -> Answer:
    found: list[Found] = []
    size = _FIRST if asked.matcher.must_open or once else limit + 1
    opened = 0
    while opened < asked.budget:
        block = asked.candidates(before, size)
        opened += len(block)
        held = asked.opened(block)
        for one in once.first(held) if once else held:
            if len(found) == limit:
                return _page(asked, found, _cursor(found[-1].candidate.place), once)
            found.append(one)
        if len(block) < size:
            return _page(asked, found, None, once)
        before, size = block[-1].place, min(4 * size, _MOST)
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
        return Answer([], found, _cursor(ended), False)
    cursor = _cursor(found[limit - 1].pk) if len(found) > limit else None
    return Answer([], found[:limit], cursor, True)


def _titles(asked: Asked, limit: int, before: int | None) -> tuple[list[Session], int | None]:
    """Return sessions whose title holds the query, and the key at which the budget ended."""
    found: list[Session] = []
    looked = 0
    size = limit if asked.is_indexed else max(limit, _BLOCK)
    while looked < (asked.budget if asked.is_indexed else _LISTED):
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
    known = asked.own and learned.of(asked.own, make=False)
    words = known.words if known and asked.own and known.is_complete(asked.own) else None
    others = [row for row in asked.owners.values() if words is None or row != asked.own]
    keyed = [keyring.account_keys(row).search for row in others]
    cap = 5_000
    found = {}
    for form in asked.matcher.words:
        count = (words and words.count(form)) or 0
        count += sum(index().count(k.token(form), cap) for k in keyed)
        found[form] = math.log(1 + (cap + 0.5) / (min(count, cap) + 0.5))
    return found


def _hits(asked: Asked, found: Sequence[Found]) -> list[Hit]:
    """Return what was found as hits, with the messages' and sessions' rows."""
    keys = [candidate.pk for candidate, _ in found]
    rows = Message.objects.select_related("session").in_bulk(keys)
    for row in rows.values():
        row.session.account = asked.owners[row.account_id]
    return [_hit(asked, rows[c.pk], text) for c, text in found if c.pk in rows]


def _hit(asked: Asked, message: Message, text: str) -> Hit:
    return Hit(message.session, message, *snippet(text, asked.matcher.spans(text)))


def _has_words(tree: Node) -> bool:
    """Tell whether there is a word for a title to have."""
    return any(isinstance(leaf, Term) and not negated for leaf, negated in leaves(tree))


def _cursor(place: int | None) -> str | None:
    return None if place is None else f"{place:x}"


def _place(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not _CURSOR.fullmatch(cursor):
        raise Invalid("Not a cursor that a search gave.", field="cursor")
    return int(cursor, 16)
