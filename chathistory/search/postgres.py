"""The index on PostgreSQL: keyed tokens as ``bigint[]`` under GIN."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chathistory import bulk
from chathistory.models import Message

from .base import Doc, Either, Match, Wanted


class PostgresIndex:
    """One row per text; two texts of one place stay two rows, told apart by their tokens.

    Arrays are cast: of small numbers only, they would be sent as of another type.
    """

    def create(self) -> None:
        """Make the tables where they are missing."""
        for table in _tables():
            self._run(
                f"CREATE TABLE IF NOT EXISTS {table} (place bigint NOT NULL, t bigint[] NOT NULL)"
            )
            self._run(f"CREATE INDEX IF NOT EXISTS {table}_t ON {table} USING gin (t)")
            self._run(f"CREATE INDEX IF NOT EXISTS {table}_place ON {table} (place)")

    def clear(self) -> None:
        """Forget everything."""
        for table in _tables():
            self._run(f"DELETE FROM {table}")  # noqa: S608

    def add(self, docs: Sequence[Doc], *, titles: bool = False) -> None:
        """Add texts that are not in the index."""
        sql = f"INSERT INTO {_tables()[titles]}(place, t) VALUES (%s, %s)"  # noqa: S608
        self._many(sql, docs)

    def remove(self, docs: Sequence[Doc], *, titles: bool = False) -> None:
        """Remove texts by exactly the tokens that went in."""
        sql = f"DELETE FROM {_tables()[titles]} WHERE place = %s AND t = %s::bigint[]"  # noqa: S608
        self._many(sql, docs)

    def read(self, places: Sequence[int], *, titles: bool = False) -> list[Doc]:
        """Return what is indexed under these places; of two texts of one place both."""
        sql = f"SELECT place, t FROM {_tables()[titles]} WHERE place = ANY(%s)"  # noqa: S608
        with bulk.connection(Message).cursor() as cursor:
            cursor.execute(sql, [list(places)])
            return [Doc(place, _tokens(numbers)) for place, numbers in cursor.fetchall()]

    def mark(self) -> None:
        """Nothing to note: the server's own VACUUM takes dead rows out of the files."""

    def marked(self) -> int | None:
        """Nothing is ever noted here."""
        return None

    def unmark(self, mark: int) -> None:
        """Nothing is ever noted here."""

    def merge(self, step: Callable[[], None]) -> bool:
        """Nothing to do: the server's own VACUUM takes dead rows out of the files."""
        return True

    def join(self, match: Match, *, titles: bool = False) -> tuple[str, str, list[object]]:
        """Return ``(from clause, where clause, parameters)`` with the place as ``hit.place``."""
        # Two accounts may share a place there: a message must be of whose tokens were found.
        owner = "" if titles else " AND m.account_id = %s"
        parameters: list[object] = []
        conditions = []
        for one, account in zip(match.wanted, match.owners, strict=True):
            conditions.append(f"({_all(one, parameters)}{owner})")
            parameters += [] if titles else [account]
        wanted = " OR ".join(conditions)
        if not match.unwanted:
            return f"{_tables()[titles]} AS hit", f"({wanted})", parameters
        parameters.append(_numbers(match.unwanted))
        return (
            f"{_tables()[titles]} AS hit",
            f"({wanted}) AND NOT hit.t && %s::bigint[]",
            parameters,
        )

    def count(self, token: str, cap: int) -> int:
        """Return how many texts hold ``token``, counting no further than ``cap``."""
        return self.counts([token], cap)[0]

    def counts(self, tokens: Sequence[str], cap: int, *, titles: bool = False) -> list[int]:
        """Return of each token how many texts hold it, counting no further than ``cap``."""
        table = _tables()[titles]
        found = f"SELECT 1 FROM {table} WHERE t @> ARRAY[one.token] LIMIT %s"  # noqa: S608
        sql = (
            f"SELECT (SELECT count(*) FROM ({found}) AS found)"  # noqa: S608
            " FROM unnest(%s::bigint[]) WITH ORDINALITY AS one(token, n) ORDER BY n"
        )
        with bulk.connection(Message).cursor() as cursor:
            cursor.execute(sql, [cap, _numbers(tokens)])
            return [int(count) for (count,) in cursor.fetchall()]

    def _run(self, sql: str) -> None:
        with bulk.connection(Message).cursor() as cursor:
            cursor.execute(sql)

    def _many(self, sql: str, docs: Sequence[Doc]) -> None:
        rows = [(place, _numbers(tokens.split())) for place, tokens in docs]
        with bulk.connection(Message).cursor() as cursor:
            cursor.executemany(sql, rows)


def _tables() -> tuple[str, str]:
    return "chathistory_index", "chathistory_index_title"


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
