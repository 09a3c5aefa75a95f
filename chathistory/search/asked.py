"""One query by one person: candidates in SQL behind the gate, opened and held to the query.

Nothing here ever widens what the gate lets through: filters and grants stand in the same SQL
statement as the index, before any cap.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from copy import copy
from functools import cached_property, partial, reduce
from operator import and_
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q

from chathistory import blocks, crypto, keyring, records, text
from chathistory.conf import settings
from chathistory.exceptions import Damaged
from chathistory.models import Account, Block, Message, Session, Share
from chathistory.querysets import SessionQuerySet
from chathistory.states import State

from . import learned
from .base import Match, Reader, Wanted, index
from .matcher import Matcher
from .narrowing import Asker, condition, of_sessions, span
from .sources import Candidate, Gates, Position, Sources, as_uuid
from .tokens import fold
from .tree import TITLES, Filter, Node, Term, conjuncts, leaves
from .vocabulary import Words
from .wanted import Wanting, excluded

Narrow = Callable[[SessionQuerySet], SessionQuerySet]
#: Blocks by their key: uuid and record.
_Held = dict[int, tuple[UUID, bytes]]
_TYPING = 2_000  # candidates opened for an answer to what is still being typed


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
        self,
        user: Any,
        tree: Node,
        narrow: Narrow | None,
        *,
        indexed: bool = True,
        typing: bool = False,
    ) -> None:
        """``indexed``: the index is asked where it has a say; else messages are opened.

        ``typing``: where many words begin as asked, the commonest of the asker's own will do.
        """
        gate = Session.objects.visible_to(user, "read").exclude(state=State.DELETED)
        gate = narrow(gate) if narrow else gate
        self.user = user
        #: Candidates that are opened for one answer.
        self.budget = min(settings.SEARCH_BUDGET, _TYPING) if typing else settings.SEARCH_BUDGET
        self.owners = {row.pk: row for row in _owners(user)}
        own = [row for row in self.owners.values() if row.user_id == user.pk]
        self.asker = Asker(own)
        #: The asker's account, if there is one.
        self.own = own[0] if own and user is not None else None
        # The gate says it already, but so that the database would walk everybody's sessions.
        self._gate = gate.filter(account__in=list(self.owners))
        self._sessions: dict[int, UUID] = {}
        self._keys: dict[tuple[int, int], crypto.Key] = {}
        self._metadata: dict[int, dict[str, Any]] = {}
        self._ask(tree, cut=typing, indexed=indexed)

    def _ask(self, tree: Node, *, cut: bool, indexed: bool) -> None:
        self.tree = tree
        #: Whether words that begin as asked were left out.
        self.is_cut = False
        match, openly = self._divided(cut=cut, indexed=indexed)
        #: Whether the index has a say about whatever may be found.
        self.is_indexed = bool(match.wanted) and not openly
        self.matcher = Matcher(tree, indexed=self.is_indexed and self._is_current)
        self._only_titles = TITLES in conjuncts(tree)
        # Of a title alone the index cannot tell: it holds the texts of metadata too.
        self._titles = self._unsure if self._only_titles else self.matcher
        reader = self.reader if match.wanted else None
        self._sources = Sources(match, reader, openly, self._gates(self._gate), span(tree))

    def again(self, tree: Node, *, indexed: bool = True) -> Asked:
        """Return another question of the same person, about the same sessions."""
        other = copy(self)
        other.__dict__.pop("_unsure", None)
        other._ask(tree, cut=False, indexed=indexed)
        return other

    @cached_property
    def reader(self) -> Reader | None:
        """What the index tells of the owners' texts, none older than when this was asked."""
        return index().reader(list(self.owners.values()))

    @cached_property
    def _unsure(self) -> Matcher:
        """Holds texts to the whole query, for which no index vouches."""
        return Matcher(self.tree, indexed=False)

    def _vouched(self, matcher: Matcher, account: int, changed: int) -> Matcher:
        """Return ``matcher``, unless the text changed since the index read it."""
        if not self.is_indexed or self.reader is None or changed <= self.reader.seen(account):
            return matcher
        return self._unsure

    @property
    def _is_current(self) -> bool:
        """Whether the index vouches for what it tells: else it may still hold what is gone."""
        return self.reader is not None and self.reader.is_current

    def _divided(self, *, cut: bool, indexed: bool) -> tuple[Match, list[int]]:
        """Return what texts must have, and the owners of whom nothing is sure."""
        keyed = {pk: keyring.account_keys(row).search for pk, row in self.owners.items()}
        words = _words(self.own) if self.own and indexed and _is_begun(self.tree) else None
        openly: list[int] = []
        found: dict[int, Wanted] = {}
        for pk, row in self.owners.items():
            wanting = Wanting(keyed[pk], words if row == self.own else None, cut=cut)
            wanted = wanting.of(self.tree) if indexed else []
            self.is_cut |= wanting.is_cut
            if wanted:
                found[pk] = wanted
            elif wanted is not None:
                openly.append(pk)
        if found and self.reader is None:
            return Match([], []), [*openly, *found]
        out = excluded(list(keyed.values()), self.tree) if found and self._is_current else []
        return Match(list(found.values()), out, list(found)), openly

    def _gates(self, gate: SessionQuerySet) -> Gates:
        """Join what columns can tell of the tree to the gate."""
        of_session = [one for one in conjuncts(self.tree) if of_sessions(one)]
        others = [one for one in conjuncts(self.tree) if not of_sessions(one)]
        sessions = gate.filter(_known(of_session, self.asker.on_session))
        titles = sessions.filter(_known(others, self.asker.on_session))
        return Gates(sessions, titles, _known(others, self.asker.on_message))

    def candidates(
        self,
        ended: Position | None,
        limit: int,
        *,
        until: Position | None = None,
        sessions: Collection[int] | None = None,
        oldest: bool = False,
    ) -> list[Candidate]:
        """Return the next messages after where a page ended that index, gate and columns let go.

        The newest first, or the ``oldest``. ``until`` is the last position looked at; ``sessions``
        leaves out all others.
        """
        return self._sources.candidates(ended, limit, until=until, sessions=sessions, oldest=oldest)

    def titles(self, ended: int | None, limit: int, *, oldest: bool = False) -> list[Session]:
        """Return the newest sessions before a key that index and gate let through as titles.

        ``oldest``: the oldest after it.
        """
        keys = self._sources.titles(ended, limit, oldest=oldest)
        rows = Session.objects.filter(pk__in=keys).select_related("account__user")
        found = rows.prefetch_related("tags")
        return sorted(found, key=lambda row: row.pk if oldest else -row.pk)

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
        matcher = self._vouched(self._titles, session.account_id, session.changed)
        if matcher.must_open and not self._only_titles:
            texts += text.strings(records.or_damaged(records.metadata_of, session))

        def fact(one: Filter) -> bool:
            if one.name == "meta":
                return _says(records.or_damaged(records.metadata_of, session) or {}, one)
            return session.pk in marked[one]

        return matcher.holds(*texts, facts=fact)

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
            matcher = self._vouched(self.matcher, candidate.account, candidate.changed)
            if matcher.holds(said, facts=partial(fact, candidate)):
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
        self._sessions |= {pk: as_uuid(c.session_uuid) for pk, c in new.items()}
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
        row = as_uuid(candidate.uuid)
        context = records.body_context(row, session, candidate.role, candidate.revision)
        return records.content_of(crypto.unseal(key, body, context))

    def _packed(self, candidate: Candidate, block: int, held: _Held) -> bytes:
        account = self.owners[candidate.account]
        session = candidate.session, self._sessions[candidate.session]
        try:
            opened = blocks.obtain(account, session, block, lambda: _record(held, block))
            return opened.body(as_uuid(candidate.uuid), candidate.revision, candidate.role)
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
    if user is None or not user.is_authenticated:
        return []
    # By the grants, and apart: joined, the database may walk everybody's sessions.
    granted = list(Share.objects.in_force(user, "read").values_list("session", flat=True))
    there = Session.objects.filter(pk__in=granted).exclude(state=State.DELETED)
    shared = set(there.values_list("account", flat=True)) if granted else set()
    return list(Account.objects.filter(Q(user=user) | Q(pk__in=shared)).select_related("user"))


def _is_begun(tree: Node) -> bool:
    """Tell whether the beginning of a word is looked for."""
    return any(isinstance(one, Term) and one.prefix and not out for one, out in leaves(tree))


def _words(account: Account) -> Words | None:
    """Return all the words of an account; None where some may be missing."""
    known = learned.of(account)
    return known.words if known and known.is_complete(account) else None


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
