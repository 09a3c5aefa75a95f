"""Rows and index compared, in bounded memory, while writers go on.

Sums over the tokens of what should be in and of what is in, in some thousands of buckets, say
where they differ; only what falls into those buckets is looked at again, place by place, under
the lock of whose it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db.models import Q
from django.utils import timezone

from chathistory import ids, records
from chathistory.journal import Operation
from chathistory.models import Account, Message, Session

from . import upkeep
from .base import index

#: What may be wrong: not all there, nothing there, there for nobody, right but noted wrongly.
PROBLEMS = ("wrong", "missing", "orphan", "unmarked")
_AT_ONCE = 200
_FEWEST, _MOST, _EACH = 64, 2**16, 16  # buckets, and rows of one
_PLACES = 5_000  # of which all tokens are held at a time
_HOPELESS = 2  # where more than one in so many buckets differs, a new index is sooner made
_ALL = 2**64 - 1
_LAST = 2**63 - 1

Step = Callable[[], None]


class Problem(NamedTuple):
    """One place at which index and rows differ, and whose it is if anybody's."""

    what: str
    row: str
    mended: bool


@dataclass(slots=True)
class Compared:
    """What came of it."""

    rows: int = 0
    #: Rows that do not open: what the index should hold of them nobody can tell.
    closed: int = 0
    #: Whether too much differs to be looked at one by one.
    hopeless: bool = False
    problems: list[Problem] = field(default_factory=list)


class Comparison:
    """Of messages, or of sessions' titles, with the index in use."""

    def __init__(self, system: Account, step: Step, *, titles: bool, repair: bool) -> None:
        self._system, self._step, self._titles, self._repair = system, step, titles, repair
        self._model: Any = Session if titles else Message
        # Whatever is said from now on is checked by the next run.
        self._end = _LAST if titles else _last_place()
        self._found = Compared()

    def run(self) -> Compared:
        """Compare, and mend if that was asked for."""
        count = self._rows().count()
        self._buckets = max(_FEWEST, min(_MOST, count // _EACH))
        sums, unmarked = self._sums()
        bad = [bucket for bucket in range(self._buckets) if sums[bucket]]
        rows = len(bad) * max(1, count // self._buckets) + len(unmarked)
        if count > _PLACES and rows * _HOPELESS > count:
            self._found.hopeless = True
            return self._found
        each = max(1, _PLACES * self._buckets // max(count, self._buckets))
        for at in range(0, len(bad), each):
            for place, tokens in self._differing(set(bad[at : at + each])).items():
                unmarked.discard(place)
                self._settle(place, tokens)
        for place in sorted(unmarked):
            self._settle(place, [])
        return self._found

    def _rows(self) -> Any:
        """Return the rows that are in or should be."""
        if self._titles:
            titled = Q(title__isnull=False) | Q(metadata__isnull=False) | Q(indexed__gt=0)
            return Session.objects.filter(titled).select_related("account")
        there = Q(deleted_at=None, revision__gt=0) | Q(indexed__gt=0)
        rows = Message.objects.filter(there, place__lte=self._end)
        return rows.select_related("session__account")

    def _sums(self) -> tuple[list[int], set[int]]:
        """Return what differs by bucket, and the places whose row says something else."""
        sums, unmarked = [0] * self._buckets, set[int]()
        for row, tokens in self._expected(self._rows()):
            place = _place(row)
            self._found.rows += 1
            if tokens is None:
                self._found.closed += 1
                continue
            if not _is_marked(row, tokens):
                unmarked.add(place)
            sums[self._bucket(place)] += sum(hash((place, one)) for one in tokens.split())
        for some in index().postings(titles=self._titles):
            for place, token in some:
                if place <= self._end:
                    sums[self._bucket(place)] -= hash((place, token))
            self._step()
        return sums, unmarked

    def _differing(self, buckets: set[int]) -> dict[int, list[str]]:
        """Return the places in these buckets that differ, with the tokens found there."""
        found: dict[int, list[str]] = {}
        for some in index().postings(titles=self._titles):
            for place, token in some:
                if place <= self._end and self._bucket(place) in buckets:
                    found.setdefault(place, []).append(token)
            self._step()
        name = "pk" if self._titles else "place"
        places = self._rows().order_by("pk").values_list(name, flat=True).iterator(10_000)
        mine = [place for place in places if self._bucket(place) in buckets]
        for at in range(0, len(mine), _AT_ONCE):
            rows = self._rows().filter(**{f"{name}__in": mine[at : at + _AT_ONCE]})
            for row, tokens in self._expected(rows):
                place = _place(row)
                if tokens is None or sorted(tokens.split()) == sorted(found.get(place, [])):
                    found.pop(place, None)
                else:
                    found.setdefault(place, [])
            self._step()
        return found

    def _expected(self, rows: Any) -> Iterator[tuple[Any, str | None]]:
        """Yield rows with the tokens that the index should hold, or None for what is closed."""
        last = 0
        while batch := list(rows.filter(pk__gt=last).order_by("pk")[:_AT_ONCE]):
            last = batch[-1].pk
            upkeep.load_keys(batch)
            for row in batch:
                yield row, _tokens(row)
            self._step()

    def _bucket(self, place: int) -> int:
        return int((place * 0x9E3779B97F4A7C15 & _ALL) * self._buckets >> 64)

    def _settle(self, place: int, tokens: Sequence[str]) -> None:
        """Look once more where nobody can write meanwhile, and mend."""
        name = "pk" if self._titles else "place"
        here = self._model.objects.filter(**{name: place})
        with ExitStack() as stack:
            for account in self._owners(here):
                stack.enter_context(Operation(account, None, "index.compare"))
            related = "account" if self._titles else "session__account"
            rows = list(here.select_related(related).order_by("pk"))
            wanted = [_tokens(row) for row in rows]
            if None not in wanted:
                self._compare(place, rows, [one or "" for one in wanted], tokens)

    def _owners(self, rows: Any) -> list[Account]:
        keys = set(rows.values_list("account", flat=True))
        return list(Account.objects.filter(pk__in=keys).order_by("pk")) or [self._system]

    def _compare(
        self, place: int, rows: Sequence[Any], wanted: Sequence[str], tokens: Sequence[str]
    ) -> None:
        should = _together([one for one in wanted if one], self._is_one)
        known = {token for one in should for token in one.split()}
        there = index().held(place, known.union(tokens), titles=self._titles)
        unmarked = [
            (row, one) for row, one in zip(rows, wanted, strict=True) if not _is_marked(row, one)
        ]
        differ = Counter(map(_sorted, there)) != Counter(map(_sorted, should))
        if not differ and not unmarked:
            return
        what = _name(should, there) if differ else "unmarked"
        if self._repair:
            if differ:
                index().mend(place, there, should, titles=self._titles)
            for row, one in unmarked:
                upkeep.note([row], _mark(row) if _should(row, one) else 0)
        whose = next((str(row.uuid) for row in rows), "")
        self._found.problems.append(Problem(what, whose, self._repair))

    @property
    def _is_one(self) -> bool:
        """Whether the index has one text for a place, whoever shares it."""
        return index().one_text


def _last_place() -> int:
    newest = Message.objects.order_by("-place").values_list("place", flat=True).first() or 0
    return max(newest, ids.place(ids.milliseconds(timezone.now())) - 1)


def _name(should: Sequence[str], there: Sequence[str]) -> str:
    if should and there:
        return "wrong"
    return "missing" if should else "orphan"


def _sorted(tokens: str) -> str:
    return " ".join(sorted(tokens.split()))


def _together(docs: list[str], is_one: bool) -> list[str]:
    if not is_one or len(docs) < 2:
        return docs
    return [" ".join(sorted({token for one in docs for token in one.split()}))]


def _place(row: Any) -> int:
    place: int = row.pk if isinstance(row, Session) else row.place
    return place


def _tokens(row: Any) -> str | None:
    """Return what should be in the index; nothing of what is deleted, None of what is closed."""
    if isinstance(row, Session):
        return upkeep.whole_title(row)[0] if upkeep.is_titled(row) else ""
    if row.deleted_at or not row.revision:
        return ""
    tokens: str | None = records.or_damaged(upkeep.message_tokens, row)
    return tokens


def _should(row: Any, tokens: str) -> bool:
    if isinstance(row, Session):
        return upkeep.is_titled(row)
    return row.deleted_at is None and bool(row.revision)


def _mark(row: Any) -> int:
    """Return the number of a row that is in the index in use."""
    live = index().generations.live.number
    if isinstance(row, Session):
        return 2 * live - upkeep.whole_title(row)[1]
    return live


def _is_marked(row: Any, tokens: str) -> bool:
    """Tell whether a row's number says what is so."""
    live = index().generations.live.number
    if not _should(row, tokens):
        return upkeep.generation(row) < live
    if isinstance(row, Session):
        alone = upkeep.whole_title(row)[1]
        return upkeep.generation(row) >= live and row.indexed % 2 == alone
    return upkeep.generation(row) >= live
