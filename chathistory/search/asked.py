"""One query by one person: candidates in SQL behind the gate, opened and held to the query.

Nothing here ever widens what the gate lets through: filters and grants stand in the same SQL
statement as the index, before any cap.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce
from operator import and_
from typing import Any, NamedTuple
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db.models import Q

from chathistory import blocks, bulk, crypto, keyring, records, text
from chathistory.conf import settings
from chathistory.exceptions import Damaged
from chathistory.models import Account, Block, Message, Session
from chathistory.querysets import SessionQuerySet
from chathistory.states import State

from . import learned
from .base import Match, index
from .matcher import Matcher
from .narrowing import Asker, condition, of_sessions
from .tokens import fold
from .tree import TITLES, Filter, Node, Term, conjuncts, leaves
from .vocabulary import Words
from .wanted import Wanting, excluded

Narrow = Callable[[SessionQuerySet], SessionQuerySet]
#: Blocks by their key: uuid and record.
_Held = dict[int, tuple[UUID, bytes]]
_COLUMNS = (
    "SELECT m.id, m.place, m.uuid, m.role, m.revision, m.body, m.account_id, m.session_id,"
    " s.uuid, m.block_id"
)
_LAST = 2**63 - 1
_TYPING = 2_000  # candidates opened for an answer to what is still being typed


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


class Found(NamedTuple):
    """A candidate that holds what was asked, and its text."""

    candidate: Candidate
    text: str


class Asked:
    """One query by one person.

    Owners of whose texts the index can tell something are asked for there; of the others whatever
    the gate and columns let through is a candidate.
    """

    def __init__(
        self, user: Any, tree: Node, narrow: Narrow | None, *, typing: bool = False
    ) -> None:
        """``typing``: where many words begin as asked, the commonest of the asker's own will do."""
        gate = Session.objects.visible_to(user, "read").exclude(state=State.DELETED)
        gate = narrow(gate) if narrow else gate
        self.user, self.tree = user, tree
        #: Candidates that are opened for one answer.
        self.budget = min(settings.SEARCH_BUDGET, _TYPING) if typing else settings.SEARCH_BUDGET
        self.owners = {row.pk: row for row in _owners(user)}
        own = [row for row in self.owners.values() if user is None or row.user_id == user.pk]
        self.asker = Asker(own)
        #: The asker's account, if there is one.
        self.own = own[0] if own and user is not None else None
        #: Whether words that begin as asked were left out.
        self.is_cut = False
        self._ask_index(cut=typing)
        #: Whether the index has a say about whatever may be found.
        self.is_indexed = bool(self.match.wanted) and not self._openly
        self.matcher = Matcher(tree, indexed=self.is_indexed)
        self._only_titles = TITLES in conjuncts(tree)
        # Of a title alone the index cannot tell: it holds the texts of metadata too.
        self._titles = Matcher(tree, indexed=False) if self._only_titles else self.matcher
        self._sessions: dict[int, UUID] = {}
        self._keys: dict[tuple[int, int], crypto.Key] = {}
        self._metadata: dict[int, dict[str, Any]] = {}
        self._narrow(gate)

    def _ask_index(self, *, cut: bool) -> None:
        """Find out what texts must have, and of which owners nothing is sure."""
        keyed = {pk: keyring.account_keys(row).search for pk, row in self.owners.items()}
        words = _words(self.own) if self.own and _is_begun(self.tree) else None
        self._openly: list[int] = []
        indexed: dict[int, Any] = {}
        for pk, row in self.owners.items():
            wanting = Wanting(keyed[pk], words if row == self.own else None, cut=cut)
            wanted = wanting.of(self.tree)
            self.is_cut |= wanting.is_cut
            if wanted:
                indexed[pk] = wanted
            elif wanted is not None:
                self._openly.append(pk)
        out = excluded(list(keyed.values()), self.tree)
        self.match = Match(list(indexed.values()), out, list(indexed))

    def _narrow(self, gate: SessionQuerySet) -> None:
        """Join what columns can tell of the tree to the gate."""
        of_session = [one for one in conjuncts(self.tree) if of_sessions(one)]
        others = [one for one in conjuncts(self.tree) if not of_sessions(one)]
        self._gate = gate.filter(_known(of_session, self.asker.on_session))
        self._titles_gate = self._gate.filter(_known(others, self.asker.on_session))
        self._said = _known(others, self.asker.on_message)

    def candidates(
        self,
        before: int | None,
        limit: int,
        *,
        since: int = 0,
        sessions: Iterable[int] | None = None,
    ) -> list[Candidate]:
        """Return the newest messages before a place that index, gate and columns let through.

        ``since`` is the first place looked at; ``sessions`` leaves out all others.
        """
        until = _LAST if before is None else before
        ways = [self._from_index] if self.match.wanted else []
        ways += [self._from_gate] if self._openly else []
        found: list[Candidate] = []
        for way in ways:
            try:
                sql, parameters, order = way(until)
                more, values = self._more(since, sessions)
            except EmptyResultSet:  # no row can be what is asked for
                continue
            rows = _rows(sql + more + order + " LIMIT %s", [*parameters, *values, limit])
            found += [Candidate(*row) for row in rows]
        # Each way is in order, and nobody's messages come by both.
        return sorted(found, key=lambda one: -one.place)[:limit] if len(ways) > 1 else found

    def _from_index(self, until: int) -> tuple[str, list[Any], str]:
        source, where, parameters = index().join(self.match)
        gate, more = self._correlated(self._gate, "m.session_id")
        sql = (
            f"{_COLUMNS} FROM {source} JOIN {Message._meta.db_table} m ON m.place = hit.place"
            f" JOIN {Session._meta.db_table} s ON s.id = m.session_id"
            f" WHERE {where} AND m.deleted_at IS NULL AND hit.place < %s AND EXISTS ({gate})"
        )
        # By place alone: FTS5 walks in that order; any second column would sort every posting.
        return sql, [*parameters, until, *more], " ORDER BY hit.place DESC"

    def _from_gate(self, until: int) -> tuple[str, list[Any], str]:
        """Begin at the sessions: nobody else's messages are walked for a query without words."""
        gate, more = _compiled(self._open_to(self._gate).order_by().values("pk"))
        sql = (
            f"{_COLUMNS} FROM {Message._meta.db_table} m"
            f" JOIN {Session._meta.db_table} s ON s.id = m.session_id"
            f" WHERE m.session_id IN ({gate}) AND m.deleted_at IS NULL AND m.place < %s"
        )
        # A sum, or the database would walk everybody's places.
        return sql, [*more, until], " ORDER BY m.place + 0 DESC"

    def _open_to(self, rows: SessionQuerySet) -> SessionQuerySet:
        """Leave the owners of whom nothing is sure."""
        return rows.filter(account__in=self._openly) if self.match.wanted else rows

    def _more(self, since: int, sessions: Iterable[int] | None) -> tuple[str, list[Any]]:
        sql = ""
        parameters: list[Any] = []
        if self._said:
            table = Message._meta.db_table
            rows = Message.objects.filter(self._said).order_by()
            same = rows.extra(where=[f"{table}.id = m.id"]).values("pk")  # noqa: S610  (constants)
            inner, parameters = _compiled(same)
            sql += f" AND EXISTS ({inner})"
        if since:
            sql, parameters = sql + " AND m.place >= %s", [*parameters, since]
        if sessions is not None:
            keys = list(sessions)
            sql += f" AND m.session_id IN ({', '.join(['%s'] * len(keys))})"
            parameters = [*parameters, *keys]
        return sql, parameters

    def titles(self, before: int | None, limit: int) -> list[Session]:
        """Return the newest sessions before a key that index and gate let through as titles."""
        keys = self._titled(before, limit) if self.match.wanted else []
        keys += self._listed(before, limit) if self._openly else []
        keys = sorted(keys, reverse=True)[:limit]
        found = Session.objects.filter(pk__in=keys).select_related("account__user")
        return sorted(found, key=lambda row: -row.pk)

    def _titled(self, before: int | None, limit: int) -> list[int]:
        source, where, parameters = index().join(self.match, titles=True)
        try:
            gate, more = self._correlated(self._titles_gate, "hit.place")
        except EmptyResultSet:  # no session can be what is asked for
            return []
        following = "" if before is None else " AND hit.place < %s"
        sql = (
            f"SELECT hit.place FROM {source} WHERE {where} AND EXISTS ({gate}){following}"  # noqa: S608
            " ORDER BY hit.place DESC LIMIT %s"
        )
        until = [] if before is None else [before]
        return [row[0] for row in _rows(sql, [*parameters, *more, *until, limit])]

    def _listed(self, before: int | None, limit: int) -> list[int]:
        rows = self._open_to(self._titles_gate)
        rows = rows.filter(pk__lt=_LAST if before is None else before).order_by("-pk")
        return list(rows.values_list("pk", flat=True)[:limit])

    def titled(self, sessions: Sequence[Session]) -> list[Session]:
        """Return the sessions whose title holds what the query asks."""
        if not self.is_indexed:
            self._load_keys(sessions)
        marked = self._marked(Session, [row.pk for row in sessions], self.asker.on_session)
        return [row for row in sessions if self._title_holds(row, marked)]

    def _load_keys(self, sessions: Sequence[Session]) -> None:
        for pk, account in self.owners.items():
            own = [(row.pk, row.uuid) for row in sessions if row.account_id == pk]
            keyring.load_sessions(account, own)

    def _title_holds(self, session: Session, marked: dict[Filter, set[int]]) -> bool:
        title = records.or_damaged(records.title_of, session)
        if title is None:
            return False
        texts = [title]
        if self._titles.must_open and not self._only_titles:
            texts += text.strings(records.or_damaged(records.metadata_of, session))

        def fact(one: Filter) -> bool:
            if one.name == "meta":
                return _says(records.or_damaged(records.metadata_of, session) or {}, one)
            return session.pk in marked[one]

        return self._titles.holds(*texts, facts=fact)

    def opened(self, candidates: Sequence[Candidate]) -> Iterator[Found]:
        """Yield the candidates that hold what the query asks; what does not open is left out."""
        self._meet(candidates)
        held = _blocks(candidates)
        fact = self._facts(candidates)
        for candidate in candidates:
            try:
                said = self._open(candidate, held)
            except Damaged:
                continue
            if self.matcher.holds(said, facts=partial(fact, candidate)):
                yield Found(candidate, said)

    def _facts(self, candidates: Sequence[Candidate]) -> Callable[[Candidate, Filter], bool]:
        """Return what tells of a candidate whether it is what a filter asks for."""
        marked = self._marked(Message, [one.pk for one in candidates], self.asker.on_message)
        if any(one.name == "meta" for one in self.matcher.facts):
            self._load_metadata({one.session for one in candidates})

        def fact(candidate: Candidate, one: Filter) -> bool:
            if one.name == "meta":
                return _says(self._metadata[candidate.session], one)
            return candidate.pk in marked[one]

        return fact

    def _marked(
        self,
        model: type[Message] | type[Session],
        keys: list[int],
        read: Callable[[Filter], Q | None],
    ) -> dict[Filter, set[int]]:
        """Return the rows that each filter lets through of those that columns tell."""
        asked = {one: read(one) for one in self.matcher.facts if one.name != "meta"}
        rows = model._default_manager.filter(pk__in=keys)
        return {
            one: set(rows.filter(which).values_list("pk", flat=True))
            for one, which in asked.items()
            if which is not None
        }

    def _load_metadata(self, sessions: set[int]) -> None:
        new = sessions - self._metadata.keys()
        for row in Session.objects.filter(pk__in=new):
            row.account = self.owners[row.account_id]
            self._metadata[row.pk] = records.or_damaged(records.metadata_of, row) or {}
        self._metadata |= {pk: {} for pk in new - self._metadata.keys()}

    def _meet(self, candidates: Sequence[Candidate]) -> None:
        """Load the keys of the sessions that come up for the first time."""
        new = {c.session: c for c in candidates if c.session not in self._sessions}
        self._sessions |= {pk: _uuid(c.session_uuid) for pk, c in new.items()}
        for pk, account in self.owners.items():
            own = [(s, self._sessions[s]) for s, c in new.items() if c.account == pk]
            keyring.load_sessions(account, own)

    def _open(self, candidate: Candidate, held: _Held) -> str:
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

    def _packed(self, candidate: Candidate, block: int, held: _Held) -> bytes:
        account = self.owners[candidate.account]
        session = candidate.session, self._sessions[candidate.session]
        try:
            opened = blocks.obtain(account, session, block, lambda: _record(held, block))
            return opened.body(_uuid(candidate.uuid), candidate.revision, candidate.role)
        except Damaged:
            return self._again(candidate)

    def _again(self, candidate: Candidate) -> bytes:
        """Return the packed body by its row: it may have left its block since it was found."""
        rows = Message.objects.select_related("session").filter(pk=candidate.pk)
        message = rows.first()
        if message is None:
            raise Damaged("The message was removed meanwhile.")
        message.session.account = self.owners[candidate.account]
        return records.open_packed(message, message.session)

    def _correlated(self, rows: SessionQuerySet, outer: str) -> tuple[str, list[Any]]:
        same = f"{Session._meta.db_table}.id = {outer}"
        return _compiled(rows.order_by().extra(where=[same]).values("pk"))  # noqa: S610  (constants)


def _compiled(rows: Any) -> tuple[str, list[Any]]:
    sql, parameters = rows.query.sql_with_params()
    return sql, list(parameters)


def _known(parts: Iterable[Node], read: Callable[[Filter], Q | None]) -> Q:
    found = (condition(one, read) for one in parts)
    return reduce(and_, (one for one in found if one is not None), Q())


def _says(metadata: dict[str, Any], one: Filter) -> bool:
    """Tell whether metadata has the value under the key, or in a list there, in any case."""
    for key, value in metadata.items():
        if fold(key) == fold(one.key):
            values = value if isinstance(value, list) else [value]
            return fold(one.value) in map(_plain, values)
    return False


def _plain(value: Any) -> str:
    said = value if isinstance(value, str) else json.dumps(value)
    return fold(" ".join(said.split()))


def _owners(user: Any) -> list[Account]:
    if user is not None and not user.is_authenticated:
        return []
    shared = Session.objects.shared_with(user, "read").values("account")
    mine = Q(user=user) if user is not None else Q()
    return list(Account.objects.filter(mine | Q(pk__in=shared)).select_related("user"))


def _is_begun(tree: Node) -> bool:
    """Tell whether the beginning of a word is looked for."""
    return any(isinstance(one, Term) and one.prefix and not out for one, out in leaves(tree))


def _words(account: Account) -> Words | None:
    """Return all the words of an account; None where some may be missing."""
    known = learned.of(account)
    return known.words if known and known.is_complete(account) else None


def _rows(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with bulk.connection(Message).cursor() as cursor:
        cursor.execute(sql, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def _uuid(value: UUID | str) -> UUID:
    """Return a uuid as the database's driver gives it: SQLite has no such type."""
    return value if isinstance(value, UUID) else UUID(value)


def _blocks(candidates: Sequence[Candidate]) -> _Held:
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
