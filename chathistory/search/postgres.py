"""The index on PostgreSQL: keyed tokens as ``bigint[]`` under GIN."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from django.db import OperationalError, transaction
from django.utils.translation import gettext as _

from chathistory import bulk
from chathistory.exceptions import Conflict
from chathistory.models import Message

from .base import Doc, Either, Match, Piece, Wanted
from .generations import TABLE, GenerationalIndex

_TRIES, _PAUSE = 30, 0.5


class PostgresIndex(GenerationalIndex):
    """One row per text; two texts of one place stay two rows, told apart by their tokens.

    Arrays are cast: of small numbers only, they would be sent as of another type.
    """

    def mark(self) -> None:
        """Nothing to note: the server's own VACUUM takes dead rows out of the files."""

    def marked(self) -> int | None:
        """Nothing is ever noted here."""
        return None

    def unmark(self, mark: int) -> None:
        """Nothing is ever noted here."""

    def merge(self, step: Callable[[], None]) -> bool:
        """Nothing to do: the server's own VACUUM takes dead rows out of the files."""
        return self.drop(step)

    def tend(self, step: Callable[[], None]) -> None:
        """Nothing to do: the server's own VACUUM merges what waits to be put into the tree."""

    def join(self, match: Match, *, titles: bool = False) -> Piece:
        """Return all that matches."""
        # Two accounts may share a place there: a message must be of whose tokens were found.
        table = tables(self.generations.live.number)[titles]
        owner = "" if titles else " AND m.account_id = %s"
        parameters: list[object] = []
        conditions = []
        for one, account in zip(match.wanted, match.owners, strict=True):
            conditions.append(f"({_all(one, parameters)}{owner})")
            parameters += [] if titles else [account]
        wanted = " OR ".join(conditions)
        if not match.unwanted:
            return Piece(f"{table} AS hit", f"({wanted})", parameters)
        parameters.append(_numbers(match.unwanted))
        where = f"({wanted}) AND NOT hit.t && %s::bigint[]"
        return Piece(f"{table} AS hit", where, parameters)

    def counts(self, tokens: Sequence[str], cap: int, *, titles: bool = False) -> list[int]:
        """Return of each token how many texts hold it, counting no further than ``cap``."""
        table = tables(self.generations.live.number)[titles]
        found = f"SELECT 1 FROM {table} WHERE t @> ARRAY[one.token] LIMIT %s"  # noqa: S608
        sql = (
            f"SELECT (SELECT count(*) FROM ({found}) AS found)"  # noqa: S608
            " FROM unnest(%s::bigint[]) WITH ORDINALITY AS one(token, n) ORDER BY n"
        )
        return [int(count) for (count,) in self._fetch(sql, [cap, _numbers(tokens)])]

    def _exists(self, number: int) -> bool:
        return self._fetch("SELECT to_regclass(%s)", [tables(number)[0]]) != [(None,)]

    def _create(self, number: int) -> None:
        for table in tables(number):
            self._run(
                f"CREATE TABLE IF NOT EXISTS {table} (place bigint NOT NULL, t bigint[] NOT NULL)"
            )
            self._run(f"CREATE INDEX IF NOT EXISTS {table}_t ON {table} USING gin (t)")
            self._run(f"CREATE INDEX IF NOT EXISTS {table}_place ON {table} (place)")

    def _empty(self, number: int) -> None:
        for table in tables(number):
            self._run(f"DELETE FROM {table}")  # noqa: S608

    def _shrink(self, number: int) -> bool:
        """Nothing to do: a table goes at once, with its files."""
        return False

    def _drop(self, number: int) -> None:
        for table in tables(number):
            self._run(f"DROP TABLE IF EXISTS {table}")

    def _add(self, number: int, docs: Sequence[Doc], titles: bool) -> None:
        sql = f"INSERT INTO {tables(number)[titles]}(place, t) VALUES (%s, %s)"  # noqa: S608
        self._many(sql, docs)

    def _remove(self, number: int, docs: Sequence[Doc], titles: bool) -> None:
        sql = f"DELETE FROM {tables(number)[titles]} WHERE place = %s AND t = %s::bigint[]"  # noqa: S608
        self._many(sql, docs)

    def _read(self, number: int, places: Sequence[int], titles: bool) -> list[Doc]:
        """Return what is indexed under these places; of two texts of one place both."""
        sql = f"SELECT place, t FROM {tables(number)[titles]} WHERE place = ANY(%s)"  # noqa: S608
        with bulk.connection(Message).cursor() as cursor:
            cursor.execute(sql, [list(places)])
            return [Doc(place, _tokens(found), number) for place, found in cursor.fetchall()]

    def is_sound(self) -> bool | None:
        """The server sees to that."""
        return True

    def _postings(self, number: int, titles: bool) -> Iterator[list[tuple[int, str]]]:
        sql = (
            f"SELECT place, t FROM {tables(number)[titles]} WHERE place > %s"  # noqa: S608
            " ORDER BY place FETCH FIRST 1000 ROWS WITH TIES"
        )
        last = -(2**63)
        while rows := self._fetch(sql, [last]):
            last = rows[-1][0]
            yield [(place, f"{one:012x}") for place, found in rows for one in found]

    def _held(self, number: int, place: int, tokens: Iterable[str], titles: bool) -> list[str]:
        return [doc.tokens for doc in self._read(number, [place], titles) if doc.tokens]

    def _wait_for_writers(self) -> None:
        """Lock for a moment what each of them has read, and holds until they commit."""
        link = bulk.connection(Message)
        for _try in range(_TRIES):
            try:
                with transaction.atomic(using=link.alias):
                    self._run("SET LOCAL lock_timeout = '1s'")
                    self._run(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
                    self._run("SET LOCAL lock_timeout TO DEFAULT")
            except OperationalError:
                time.sleep(_PAUSE)
            else:
                return
        raise Conflict(_("Somebody has been writing for a long time; try again later."))

    def _many(self, sql: str, docs: Sequence[Doc]) -> None:
        rows = [(doc.place, sorted(_numbers(doc.tokens.split()))) for doc in docs]
        with bulk.connection(Message).cursor() as cursor:
            cursor.executemany(sql, rows)


def tables(number: int) -> tuple[str, str]:
    """Return the tables of one index: of messages and of titles. The first has no number."""
    name = "chathistory_index" if number == 1 else f"chathistory_index_{number}"
    return name, f"{name}_title"


def _all(wanted: Wanted, parameters: list[object]) -> str:
    """Return the condition that a text has all of it; its parameters are appended."""
    tokens = [one for one in wanted if not isinstance(one, Either)]
    conditions = ["hit.t @> %s::bigint[]"] if tokens else []
    parameters += [_numbers(tokens)] if tokens else []
    for one in wanted:
        if isinstance(one, Either) and (alone := _alone(one)):
            conditions.append("hit.t && %s::bigint[]")
            parameters.append(_numbers(alone))
        elif isinstance(one, Either):
            branches = [f"({_all(branch, parameters)})" for branch in one.branches]
            conditions.append("(" + " OR ".join(branches) + ")")
    return " AND ".join(conditions)


def _alone(either: Either) -> list[str]:
    """Return the tokens of which one will do, where that is all: the index finds them at once."""
    tokens = [one for branch in either.branches for one in branch if len(branch) == 1]
    found = [one for one in tokens if not isinstance(one, Either)]
    return found if len(found) == len(either.branches) else []


def _numbers(tokens: Sequence[str]) -> list[int]:
    return [int(token, 16) for token in tokens]


def _tokens(numbers: Sequence[int]) -> str:
    return " ".join(f"{number:012x}" for number in numbers)
