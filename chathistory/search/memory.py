"""The strict index: nothing about search at rest, each process keeps its own in memory.

An account's is made of its rows when somebody first searches it, and brought after its journal
before each search that began later than its last Change known here; so any number of processes
may write. What the database still holds of an index at rest is taken out of it as ever, so that
``indexed`` stays true whichever backend a process was told to use.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from chathistory import bulk
from chathistory.conf import settings
from chathistory.exceptions import Damaged
from chathistory.lru import Lru
from chathistory.models import Account, Message, Session

from . import upkeep
from .base import Doc, Index, Match, Piece, Reader
from .generations import Generations
from .shelf import Shelf, Text

_AT_ONCE = 500  # rows read together
_FIRST, _MOST = 500, 8_000  # places of the first and of the largest piece
_RETRY = 10_000  # Changes after which an account that was too large is looked at again
_ARRAYS = "unnest(%s::bigint[], %s::bigint[]) AS hit(place, account)"
_JSON = "(SELECT value->>0 AS place, value->>1 AS account FROM json_each(%s)) AS hit"
_NAME = 512  # bytes that a shelf weighs in the books besides itself


class _Kept(NamedTuple):
    """An account as it was after a Change; without a shelf it is too large for the memory."""

    shelf: Shelf | None
    epoch: int
    seq: int
    weight: int


class MemoryIndex:
    """Takes nothing in; what another backend left at rest it can only take out."""

    at_rest = False

    def __init__(self, stored: Index) -> None:
        self._stored = stored
        self.one_text = stored.one_text
        self.is_sound = stored.is_sound
        self.postings = stored.postings
        self.held = stored.held
        self.mend = stored.mend
        self.begin = stored.begin
        self.switch = stored.switch
        self.drop = stored.drop
        self.tend = stored.tend
        self.create = stored.create
        self.clear = stored.clear
        self.remove = stored.remove
        self.read = stored.read
        self.mark = stored.mark
        self.marked = stored.marked
        self.unmark = stored.unmark
        self.merge = stored.merge
        self.join = stored.join
        self.counts = stored.counts

    @property
    def generations(self) -> Generations:
        """Those that another backend has, or had."""
        return self._stored.generations

    def add(self, docs: Sequence[Doc], *, titles: bool = False) -> None:
        """Do nothing: whoever searches next reads the rows."""

    def reader(self, owners: Sequence[Account]) -> Reader | None:
        """Return what tells of these accounts' texts; None where they do not fit in memory."""
        kept: dict[int, _Kept] = {}
        weight = 0
        for owner in owners:
            found = kept[owner.pk] = _obtain(owner)
            weight += found.weight
            if found.shelf is None or weight > settings.SEARCH_MEMORY:
                return None
        return _Reader(kept)


class _Reader:
    is_current = True

    def __init__(self, kept: dict[int, _Kept]) -> None:
        self._kept = kept
        self._shelves = {pk: one.shelf for pk, one in kept.items() if one.shelf}

    def pieces(
        self, match: Match, first: int, last: int, *, titles: bool = False, oldest: bool = False
    ) -> Iterator[Piece]:
        """Yield lists of what matches, small ones first: most queries end with the first of it."""
        size = _FIRST
        while found := self._next(match, first, last, size, titles=titles, oldest=oldest):
            # All of one place together: the next piece begins beyond it.
            end = found[:size][-1][0]
            there = [one for one in found if (one[0] <= end if oldest else one[0] >= end)]
            yield _listed(there, titles=titles)
            if len(found) < size:
                return
            first, last = (end + 1, last) if oldest else (first, end - 1)
            size = min(4 * size, _MOST)

    def _next(
        self, match: Match, first: int, last: int, size: int, *, titles: bool, oldest: bool
    ) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for owner, wanted in zip(match.owners, match.wanted, strict=True):
            own = Match([wanted], match.unwanted)
            shelf = self._shelves[owner]
            places = shelf.places(own, first, last, size, titles=titles, oldest=oldest)
            found += [(place, owner) for place in places]
        return sorted(found, reverse=not oldest)

    def counts(
        self, owner: int, tokens: Sequence[str], cap: int, *, titles: bool = False
    ) -> list[int]:
        """Return of each token how many texts of an account hold it, up to ``cap``."""
        return [self._shelves[owner].count(token, cap, titles=titles) for token in tokens]

    def seen(self, owner: int) -> int:
        """Return the last Change that was read."""
        return self._kept[owner].seq


def forget() -> None:
    """Empty this process's memory."""
    _shelves().forget()


def _shelves() -> Lru[_Kept]:
    return _bounded(settings.SEARCH_MEMORY)


@lru_cache(maxsize=1)
def _bounded(capacity: int) -> Lru[_Kept]:
    return Lru(capacity, lambda kept: kept.weight + _NAME)


def _obtain(owner: Account) -> _Kept:
    """Return an account's index, no older than ``owner`` was read.

    Within a transaction what is new is read for this one query: it may never be committed.
    """
    link = bulk.connection(Message)
    name = link.alias, owner.uuid.int
    kept = _shelves().get(name)
    if kept is None and not link.in_atomic_block:
        kept = _shelves().obtain(name, lambda: (_built(owner), True))
    if kept is not None and _is_current(kept, owner):
        return kept
    return _built(owner) if kept is None or link.in_atomic_block else _renewed(name, kept, owner)


def _is_current(kept: _Kept, owner: Account) -> bool:
    late = owner.seq - kept.seq
    return kept.epoch == owner.epoch and late <= (_RETRY if kept.shelf is None else 0)


def _renewed(name: tuple[str, int], kept: _Kept, owner: Account) -> _Kept:
    """Bring what is kept after the journal; one thread does, the others find it done."""
    with (kept.shelf or Shelf()).lock:
        now = _shelves().get(name) or kept
        if not _is_current(now, owner):
            now = _followed(now, owner)
            _shelves().put(name, now)
        return now


def _followed(kept: _Kept, owner: Account) -> _Kept:
    shelf = kept.shelf
    if shelf is None or kept.epoch != owner.epoch or upkeep.has_lost(owner, kept.seq):
        return _built(owner)
    seq = _seq(owner)
    with shelf.writing():
        for rows, titles in ((Message.objects, False), (Session.objects, True)):
            changed = rows.filter(account=owner, changed__gt=kept.seq)
            for keys in _batches(list(changed.values_list("pk", flat=True))):
                shelf.put(_read(owner, keys, titles=titles), titles=titles)
    return _kept(shelf, owner, seq)


def _built(owner: Account) -> _Kept:
    """Read all that an account has, oldest first, as far as the memory reaches."""
    shelf, seq = Shelf(), _seq(owner)
    said = Message.objects.filter(account=owner, deleted_at=None, revision__gt=0)
    # FTS5 writes what comes in the order of its places in one go. No index has that order.
    texts = [pk for _, pk in sorted(said.values_list("place", "pk"))]
    named = Session.objects.filter(account=owner).order_by("pk").values_list("pk", flat=True)
    for keys, titles in ((texts, False), (list(named), True)):
        for some in _batches(keys):
            with shelf.writing():
                shelf.put(_read(owner, some, titles=titles), titles=titles)
            if shelf.weight > settings.SEARCH_MEMORY:
                return _Kept(None, owner.epoch, seq, 0)
    return _kept(shelf, owner, seq)


def _kept(shelf: Shelf, owner: Account, seq: int) -> _Kept:
    return _Kept(shelf, owner.epoch, seq, shelf.weight)


def _seq(owner: Account) -> int:
    """Return the last Change whose rows can be read from now on."""
    return Account.objects.values_list("seq", flat=True).get(pk=owner.pk)


def _batches(keys: Iterable[int]) -> Iterator[list[int]]:
    rest = iter(keys)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


def _read(owner: Account, keys: Sequence[int], *, titles: bool) -> list[Text]:
    """Return rows as a shelf takes them; what is deleted or does not open has no tokens."""
    return _titled(owner, keys) if titles else _said(owner, keys)


def _said(owner: Account, keys: Sequence[int]) -> list[Text]:
    rows = list(Message.objects.filter(pk__in=keys).select_related("session").order_by("place"))
    for row in rows:
        row.session.account = owner
    there = [row for row in rows if row.deleted_at is None and row.revision]
    tokens = dict(upkeep.opened(there, upkeep.message_tokens))
    return [(row.place, row.changed, tokens.get(row)) for row in rows]


def _titled(owner: Account, keys: Sequence[int]) -> list[Text]:
    rows = list(Session.objects.filter(pk__in=keys).order_by("pk"))
    for row in rows:
        row.account = owner
    tokens = dict(upkeep.opened([row for row in rows if upkeep.is_titled(row)], _title_tokens))
    return [(row.pk, row.changed, tokens.get(row)) for row in rows]


def _title_tokens(row: Session) -> str:
    """Return the tokens of a title and of the metadata; where these are damaged, without them."""
    try:
        row.indexed = 0
        return upkeep.title_tokens(row)
    except Damaged:
        row.indexed = 1
        return upkeep.title_tokens(row)


def _listed(found: Sequence[tuple[int, int]], *, titles: bool) -> Piece:
    # Two accounts may share a place on PostgreSQL; titles' places are keys of sessions.
    where = "1=1" if titles else "m.account_id = hit.account"
    if bulk.connection(Message).vendor == "postgresql":
        places, owners = [place for place, _ in found], [owner for _, owner in found]
        return Piece(_ARRAYS, where, [places, owners])
    return Piece(_JSON, where, [json.dumps(found)])
