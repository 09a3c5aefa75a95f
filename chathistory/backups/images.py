"""Images: rows as JSON that any database of ours can take in, and back.

An image holds every column of a row but its integer key; what a row refers to is named by the
other row's uuid, a group by its name, a user by the user name. Bytes are base64, times ISO 8601
in UTC. ``apply`` finds rows by uuid and lets the database give new integer keys, so images of one
site fit into another.

Jobs, tokens, leases and the list of backups have no images: they belong to a running site and
not to what people said. Data keys have none because keys are never kept beside what they open
(see keysets.py).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import groupby, islice
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group
from django.db import DataError, IntegrityError, connections, models, router, transaction

from chathistory import bulk
from chathistory.exceptions import Damaged
from chathistory.models import (
    Account,
    Block,
    Change,
    Message,
    RetentionPolicy,
    Revision,
    Row,
    Session,
    Share,
    Tag,
)

Line = dict[str, Any]
Model = type[models.Model]

#: What has images, under its name in the journal; each refers only to those before it.
TABLES: dict[str, Model] = {
    "account": Account,
    "tag": Tag,
    "session": Session,
    "block": Block,
    "message": Message,
    "revision": Revision,
    "share": Share,
    "policy": RetentionPolicy,
}
_LINES: dict[str, Model] = TABLES | {"change": Change}
_NAMES = {model: name for name, model in _LINES.items()}
_BATCH = 1000
_WRONG = (KeyError, ValueError, TypeError, AttributeError)


@dataclass(slots=True)
class Applied:
    """What ``apply`` did."""

    #: Rows by table; ``gone`` counts those that were removed.
    counts: Counter[str] = field(default_factory=Counter)
    #: Users that accounts name and this site does not have: account's uuid -> user name.
    users: dict[UUID, str] = field(default_factory=dict)
    #: Groups that shares name and this site does not have; such a share is left out.
    groups: set[str] = field(default_factory=set)


def image(row: models.Model) -> Line:
    """Return the image of one row, as it is stored now."""
    return next(images(type(row)._base_manager.filter(pk=row.pk)))


def images(rows: models.QuerySet[Any, Any]) -> Iterator[Line]:
    """Yield the images of ``rows`` in their order, or else of their keys; ``t`` is the table."""
    model, alias = rows.model, rows.db
    fields = _fields(model)
    names = ["t", *(one.name for one in fields)]
    ordered = rows if rows.ordered else rows.order_by("pk")
    columns = ordered.values_list("pk", *(one.attname for one in fields))
    found = columns.iterator(chunk_size=_BATCH)
    while batch := list(islice(found, _BATCH)):
        keys, *values = zip(*batch, strict=True)
        said = [_said(one, column, alias) for one, column in zip(fields, values, strict=True)]
        lines = zip([_NAMES[model]] * len(batch), *said, strict=True)
        made = [dict(zip(names, line, strict=True)) for line in lines]
        yield from _with_tags(made, keys, alias) if model is Session else made


def name(rows: models.QuerySet[Any, Any]) -> str:
    """Return what images call the table of ``rows``."""
    return _NAMES[rows.model]


def gone(table: str, row: UUID, account: UUID) -> Line:
    """Return the line that says: this row of this account is no more."""
    return {"t": "gone", "table": table, "row": str(row), "account": str(account)}


def apply(lines: Iterable[Line]) -> Applied:
    """Bring images into the database that the models are routed to, in one transaction.

    A row that is there by uuid takes the image's columns, every other is inserted; ``change``
    lines are added to the journal; a ``gone`` line removes its row and all that hangs on it. What
    a line refers to must be there or come before it. Raises Damaged for a line that cannot be.
    """
    link, done = bulk.connection(Account), Applied()
    with transaction.atomic(using=link.alias):
        for name, run in groupby(lines, key=lambda line: str(line.get("t"))):
            while batch := list(islice(run, _BATCH)):
                _apply(name, batch, link.alias, done)
    return done


def _apply(name: str, batch: list[Line], alias: str, done: Applied) -> None:
    try:
        if name == "gone":
            done.counts["gone"] += _remove(batch, alias)
        elif name in _LINES:
            done.counts[name] += _store(_LINES[name], batch, alias, done)
        else:
            raise Damaged(f"A line is of {name!r}, which is no table of ours.")
    except (*_WRONG, DataError, IntegrityError) as error:
        raise Damaged(f"A line of {name!r} cannot be read: {error!r}.") from error


def _fields(model: Model) -> list[Any]:
    return [one for one in model._meta.concrete_fields if not one.primary_key]


# From the database


def _said(one: Any, column: Sequence[Any], alias: str) -> Sequence[Any]:
    """Return a column's values as JSON has them."""
    if one.is_relation:
        known = _names(one, {value for value in column if value is not None}, alias)
        return [known.get(value) for value in column]
    say = _SAY.get(type(one)) or next((s for k, s in _SAY.items() if isinstance(one, k)), None)
    return [None if value is None else say(value) for value in column] if say else column


_SAY: dict[type, Callable[[Any], str]] = {
    models.UUIDField: str,
    models.DateTimeField: datetime.isoformat,
    models.BinaryField: lambda value: b64encode(value).decode(),
}


def _names(one: Any, keys: set[int], alias: str) -> dict[int, str]:
    """Return what the rows with these keys are called outside."""
    column, rows = _outside(one, alias)
    return {key: str(name) for key, name in rows.filter(pk__in=keys).values_list("pk", column)}


def _outside(one: Any, alias: str) -> tuple[str, models.QuerySet[Any, Any]]:
    """Return the column that names what a foreign key refers to, and where to look."""
    model = one.related_model
    if issubclass(model, (Row, Account)):
        return "uuid", model._base_manager.using(alias)
    # The host's own: wherever its router keeps them.
    column = "name" if model is Group else model.USERNAME_FIELD
    return column, model._base_manager.using(router.db_for_read(model))


def _with_tags(made: list[Line], keys: Sequence[int], alias: str) -> Iterator[Line]:
    links = Session.tags.through._base_manager.using(alias).filter(session__in=keys)
    tags: dict[int, list[str]] = {key: [] for key in keys}
    for key, tag in links.order_by("tag").values_list("session", "tag__uuid"):
        tags[key].append(str(tag))
    for key, line in zip(keys, made, strict=True):
        yield line | {"tags": tags[key]}


# Into the database


def _store(model: Model, batch: list[Line], alias: str, done: Applied) -> int:
    """Insert or replace rows of one table; return how many."""
    fields = _fields(model)
    known = {"t", "tags", *(one.name for one in fields)}
    if strange := set().union(*batch) - known:
        raise Damaged(f"Columns unknown here, of a newer version: {', '.join(sorted(strange))}.")
    values = [_meant(one, [_value(one, line) for line in batch], alias) for one in fields]
    rows = list(zip(*values, strict=True))
    if model is RetentionPolicy:
        _make_room(rows, fields, alias)
    if model is Share:
        rows = _without_lost_groups(rows, batch, fields, done)
    _upsert(model, rows, alias)
    if model is Account:
        done.users |= _lost_users(rows, batch, fields)
    if model is Session:
        _link_tags(batch, alias)
    return len(rows)


def _value(one: Any, line: Line) -> Any:
    """Return what a line says of a column; a column younger than the line has its default."""
    return line[one.name] if one.name in line else one.get_default()


def _meant(one: Any, column: Sequence[Any], alias: str) -> Sequence[Any]:
    """Return JSON values as the database takes them."""
    if one.is_relation:
        return _keys(one, column, alias)
    mean = next((mean for kind, mean in _MEAN.items() if isinstance(one, kind)), None)
    if mean is None:
        return column
    link = connections[alias]
    parsed = [_read(mean, value) for value in column]
    return [one.get_db_prep_value(value, link, prepared=True) for value in parsed]


def _read(mean: Callable[[str], Any], value: Any) -> Any:
    if isinstance(value, str):
        return mean(value)
    if value is None or isinstance(value, (UUID, datetime, bytes)):  # the last are defaults
        return value
    raise TypeError(f"{value!r} is no text")


_MEAN: dict[type, Callable[[str], Any]] = {
    models.UUIDField: UUID,
    models.DateTimeField: datetime.fromisoformat,
    models.BinaryField: lambda value: b64decode(value, validate=True),
}


def _keys(one: Any, column: Sequence[Any], alias: str) -> list[int | None]:
    """Return the integer keys of rows that are called so outside; None where one may lack."""
    name, rows = _outside(one, alias)
    wanted = {value for value in column if value is not None}
    found = rows.filter(**{f"{name}__in": wanted}).values_list(name, "pk")
    known = {str(value): pk for value, pk in found}
    # An actor may have gone since; users and groups are the host's.
    may_lack = one.name == "actor" or not issubclass(one.related_model, (Row, Account))
    if not may_lack and (lost := wanted - known.keys()):
        raise Damaged(f"There is no {one.name} {min(lost)} for a row that refers to it.")
    return [known.get(value) for value in column]


def _upsert(model: Model, rows: list[Any], alias: str) -> None:
    link: Any = connections[alias]
    with link.cursor() as cursor:
        if link.vendor == "sqlite":
            cursor.executemany(_statement(model, alias), rows)
        elif rows:
            _copy(cursor, model, rows, alias)


def _copy(cursor: Any, model: Model, rows: list[Any], alias: str) -> None:
    """Bring rows to PostgreSQL in bulk: by way of a table without indexes."""
    quote = connections[alias].ops.quote_name
    table, columns = model._meta.db_table, ", ".join(_columns(model, alias))
    draft = quote(f"{table}_draft")
    cursor.execute(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {draft} ON COMMIT DROP AS"  # noqa: S608
        f" SELECT {columns} FROM {quote(table)} LIMIT 0"
    )
    with cursor.copy(f"COPY {draft} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    cursor.execute(
        f"INSERT INTO {quote(table)} ({columns}) SELECT {columns} FROM {draft}"  # noqa: S608
        f" {_on_conflict(model, alias)}"
    )
    cursor.execute(f"TRUNCATE {draft}")


@lru_cache(maxsize=32)
def _statement(model: Model, alias: str) -> str:
    quote, columns = connections[alias].ops.quote_name, _columns(model, alias)
    table, marks = quote(model._meta.db_table), ", ".join(["%s"] * len(columns))
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608
        f" {_on_conflict(model, alias)}"
    )


def _on_conflict(model: Model, alias: str) -> str:
    if model is Change:
        return "ON CONFLICT (account_id, seq) DO NOTHING"
    changes = ", ".join(f"{column} = excluded.{column}" for column in _columns(model, alias))
    return f"ON CONFLICT (uuid) DO UPDATE SET {changes}"


def _columns(model: Model, alias: str) -> list[str]:
    quote = connections[alias].ops.quote_name
    return [quote(one.column) for one in _fields(model)]


def _without_lost_groups(
    rows: list[Any], batch: list[Line], fields: list[Any], done: Applied
) -> list[Any]:
    at = [one.name for one in fields].index("group")
    lost = {
        number
        for number, (row, line) in enumerate(zip(rows, batch, strict=True))
        if line["group"] is not None and row[at] is None
    }
    done.groups |= {batch[number]["group"] for number in lost}
    return [row for number, row in enumerate(rows) if number not in lost]


def _make_room(rows: list[Any], fields: list[Any], alias: str) -> None:
    """Remove the policies of the same scopes that this database made for itself."""
    names = [one.name for one in fields]
    for row in rows:
        said = dict(zip(names, row, strict=True))
        scope = {name: said[name] for name in ("workflow", "account", "tag")}
        others = RetentionPolicy.objects.using(alias).filter(**scope)
        others.exclude(uuid=said["uuid"]).delete()


def _lost_users(rows: list[Any], batch: list[Line], fields: list[Any]) -> dict[UUID, str]:
    at = [one.name for one in fields].index("user")
    pairs = zip(rows, batch, strict=True)
    return {
        UUID(line["uuid"]): line["user"]
        for row, line in pairs
        if line["user"] is not None and row[at] is None
    }


def _link_tags(batch: list[Line], alias: str) -> None:
    """Give sessions the tags of their images, and no others."""
    through = Session.tags.through
    sessions = _uuids(Session, [line["uuid"] for line in batch], alias)
    tags = _uuids(Tag, {tag for line in batch for tag in line["tags"]}, alias)
    through._base_manager.using(alias).filter(session__in=sessions.values()).delete()
    links = [
        through(session_id=sessions[line["uuid"]], tag_id=tags[tag])
        for line in batch
        for tag in line["tags"]
    ]
    through._base_manager.using(alias).bulk_create(links)


def _uuids(model: Model, uuids: Iterable[str], alias: str) -> dict[str, int]:
    rows = model._base_manager.using(alias).filter(uuid__in=set(uuids))
    return {str(uuid): pk for uuid, pk in rows.values_list("uuid", "pk")}


def _remove(batch: list[Line], alias: str) -> int:
    """Remove rows that are gone, and what hangs on them, whatever the order they are named in."""
    wanted: dict[str, list[UUID]] = {}
    for line in batch:
        wanted.setdefault(line["table"], []).append(UUID(line["row"]))
    removed = 0
    for table in reversed(TABLES):
        rows = TABLES[table]._base_manager.using(alias).filter(uuid__in=wanted.get(table, ()))
        removed += rows.count()
        rows.delete()
    return removed
