"""Search: keyed tokens narrow, the gate narrows, then candidates are opened and held to the query.

Nothing here ever widens what the gate lets through: filters and grants stand in the same SQL
statement as the index, before any cap.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q

from chathistory import blocks, bulk, crypto, keyring, records
from chathistory.conf import settings
from chathistory.exceptions import Damaged, Invalid
from chathistory.models import Account, Block, Message, Session
from chathistory.querysets import SessionQuerySet
from chathistory.states import State

from .base import Match, index
from .matcher import Matcher, snippet
from .query import Term, parse
from .tokens import Keyed, pairs, query_forms

Narrow = Callable[[SessionQuerySet], SessionQuerySet]
#: Blocks by their key: uuid and record.
_Held = dict[int, tuple[UUID, bytes]]
SORTS = ("newest", "relevance")
MAX_LIMIT = 100
_BLOCK = 200
_CURSOR = re.compile("[0-7]?[0-9a-f]{1,15}")  # a place: below 2**63
_FIRST, _MOST = 100, 1_600  # candidates of the first and of the largest block
_ADJACENT, _K1, _B, _TYPICAL = 2.0, 1.2, 0.75, 800.0


@dataclass(slots=True)
class Hit:
    """A message found. ``highlights`` are ``(start, end)`` in the snippet's characters."""

    session: Session
    message: Message
    snippet: str
    highlights: list[tuple[int, int]]
    score: float = 0.0


@dataclass(slots=True)
class Answer:
    """One page: messages, on the first page sessions by title, and how to go on."""

    hits: list[Hit]
    titles: list[Session]
    cursor: str | None
    complete: bool


class _Candidate(NamedTuple):
    """As much of a message as opening it needs: a queryset would cost five times the opening."""

    pk: int
    place: int
    uuid: Any
    role: str
    revision: int
    body: Any
    account: int
    session: int
    session_uuid: Any
    block: int | None


class _Found(NamedTuple):
    candidate: _Candidate
    text: str


def search(
    user: Any,
    query: str,
    *,
    sort: str = "newest",
    limit: int = 20,
    cursor: str | None = None,
    narrow: Narrow | None = None,
) -> Answer:
    """Search what ``user`` may read and has not thrown away.

    ``narrow`` filters the sessions further. Raises InvalidQuery, or Invalid for a bad sort,
    limit or cursor.
    """
    if sort not in SORTS:
        raise Invalid(f"Unknown sort; one of: {', '.join(SORTS)}.", field="sort")
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid(f"From 1 to {MAX_LIMIT}.", field="limit")
    terms, before = parse(query), _place(cursor)
    asked = _Asked(user, terms, narrow)
    answer = _ranked(asked, limit) if sort == "relevance" else _newest(asked, limit, before)
    answer.titles = asked.titles() if cursor is None else []
    return answer


class _Asked:
    """One query by one person."""

    def __init__(self, user: Any, terms: Sequence[Term], narrow: Narrow | None) -> None:
        self.matcher = Matcher(terms)
        gate = Session.objects.visible_to(user, "read").exclude(state=State.DELETED)
        self._gate = narrow(gate) if narrow else gate
        self._terms = terms
        self._sessions: dict[int, UUID] = {}
        self._keys: dict[tuple[int, int], crypto.Key] = {}
        self.owners = {row.pk: row for row in _owners(user)}
        keyed = [keyring.account_keys(row).search for row in self.owners.values()]
        wanted = [_wanted(k, terms) for k in keyed]
        self.match = Match(wanted, _unwanted(keyed, terms), list(self.owners))

    def candidates(self, before: int | None, limit: int) -> list[_Candidate]:
        """Return the newest messages before a place that the index and the gate let through."""
        if not self.match.wanted:
            return []
        source, where, parameters = index().join(self.match)
        gate, more = self._correlated("m.session_id")
        sql = (
            "SELECT m.id, m.place, m.uuid, m.role, m.revision, m.body, m.account_id, m.session_id,"  # noqa: S608
            " s.uuid, m.block_id"
            f" FROM {source} JOIN {Message._meta.db_table} m ON m.place = hit.place"
            f" JOIN {Session._meta.db_table} s ON s.id = m.session_id"
            f" WHERE {where} AND m.deleted_at IS NULL AND hit.place < %s AND EXISTS ({gate})"
            # By place alone: FTS5 walks in that order; any second column would sort every posting.
            " ORDER BY hit.place DESC LIMIT %s"
        )
        limits = [*parameters, 2**63 - 1 if before is None else before, *more, limit]
        return [_Candidate(*row) for row in _rows(sql, limits)]

    def titles(self) -> list[Session]:
        """Return the newest twenty sessions whose title holds every term."""
        if not self.match.wanted:
            return []
        source, where, parameters = index().join(self.match, titles=True)
        gate, more = self._correlated("hit.place")
        sql = (
            f"SELECT hit.place FROM {source} WHERE {where} AND EXISTS ({gate})"  # noqa: S608
            " ORDER BY hit.place DESC LIMIT 20"
        )
        found = Session.objects.filter(pk__in=[row[0] for row in _rows(sql, [*parameters, *more])])
        rows = sorted(found.select_related("account__user"), key=lambda row: -row.pk)
        return [row for row in rows if self._title_holds(row)]

    def opened(self, candidates: Sequence[_Candidate]) -> Iterator[_Found]:
        """Yield the candidates that hold what the query asks; what does not open is left out."""
        self._meet(candidates)
        held = _blocks(candidates)
        for candidate in candidates:
            try:
                text = self._open(candidate, held)
            except Damaged:
                continue
            if self.matcher.holds(text):
                yield _Found(candidate, text)

    def _meet(self, candidates: Sequence[_Candidate]) -> None:
        """Load the keys of the sessions that come up for the first time."""
        new = {c.session: c for c in candidates if c.session not in self._sessions}
        self._sessions |= {pk: _uuid(c.session_uuid) for pk, c in new.items()}
        for pk, account in self.owners.items():
            own = [(s, self._sessions[s]) for s, c in new.items() if c.account == pk]
            keyring.load_sessions(account, own)

    def _open(self, candidate: _Candidate, held: _Held) -> str:
        if candidate.block is not None:
            return records.content_of(self._packed(candidate, candidate.block, held))
        body, session = bytes(candidate.body), self._sessions[candidate.session]
        name = candidate.session, crypto.key_version(body)
        key = self._keys.get(name)
        if key is None:
            account = self.owners[candidate.account]
            key = self._keys[name] = keyring.key_of(account, name[0], session, name[1])
        row = _uuid(candidate.uuid)
        context = records.body_context(row, session, candidate.role, candidate.revision)
        return records.content_of(crypto.unseal(key, body, context))

    def _packed(self, candidate: _Candidate, block: int, held: _Held) -> bytes:
        account = self.owners[candidate.account]
        session = candidate.session, self._sessions[candidate.session]
        try:
            opened = blocks.obtain(account, session, block, lambda: _record(held, block))
            return opened.body(_uuid(candidate.uuid), candidate.revision, candidate.role)
        except Damaged:
            return self._again(candidate)

    def _again(self, candidate: _Candidate) -> bytes:
        """Return the packed body by its row: it may have left its block since it was found."""
        rows = Message.objects.select_related("session").filter(pk=candidate.pk)
        message = rows.first()
        if message is None:
            raise Damaged("The message was removed meanwhile.")
        message.session.account = self.owners[candidate.account]
        return records.open_packed(message, message.session)

    def hits(self, found: Sequence[_Found]) -> list[Hit]:
        """Return what was found as hits, with the messages' and sessions' rows."""
        keys = [candidate.pk for candidate, _ in found]
        rows = Message.objects.select_related("session").in_bulk(keys)
        for row in rows.values():
            row.session.account = self.owners[row.account_id]
        return [_hit(self, rows[c.pk], text) for c, text in found if c.pk in rows]

    def _title_holds(self, session: Session) -> bool:
        title = records.or_damaged(records.title_of, session)
        return title is not None and self.matcher.holds(title)

    def _correlated(self, outer: str) -> tuple[str, list[Any]]:
        table = Session._meta.db_table
        same = f"{table}.id = {outer}"
        gate = self._gate.order_by().extra(where=[same]).values("pk")  # noqa: S610  (constants)
        sql, parameters = gate.query.sql_with_params()
        return sql, list(parameters)


def _newest(asked: _Asked, limit: int, before: int | None) -> Answer:
    found: list[_Found] = []
    size = _FIRST if asked.matcher.must_open else limit + 1
    opened = 0
    while opened < settings.SEARCH_BUDGET:
        block = asked.candidates(before, size)
        opened += len(block)
        for one in asked.opened(block):
            if len(found) == limit:
                return Answer(asked.hits(found), [], _cursor(found[-1].candidate.place), True)
            found.append(one)
        if len(block) < size:
            return Answer(asked.hits(found), [], None, True)
        before, size = block[-1].place, min(4 * size, _MOST)
    return Answer(asked.hits(found), [], _cursor(before), False)


def _ranked(asked: _Asked, limit: int) -> Answer:
    block = asked.candidates(None, _BLOCK)
    weights = _weights(asked)
    scores = {
        one: _score(asked, one.text, weights) - age / (10 * _BLOCK)
        for age, one in enumerate(asked.opened(block))
    }
    hits = asked.hits(best := sorted(scores, key=lambda one: -scores[one])[:limit])
    for hit, one in zip(hits, best, strict=True):
        hit.score = scores[one]
    return Answer(hits, [], None, len(block) < _BLOCK)


def _score(asked: _Asked, text: str, weights: dict[str, float]) -> float:
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


def _weights(asked: _Asked) -> dict[str, float]:
    keyed = [keyring.account_keys(row).search for row in asked.owners.values()]
    cap = 5_000
    found = {}
    for form in asked.matcher.words:
        count = sum(index().count(k.token(form), cap) for k in keyed)
        found[form] = math.log(1 + (cap + 0.5) / (min(count, cap) + 0.5))
    return found


def _hit(asked: _Asked, message: Message, text: str) -> Hit:
    return Hit(message.session, message, *snippet(text, asked.matcher.spans(text)))


def _owners(user: Any) -> list[Account]:
    if user is not None and not user.is_authenticated:
        return []
    shared = Session.objects.shared_with(user, "read").values("account")
    mine = Q(user=user) if user is not None else Q()
    return list(Account.objects.filter(mine | Q(pk__in=shared)).select_related("user"))


def _wanted(keyed: Keyed, terms: Sequence[Term]) -> list[str]:
    asked = [t.words for t in terms if not t.negated]
    forms = (form for words in asked for word in words for form in query_forms(word))
    return keyed.tokens(chain(forms, *map(pairs, asked)))


def _unwanted(keyed: Sequence[Keyed], terms: Sequence[Term]) -> list[str]:
    alone = [t.words[0] for t in terms if t.negated and not t.phrase]
    forms = [next(iter(f)) for f in map(query_forms, alone) if len(f) == 1]
    return sorted({token for one in keyed for token in one.tokens(forms)})


def _rows(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with bulk.connection(Message).cursor() as cursor:
        cursor.execute(sql, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def _uuid(value: UUID | str) -> UUID:
    """Return a uuid as the database's driver gives it: SQLite has no such type."""
    return value if isinstance(value, UUID) else UUID(value)


def _blocks(candidates: Sequence[_Candidate]) -> _Held:
    """Return the blocks that candidates are in, in one query."""
    wanted = {one.block for one in candidates if one.block is not None}
    if not wanted:
        return {}
    rows = Block.objects.filter(pk__in=wanted).values_list("pk", "uuid", "body")
    return {pk: (uuid, bytes(body)) for pk, uuid, body in rows}


def _record(held: _Held, block: int) -> tuple[UUID, bytes]:
    if block not in held:
        raise Damaged("The message's block is gone.")
    return held[block]


def _cursor(place: int | None) -> str | None:
    return None if place is None else f"{place:x}"


def _place(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not _CURSOR.fullmatch(cursor):
        raise Invalid("Not a cursor that a search gave.", field="cursor")
    return int(cursor, 16)
