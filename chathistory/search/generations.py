"""One index in use, and at times another that is filled beside it and then takes its place.

Each has a number, higher than those before. A row's ``indexed`` is the number of the newest index
that it was put into: it is in the one in use too unless that is newer, which is how a row is told
that was never brought over. Of a session twice the number, less one where only its title went in.

Whoever writes asks within their transaction which indexes there are, and writes to each. What an
index of an older version holds cannot be told, so nothing is taken out of it: it is replaced.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from django.db import transaction

from chathistory import bulk
from chathistory.models import Account, Message

from . import base
from .atrest import AtRest
from .base import Doc, Match, Piece

TABLE = "chathistory_generations"
#: Seconds for which the index that was in use stays: whoever was asking it comes to an end.
GRACE = 60.0
#: The version of an index that was made before its version was noted.
_FIRST = 1
_COLUMNS = "number, version, state, since"


class Generation(NamedTuple):
    """One index: ``live``, ``building`` or ``retired``, and since when."""

    number: int
    version: int
    state: str
    since: float


class Generations(NamedTuple):
    """All indexes there are."""

    live: Generation
    building: Generation | None
    retired: Sequence[Generation]

    @property
    def newest(self) -> int:
        """The number that a row is given which is put into all that are written to."""
        return self.building.number if self.building else self.live.number

    @property
    def is_current(self) -> bool:
        """Whether the one in use holds what the tokeniser of this release would put in."""
        return self.live.version == base.VERSION

    @property
    def written(self) -> list[Generation]:
        """Those that texts go into."""
        return [self.live, *([self.building] if self.building else [])]


class GenerationalIndex(ABC):
    """What both databases' indexes have in common: in which of them what is to be done."""

    at_rest = True
    one_text = False

    def reader(self, owners: Sequence[Account]) -> AtRest:
        """Return what reads it, whosever the texts."""
        return AtRest(self)

    @cached_property
    def generations(self) -> Generations:
        """The indexes there are, as long as this object lives: within one transaction."""
        found = [Generation(*row) for row in self._fetch(f"SELECT {_COLUMNS} FROM {TABLE}")]  # noqa: S608
        by_state: dict[str, list[Generation]] = {"live": [], "building": [], "retired": []}
        for one in sorted(found):
            by_state[one.state].append(one)
        (live,), building = by_state["live"], by_state["building"]
        return Generations(live, building[0] if building else None, by_state["retired"])

    def create(self) -> None:
        """Make the tables where they are missing."""
        self._run(
            f"CREATE TABLE IF NOT EXISTS {TABLE} (number integer PRIMARY KEY,"
            " version integer NOT NULL, state varchar(16) NOT NULL,"
            " since double precision NOT NULL)"
        )
        if not self._fetch(f"SELECT 1 FROM {TABLE}"):  # noqa: S608
            self._insert(1, _FIRST if self._exists(1) else base.VERSION, "live")
        for one in self.generations.written:
            self._create(one.number)

    def clear(self) -> None:
        """Forget everything, and begin with the first."""
        if self.generations == Generations(self.generations.live, None, []) and (
            self.generations.live[:2] == (1, base.VERSION)
        ):
            self._empty(1)
            return
        for (number,) in self._fetch(f"SELECT number FROM {TABLE}"):  # noqa: S608
            self._drop(number)
        self._run(f"DELETE FROM {TABLE}")  # noqa: S608
        self._again()
        self.create()

    def add(self, docs: Sequence[Doc], *, titles: bool = False) -> None:
        """Add texts to those indexes that they are not in."""
        for one in self.generations.written:
            fresh = [doc for doc in docs if (doc.generation or 0) < one.number]
            self._add(one.number, fresh, titles)

    def remove(self, docs: Sequence[Doc], *, titles: bool = False) -> None:
        """Remove texts from those indexes that they are in, by exactly the tokens that went in."""
        for one in self.generations.written:
            if one.version == base.VERSION:
                held = [
                    doc for doc in docs if doc.generation is None or doc.generation >= one.number
                ]
                self._remove(one.number, held, titles)

    def read(self, places: Sequence[int], *, titles: bool = False) -> list[Doc]:
        """Return what the newest index that has any of it holds under each of these places."""
        found: list[Doc] = []
        for one in reversed(self.generations.written):
            known = {doc.place for doc in found}
            rest = [place for place in places if place not in known]
            found += self._read(one.number, rest, titles) if rest else []
        return found

    # What the one in use holds, for whoever compares

    def postings(self, *, titles: bool = False) -> Iterator[list[tuple[int, str]]]:
        """Yield each place with each of its tokens, many at a time; writers go on meanwhile."""
        return self._postings(self.generations.live.number, titles)

    def held(self, place: int, tokens: Iterable[str], *, titles: bool = False) -> list[str]:
        """Return the texts of one place, as far as they are made of ``tokens`` on SQLite."""
        return self._held(self.generations.live.number, place, tokens, titles)

    def mend(self, place: int, found: list[str], wanted: list[str], *, titles: bool) -> None:
        """Replace the texts of one place by others."""
        number = self.generations.live.number
        self._remove(number, [Doc(place, one) for one in dict.fromkeys(found)], titles)
        self._add(number, [Doc(place, one) for one in wanted], titles)

    # One beside the other

    def begin(self) -> None:
        """Make an index beside the one in use, or go on with the one that is there.

        When this returns, whoever writes knows of it. Raises Conflict where one of them writes on
        for too long.
        """
        with transaction.atomic(using=bulk.connection(Message).alias):
            self._again()
            building = self.generations.building
            if building is not None and building.version != base.VERSION:
                self._move(building.number, "retired")
            if building is None or building.version != base.VERSION:
                (highest,) = self._fetch(f"SELECT max(number) FROM {TABLE}")[0]  # noqa: S608
                self._create(highest + 1)
                self._insert(highest + 1, base.VERSION, "building")
        self._again()
        self._wait_for_writers()

    def switch(self) -> None:
        """Take the one beside into use."""
        with transaction.atomic(using=bulk.connection(Message).alias):
            self._again()
            if (building := self.generations.building) is not None:
                self._move(self.generations.live.number, "retired")
                self._move(building.number, "live")
        self._again()

    def drop(self, step: Callable[[], None]) -> bool:
        """Remove, in bounded steps, those out of use that nobody asks any more.

        Returns whether none is left. ``step`` is called after each transaction.
        """
        self._again()
        old = [one for one in self.generations.retired if one.since + GRACE < time.time()]
        for one in old:
            self._wait_for_writers()
            while self._shrink(one.number):
                step()
            with transaction.atomic(using=bulk.connection(Message).alias):
                self._drop(one.number)
                self._run(f"DELETE FROM {TABLE} WHERE number = {one.number}")  # noqa: S608
            step()
        left = len(old) < len(self.generations.retired)
        self._again()
        return not left

    def _again(self) -> None:
        self.__dict__.pop("generations", None)

    def _insert(self, number: int, version: int, state: str) -> None:
        with bulk.connection(Message).cursor() as cursor:
            sql = f"INSERT INTO {TABLE} ({_COLUMNS}) VALUES (%s, %s, %s, %s)"  # noqa: S608
            cursor.execute(sql, [number, version, state, time.time()])

    def _move(self, number: int, state: str) -> None:
        with bulk.connection(Message).cursor() as cursor:
            sql = f"UPDATE {TABLE} SET state = %s, since = %s WHERE number = %s"  # noqa: S608
            cursor.execute(sql, [state, time.time(), number])

    def _run(self, sql: str) -> None:
        with bulk.connection(Message).cursor() as cursor:
            cursor.execute(sql)

    def _fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with bulk.connection(Message).cursor() as cursor:
            cursor.execute(sql, list(parameters))
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    # What differs

    @abstractmethod
    def mark(self) -> None:
        """Note that what was removed must leave the files."""

    @abstractmethod
    def marked(self) -> int | None:
        """Return the newest mark."""

    @abstractmethod
    def unmark(self, mark: int) -> None:
        """Take away this mark and older ones."""

    @abstractmethod
    def merge(self, step: Callable[[], None]) -> bool:
        """Rewrite the index until nothing removed before now is left in it."""

    @abstractmethod
    def tend(self, step: Callable[[], None]) -> None:
        """Merge what is due."""

    @abstractmethod
    def is_sound(self) -> bool | None:
        """Tell whether the index holds together."""

    @abstractmethod
    def join(self, match: Match, *, titles: bool = False) -> Piece:
        """Return all that matches."""

    @abstractmethod
    def counts(self, tokens: Sequence[str], cap: int, *, titles: bool = False) -> list[int]:
        """Return of each token how many texts hold it."""

    @abstractmethod
    def _postings(self, number: int, titles: bool) -> Iterator[list[tuple[int, str]]]:
        """Yield each place in one index with each of its tokens."""

    @abstractmethod
    def _held(self, number: int, place: int, tokens: Iterable[str], titles: bool) -> list[str]:
        """Return the texts of one place in one index."""

    @abstractmethod
    def _wait_for_writers(self) -> None:
        """Return when nobody writes any more who began before this. Raises Conflict."""

    @abstractmethod
    def _exists(self, number: int) -> bool:
        """Tell whether an index has its tables."""

    @abstractmethod
    def _create(self, number: int) -> None:
        """Make the tables of an index where they are missing."""

    @abstractmethod
    def _empty(self, number: int) -> None:
        """Forget all that is in an index."""

    @abstractmethod
    def _shrink(self, number: int) -> bool:
        """Throw away a part of an index; return whether more is left than its end is worth."""

    @abstractmethod
    def _drop(self, number: int) -> None:
        """Remove the tables of an index."""

    @abstractmethod
    def _add(self, number: int, docs: Sequence[Doc], titles: bool) -> None:
        """Add texts to one index."""

    @abstractmethod
    def _remove(self, number: int, docs: Sequence[Doc], titles: bool) -> None:
        """Remove texts from one index."""

    @abstractmethod
    def _read(self, number: int, places: Sequence[int], titles: bool) -> list[Doc]:
        """Return what one index holds under these places."""
