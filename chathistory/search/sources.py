"""Where candidates come from: SQL in which index, gate and filters stand together.

Nothing here ever widens what the gate lets through: filters and grants stand in the same SQL
statement as the index, before any cap.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db.models import Q

from chathistory import bulk
from chathistory.models import Message, Session
from chathistory.querysets import SessionQuerySet

from .base import Match, Reader
from .narrowing import LAST

_COLUMNS = (
    "SELECT m.id, m.place, m.uuid, m.role, m.revision, m.body, m.account_id, m.session_id,"
    " s.uuid, m.block_id, m.changed, m.seq"
)
_Query = tuple[str, list[Any]]


class Position(NamedTuple):
    """Where a message stands among all: by its place, those of one place by their uuids."""

    place: int
    uuid: UUID


class Candidate(NamedTuple):
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
    changed: int
    seq: int

    @property
    def position(self) -> Position:
        """Where a page may end, or begin."""
        return Position(self.place, as_uuid(self.uuid))


class Gates(NamedTuple):
    """What may be found: sessions, sessions by their titles, and messages by their columns."""

    sessions: SessionQuerySet
    titles: SessionQuerySet
    said: Q


class Sources:
    """The index where it has a say; of other owners the sessions behind the gate."""

    def __init__(
        self,
        match: Match,
        reader: Reader | None,
        openly: Sequence[int],
        gates: Gates,
        span: tuple[int, int],
    ) -> None:
        """``openly`` are the owners of whom whatever the gates let through is a candidate."""
        self._match, self._reader, self._openly = match, reader, openly
        self._gates, self._span = gates, span

    def candidates(
        self,
        ended: Position | None,
        limit: int,
        *,
        until: Position | None,
        sessions: Collection[int] | None,
        oldest: bool,
    ) -> list[Candidate]:
        """Return what comes after ``ended`` in order, up to and with ``until``."""
        found: list[Candidate] = []
        try:
            more = self._more(ended, until, sessions, oldest=oldest)
        except EmptyResultSet:  # no row can be what is asked for
            return []
        if self._match.wanted:
            pieces = self._from_index(ended, until, oldest=oldest)
            found += _first(pieces, more, _order("hit.place", oldest=oldest), limit)
        if self._openly:
            # A sum, or everybody's places would be walked.
            order = _order("m.place + 0", oldest=oldest)
            found += _first(self._from_gate(sessions), more, order, limit)
        if self._match.wanted and self._openly:  # nobody's messages come by both
            found.sort(key=lambda one: one.position, reverse=not oldest)
        return found[:limit]

    def _from_index(
        self, ended: Position | None, until: Position | None, *, oldest: bool
    ) -> Iterator[_Query]:
        assert self._reader is not None  # noqa: S101  (whoever asks the index has one)
        first, last = self._span
        low, high = (ended, until) if oldest else (until, ended)
        first = first if low is None else max(first, low.place)
        last = last if high is None else min(last, high.place)
        gate, more = _correlated(self._gates.sessions, "m.session_id")
        for piece in self._reader.pieces(self._match, first, last, oldest=oldest):
            sql = (
                f"{_COLUMNS} FROM {piece.source}"
                f" JOIN {Message._meta.db_table} m ON m.place = hit.place"
                f" JOIN {Session._meta.db_table} s ON s.id = m.session_id"
                f" WHERE {piece.where} AND m.deleted_at IS NULL"
                f" AND hit.place BETWEEN %s AND %s AND EXISTS ({gate})"
            )
            yield sql, [*piece.parameters, first, last, *more]

    def _from_gate(self, sessions: Collection[int] | None) -> Iterator[_Query]:
        """Begin at the sessions: nobody else's messages are walked for a query without words."""
        rows = self._open(self._gates.sessions)
        rows = rows if sessions is None else rows.filter(pk__in=sessions)
        gate, more = _compiled(rows.order_by().values("pk"))
        sql = (
            f"{_COLUMNS} FROM {Message._meta.db_table} m"
            f" JOIN {Session._meta.db_table} s ON s.id = m.session_id"
            f" WHERE m.session_id IN ({gate}) AND m.deleted_at IS NULL"
        )
        yield sql, more

    def _open(self, rows: SessionQuerySet) -> SessionQuerySet:
        """Leave the owners of whom nothing is sure."""
        return rows.filter(account__in=self._openly) if self._match.wanted else rows

    def _more(
        self,
        ended: Position | None,
        until: Position | None,
        sessions: Collection[int] | None,
        *,
        oldest: bool,
    ) -> _Query:
        sql = ""
        parameters: list[Any] = []
        if self._gates.said:
            table = Message._meta.db_table
            rows = Message.objects.filter(self._gates.said).order_by()
            same = rows.extra(where=[f"{table}.id = m.id"]).values("pk")  # noqa: S610  (constants)
            inner, parameters = _compiled(same)
            sql += f" AND EXISTS ({inner})"
        sides = (">", "<=") if oldest else ("<", ">=")
        for position, side in zip((ended, until), sides, strict=True):
            if position is not None:
                # A sum, or the database would walk everybody's places.
                sql += f" AND (m.place + 0, m.uuid) {side} (%s, %s)"
                parameters = [*parameters, position.place, _stored(position.uuid)]
        if sessions is not None:
            sql += f" AND m.session_id IN ({', '.join(['%s'] * len(sessions))})"
            parameters = [*parameters, *sessions]
        return sql, parameters

    def titles(self, ended: int | None, limit: int, *, oldest: bool) -> list[int]:
        """Return the keys of sessions after ``ended`` in order that may be found as titles."""
        first = ended + 1 if oldest and ended is not None else 0
        last = LAST if oldest or ended is None else ended - 1
        found: list[int] = []
        if self._match.wanted:
            found += self._titled(first, last, limit, oldest=oldest)
        if self._openly:
            found += self._listed(first, last, limit, oldest=oldest)
        return sorted(found, reverse=not oldest)[:limit]

    def _titled(self, first: int, last: int, limit: int, *, oldest: bool) -> list[int]:
        assert self._reader is not None  # noqa: S101  (whoever asks the index has one)
        try:
            gate, more = _correlated(self._gates.titles, "hit.place")
        except EmptyResultSet:  # no session can be what is asked for
            return []
        found: list[int] = []
        for piece in self._reader.pieces(self._match, first, last, titles=True, oldest=oldest):
            sql = (
                f"SELECT hit.place FROM {piece.source} WHERE {piece.where} AND EXISTS ({gate})"  # noqa: S608
                f" AND hit.place BETWEEN %s AND %s"
                f" ORDER BY hit.place {'ASC' if oldest else 'DESC'} LIMIT %s"
            )
            rows = _rows(sql, [*piece.parameters, *more, first, last, limit - len(found)])
            found += [row[0] for row in rows]
            if len(found) == limit:
                break
        return found

    def _listed(self, first: int, last: int, limit: int, *, oldest: bool) -> list[int]:
        rows = self._open(self._gates.titles).filter(pk__gte=first, pk__lte=last)
        rows = rows.order_by("pk" if oldest else "-pk")
        return list(rows.values_list("pk", flat=True)[:limit])


def _first(queries: Iterator[_Query], more: _Query, order: str, limit: int) -> Iterator[Candidate]:
    """Yield the first of what queries find that are in order, one after the other."""
    left = limit
    try:
        for sql, parameters in queries:
            rows = _rows(f"{sql}{more[0]}{order} LIMIT %s", [*parameters, *more[1], left])
            yield from (Candidate(*row) for row in rows)
            left -= len(rows)
            if not left:
                return
    except EmptyResultSet:  # no row can be what is asked for
        return


def _order(place: str, *, oldest: bool) -> str:
    # On SQLite places are distinct and FTS5 walks by them; anything else in the order would sort
    # every posting.
    way = "ASC" if oldest else "DESC"
    tie = "" if bulk.connection(Message).vendor == "sqlite" else f", m.uuid {way}"
    return f" ORDER BY {place} {way}{tie}"


def _correlated(rows: SessionQuerySet, outer: str) -> _Query:
    same = f"{Session._meta.db_table}.id = {outer}"
    return _compiled(rows.order_by().extra(where=[same]).values("pk"))  # noqa: S610  (constants)


def _compiled(rows: Any) -> _Query:
    sql, parameters = rows.query.sql_with_params()
    return sql, list(parameters)


def _rows(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with bulk.connection(Message).cursor() as cursor:
        cursor.execute(sql, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def as_uuid(value: UUID | str) -> UUID:
    """Return a uuid as the database's driver gives it: SQLite has no such type."""
    return value if isinstance(value, UUID) else UUID(value)


def _stored(value: UUID) -> UUID | str:
    """Return a uuid as the database's driver takes it."""
    native = bulk.connection(Message).features.has_native_uuid_field
    return value if native else value.hex
