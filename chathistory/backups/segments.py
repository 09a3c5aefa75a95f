"""What a segment holds: the Changes above those that were shipped, and the rows they left.

Numbers are looked up account by account, for a join would be walked from the wrong end: the
databases cannot know how few rows are new.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F

from chathistory import bulk
from chathistory.models import Account, Change, Share

from . import images
from .images import TABLES, Line

#: Have an index by account and ``changed``; rows of other tables are found by their Changes.
_INDEXED = ("session", "block", "message")
_NAMED = ("tag", "revision", "share", "policy")
_AT_ONCE = 1000


def unshipped() -> list[Account]:
    """Return the accounts that have Changes above what was shipped."""
    rows = Account.objects.filter(seq__gt=F("shipped")).order_by("pk")
    return list(rows.only("uuid", "seq", "shipped"))


class New:
    """What is new, gathered within one consistent view of the database.

    ``before`` and ``vector`` are the numbers that were and will be shipped by account's uuid,
    ``since`` the time of the earliest Change, ``counts`` the lines by table.
    """

    def __init__(self) -> None:
        accounts = unshipped()
        self.accounts = [one.pk for one in accounts]
        self.before = {str(one.uuid): one.shipped for one in accounts}
        self.vector = {str(one.uuid): one.seq for one in accounts}
        self.since: datetime | None = None
        self._rows = {name: _above(TABLES[name], "changed", accounts) for name in _INDEXED}
        self._changes = _above(Change, "seq", accounts)
        self._named: dict[str, set[int]] = {name: set() for name in _NAMED}
        self._people = set(self.accounts)
        #: Tables and rows that are gone, and whose they were.
        self._gone: dict[tuple[str, UUID], UUID] = {}
        self._read_changes()
        self._read_grantees()

    @property
    def sessions(self) -> Sequence[int]:
        """Return the keys of the sessions that changed."""
        return self._rows["session"]

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of lines by table, those that are gone under ``gone``."""
        found = {"change": len(self._changes), "gone": len(self._gone)}
        found |= {name: len(self._keys(name)) for name in TABLES}
        return {name: count for name, count in found.items() if count}

    def lines(self) -> Iterator[Line]:
        """Yield the accounts' images, Changes, then what is gone, then all other images."""
        yield from _images(Account, self._keys("account"))
        yield from _images(Change, self._changes)
        for (table, uuid), account in self._gone.items():
            yield images.gone(table, uuid, account)
        for name, model in TABLES.items():
            yield from _images(model, self._keys(name)) if name != "account" else ()

    def _keys(self, name: str) -> Sequence[int]:
        if name in self._rows:
            return self._rows[name]
        return sorted(self._people if name == "account" else self._named[name])

    def _read_changes(self) -> None:
        """Find by the Changes which rows are gone, and those of the tables without an index."""
        columns = ("table", "row", "actor", "at", "account__uuid")
        for keys in _batches(self._changes):
            rows = list(Change.objects.filter(pk__in=keys).values_list(*columns))
            self._people |= {actor for _, _, actor, *_ in rows if actor is not None}
            first = min(at for *_, at, _ in rows)
            self.since = min(self.since or first, first)
            for name in (*_INDEXED, *_NAMED):
                owners = {row: account for table, row, *_, account in rows if table == name}
                self._look_for(name, owners)

    def _look_for(self, name: str, owners: dict[UUID, UUID]) -> None:
        if not owners:
            return
        there = TABLES[name]._base_manager.filter(uuid__in=owners)
        found = dict(there.values_list("uuid", "pk"))
        self._gone |= {(name, row): owners[row] for row in owners if row not in found}
        if name in _NAMED:
            self._named[name] |= set(found.values())

    def _read_grantees(self) -> None:
        for keys in _batches(self._keys("share")):
            people = Share.objects.filter(pk__in=keys).exclude(grantee=None)
            self._people |= set(people.values_list("grantee", flat=True))


def _above(model: type[Any], column: str, accounts: list[Account]) -> array[int]:
    """Return the keys of the rows whose number is above what was shipped."""
    link = bulk.connection(model)
    sql = (
        f"SELECT id FROM {link.ops.quote_name(model._meta.db_table)}"  # noqa: S608
        f" WHERE account_id = %s AND {column} > %s ORDER BY {column}"
    )
    found = array("q")
    with link.cursor() as cursor:
        for one in accounts:
            cursor.execute(sql, [one.pk, one.shipped])
            found.extend(pk for (pk,) in cursor.fetchall())
    return found


def _images(model: type[Any], keys: Sequence[int]) -> Iterator[Line]:
    for some in _batches(keys):
        yield from images.images(model._base_manager.filter(pk__in=some))


def _batches(keys: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield list(keys[start : start + _AT_ONCE])
