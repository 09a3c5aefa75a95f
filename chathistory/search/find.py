"""Search: pages of what a person's query finds, newest or best first, and what kinds there are.

``asked`` finds the candidates behind the gate; here they are counted, grouped and ranked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Max, Min

from chathistory.conf import settings
from chathistory.exceptions import Invalid
from chathistory.models import Message, Session

from . import spread
from .asked import Asked, Found, Narrow
from .branches import Branches, Path
from .facets import Facets, count
from .grouping import PerSession
from .matcher import snippet
from .query import begun, parse
from .ranking import Ranking, Scored
from .sources import Candidate, Position
from .suggest import suggestions
from .tree import TITLES, Node, Term, conjuncts, leaves

SORTS = ("newest", "oldest", "relevance")
GROUPS = ("session",)
MAX_LIMIT = 100
_TITLES = 20
_FEW = 3  # results with which nobody is asked what was meant
_CLOSE = 10  # messages found by what may have been meant
_LISTED = 1_000  # titles opened where the index has no say
_BLOCK = 200
_NUMBER = "([0-7]?[0-9a-f]{1,15})"  # below 2**63
_AT = f"{_NUMBER}-([0-9a-f]{{32}})"  # a message's place and uuid
_CURSORS = {
    "titles": re.compile(_NUMBER),  # a session's key
    "newest": re.compile(_AT),
    "oldest": re.compile(_AT),
    "relevance": re.compile(f"{_AT}-([0-9]{{1,4}})"),  # and how many from there on were shown
}
_RANKED, _OPENED = 200, 600_000  # messages ranked at once, characters of them
_FIRST, _MOST = 100, 1_600  # candidates of the first and of the largest block


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
    #: A query with words of the asker's own for those that are met nowhere; it finds something.
    did_you_mean: str | None = None
    #: The newest that this other query finds; none of them is what was asked.
    close: list[Hit] = field(default_factory=list)


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

    ``sort="relevance"`` ranks the newest 200, and on the pages after these the 200 before; at
    the end come chats that have all the words, in no one message. ``narrow`` filters the sessions
    further; ``group="session"`` gives the newest, oldest or best message of each session;
    ``facets`` counts what kinds were found; ``typing`` takes the last word for one that is only
    begun, and looks less far. Raises InvalidQuery, or Invalid for a bad sort, group, limit or
    cursor.
    """
    if sort not in SORTS:
        raise Invalid(f"Unknown sort; one of: {', '.join(SORTS)}.", field="sort")
    if group not in (None, *GROUPS):
        raise Invalid(f"Unknown group; one of: {', '.join(GROUPS)}.", field="group")
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid(f"From 1 to {MAX_LIMIT}.", field="limit")
    asked = Asked(user, (begun if typing else parse)(query), narrow, typing=typing)
    if _is_of_titles(asked):
        answer = _by_title(asked, limit, _began(cursor), oldest=sort == "oldest")
    else:
        answer = _of_messages(asked, sort, limit, cursor, group, typing=typing)
    answer.facets = count(asked) if facets and not _is_of_titles(asked) else None
    if asked.is_cut:
        _say_cut(answer)
    is_all = cursor is None and answer.cursor is None
    if is_all and not typing and len(answer.hits) + len(answer.titles) < _FEW:
        answer.did_you_mean, answer.close = _meant(asked, query)
    return answer


def _of_messages(
    asked: Asked, sort: str, limit: int, cursor: str | None, group: str | None, *, typing: bool
) -> Answer:
    """Return a page of messages; on the first one also titles."""
    (ended, shown), oldest = _end(cursor, sort), sort == "oldest"
    once = PerSession(asked, ended, oldest=oldest) if group else None
    titles: list[Session] = []
    if (cursor is None or sort == "relevance") and _has_words(asked.tree):
        titles, _ended = _titles(asked, min(_TITLES, limit) if typing else _TITLES, None)
    if sort == "relevance":
        answer = _Best(asked, titles, ended, once).page(shown, limit)
    else:
        answer = _in_order(asked, limit, ended, once, oldest=oldest)
    answer.titles = titles if cursor is None else []
    return answer


def _say_cut(answer: Answer) -> None:
    """Say that there may be more: not every word that begins so was looked for."""
    answer.complete = answer.counted = False
    if answer.facets:
        answer.facets.complete = False


def _meant(asked: Asked, query: str) -> tuple[str | None, list[Hit]]:
    """Return another query and what it finds, where words of this one are met nowhere."""
    if asked.own is None or asked.reader is None or not asked.reader.is_current:
        return None, []
    for other, tree in suggestions(query, asked.tree, asked.own, asked.reader):
        again, close = asked.again(tree), list[Hit]()
        if not _is_of_titles(again):
            close = _in_order(again, _CLOSE, None, None, oldest=False).hits
        if close or _titles(again, 1, None)[0]:
            return other, close
    return None, []


def _is_of_titles(asked: Asked) -> bool:
    return TITLES in conjuncts(asked.tree)


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
    first, last = _below(places["first"]), _below(places["last"] + 1)
    block = asked.candidates(last, settings.SEARCH_BUDGET, until=first)
    found = [(one.seq, one.position.uuid) for one, _ in asked.opened(block)]
    return sorted(found), len(block) < settings.SEARCH_BUDGET


def _below(place: int) -> Position:
    """Return the position before all messages of a place."""
    return Position(place, UUID(int=0))


def _in_order(
    asked: Asked, limit: int, ended: Position | None, once: PerSession | None, *, oldest: bool
) -> Answer:
    """Return a page of messages by time, from where the one before it ended."""
    found: list[Found] = []
    size = _FIRST if asked.matcher.must_open or once else limit + 1
    opened = 0
    while opened < asked.budget:
        block = asked.candidates(ended, size, oldest=oldest)
        opened += len(block)
        held = asked.opened(block)
        for one in once.first(held) if once else held:
            if len(found) == limit:
                return _page(asked, found, _cursor(found[-1].candidate.position), once)
            found.append(one)
        if len(block) < size:
            return _page(asked, found, None, once)
        ended, size = block[-1].position, min(4 * size, _MOST)
    answer = _page(asked, found, _cursor(ended), once)
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


def _by_title(asked: Asked, limit: int, ended: int | None, *, oldest: bool) -> Answer:
    """Return a page of sessions by title, by when they began."""
    found, stopped = _titles(asked, limit + 1, ended, oldest=oldest)
    if stopped is not None:
        return Answer([], found, f"{stopped:x}", False)
    cursor = f"{found[limit - 1].pk:x}" if len(found) > limit else None
    return Answer([], found[:limit], cursor, True)


def _titles(
    asked: Asked, limit: int, ended: int | None, *, oldest: bool = False
) -> tuple[list[Session], int | None]:
    """Return sessions whose title holds the query, and the key at which the budget ended."""
    found: list[Session] = []
    looked = 0
    size = limit if asked.is_indexed else max(limit, _BLOCK)
    while looked < (asked.budget if asked.is_indexed else _LISTED):
        block = asked.titles(ended, size, oldest=oldest)
        looked += len(block)
        found += asked.titled(block)
        if len(found) >= limit or len(block) < size:
            return found[:limit], None
        ended = block[-1].pk
    return found, ended


class _Best:
    """The best of the newest messages before a place, and what else answers when they end."""

    def __init__(
        self,
        asked: Asked,
        titled: Sequence[Session],
        before: Position | None,
        once: PerSession | None,
    ) -> None:
        self._asked, self._once, self._before = asked, once, before
        block = asked.candidates(before, _RANKED)
        self._top = before or _below(block[0].place + 1 if block else 0)
        found, self._rest = self._opened(block)
        self._complete = len(block) < _RANKED and self._rest is None
        if not self._complete and self._rest is None:
            self._rest = block[-1].position
        self._known = {one.candidate.session for one in found}
        self._best = Ranking(asked, (row.pk for row in titled)).order(found)

    def page(self, shown: int, limit: int) -> Answer:
        """Return a page after so many that were ``shown``."""
        best, complete = self._single(), self._complete
        if complete and shown + limit >= len(best) and self._is_first():
            more, complete = self._spread()
            best += more
        scores = {one.found.candidate.pk: one.score for one in best[shown : shown + limit]}
        found = [one.found for one in best[shown : shown + limit]]
        answer = _page(self._asked, found, self._cursor(shown + limit, len(best)), self._once)
        answer.complete = complete
        for hit in answer.hits:
            hit.score = scores[hit.message.pk]
        return answer

    def _opened(self, block: Sequence[Candidate]) -> tuple[list[Found], Position | None]:
        """Return what was found, and the position at which there were enough characters."""
        found: list[Found] = []
        total = 0
        for one in self._asked.opened(block):
            found.append(one)
            total += len(one.text)
            if total >= _OPENED and one.candidate is not block[-1]:
                return found, one.candidate.position
        return found, None

    def _single(self) -> list[Scored]:
        if self._once is None:
            return self._best
        first = {one.candidate.pk for one in self._once.first([s.found for s in self._best])}
        return [one for one in self._best if one.found.candidate.pk in first]

    def _is_first(self) -> bool:
        """Tell whether nothing was found before these."""
        before = self._before
        return before is None or not self._asked.candidates(None, 1, until=before)

    def _spread(self) -> tuple[list[Scored], bool]:
        more = spread.find(self._asked, self._known, _TITLES)
        least = min((one.score for one in self._best), default=0.0)
        return [Scored(one, min(least, 0.0)) for one in more.found], more.complete

    def _cursor(self, shown: int, there: int) -> str | None:
        if shown < there:
            return f"{_cursor(self._top)}-{shown}"
        return None if self._rest is None else f"{_cursor(self._rest)}-0"


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


def _began(cursor: str | None) -> int | None:
    """Return the key of the session at which a page of titles ended. Raises Invalid."""
    key = _read(cursor, "titles")
    return int(key[0], 16) if key else None


def _end(cursor: str | None, sort: str) -> tuple[Position | None, int]:
    """Return where a page of messages ended, and how many were shown. Raises Invalid."""
    parts = _read(cursor, sort)
    if not parts:
        return None, 0
    return Position(int(parts[0], 16), UUID(parts[1])), int(parts[2]) if parts[2:] else 0


def _read(cursor: str | None, kind: str) -> tuple[str, ...]:
    """Return the parts of a cursor; none of none. Raises Invalid."""
    if cursor is None:
        return ()
    if (found := _CURSORS[kind].fullmatch(cursor)) is None:
        raise Invalid("Not a cursor that such a search gave.", field="cursor")
    return found.groups()
