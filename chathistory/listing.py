"""Lists of sessions: two keyset branches, mine and shared to me, merged; no OFFSET, no OR."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from typing import Any, cast

from django.utils import timezone

from . import bulk
from .exceptions import Invalid
from .models import Session
from .querysets import SessionQuerySet
from .states import State

Narrow = Callable[[SessionQuerySet], SessionQuerySet]

#: What each order sorts by, newest first; the index of the same columns serves it.
ORDERS: dict[str, tuple[str, ...]] = {
    "shown": ("pinned", "last_activity", "id"),
    "updated": ("updated_at", "id"),
}
MAX_LIMIT = 100
#: Numbered pages count and reach this far; cursors reach everything.
COUNTED = 10_001


@dataclass(slots=True)
class Page:
    """Sessions with their accounts, and the cursor of what follows."""

    sessions: list[Session]
    cursor: str | None


def page(
    user: Any,
    *,
    limit: int = 20,
    cursor: str | None = None,
    narrow: Narrow | None = None,
    order: str = "updated",
) -> Page:
    """Return the next sessions that ``user`` may read, without the trash unless narrowed to it.

    Raises Invalid for a limit, cursor or order that cannot be used.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid(f"From 1 to {MAX_LIMIT}.", field="limit")
    after = _after(cursor, order)
    found = [list(branch[: limit + 1]) for branch in _branches(user, narrow, order, after)]
    rows = list(islice(_merged(found, order), limit + 1))
    more = cursor_after(rows[limit - 1], order) if len(rows) > limit else None
    return Page(rows[:limit], more)


def numbered(
    user: Any, *, number: int, size: int, narrow: Narrow | None = None, order: str = "updated"
) -> tuple[list[Session], int]:
    """Return page ``number`` (from 1) and how many sessions there are, counted to 10,001."""
    if number < 1 or number * size > COUNTED + size:
        raise Invalid("Pages reach 10,000 sessions deep; follow next_cursor.", field="page")
    branches = _branches(user, narrow, order, None)
    total = min(sum(branch[:COUNTED].count() for branch in branches), COUNTED)
    start, end = (number - 1) * size, number * size
    keys = [_keys(branch, order)[:end] for branch in branches]
    wanted = [key[-1] for key in islice(merge(*keys, reverse=True), start, end)]
    rows = Session.objects.select_related("account__user").in_bulk(wanted)
    return [rows[pk] for pk in wanted if pk in rows], total


def _keys(branch: SessionQuerySet, order: str) -> Any:
    return branch.values_list(*ORDERS[order])


def _branches(
    user: Any, narrow: Narrow | None, order: str, after: list[Any] | None
) -> list[SessionQuerySet]:
    mine = Session.objects.mine(user)
    branches = [mine, Session.objects.shared_with(user, "read")]
    return [_branch(branch, narrow, order, after) for branch in branches]


def _branch(
    branch: SessionQuerySet, narrow: Narrow | None, order: str, after: list[Any] | None
) -> SessionQuerySet:
    branch = narrow(branch) if narrow else branch.exclude(state=State.DELETED)
    columns = ORDERS[order]
    if after is not None:
        table = Session._meta.db_table
        names = ", ".join(f"{table}.{column}" for column in columns)
        marks = ", ".join(["%s"] * len(columns))
        row_value = f"({names}) < ({marks})"
        after_it = branch.extra(where=[row_value], params=after)  # noqa: S610  (constants and marks)
        branch = cast("SessionQuerySet", after_it)
    return branch.select_related("account__user").order_by(*[f"-{column}" for column in columns])


def _merged(found: Iterable[list[Session]], order: str) -> Iterable[Session]:
    return merge(*found, key=lambda row: _values(row, order), reverse=True)


def _values(row: Session, order: str) -> tuple[Any, ...]:
    return tuple(getattr(row, column) for column in ORDERS[order])


def cursor_after(row: Session, order: str) -> str:
    """Return the cursor of what follows ``row``."""
    values = [v.isoformat() if isinstance(v, datetime) else v for v in _values(row, order)]
    return urlsafe_b64encode(json.dumps([order, *values]).encode()).decode().rstrip("=")


def _after(cursor: str | None, order: str) -> list[Any] | None:
    if order not in ORDERS:
        raise Invalid(f"Unknown order; one of: {', '.join(ORDERS)}.", field="sort")
    if cursor is None:
        return None
    values: list[Any]
    try:
        given, *values = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        adapt = bulk.connection(Session).ops.adapt_datetimefield_value
        values[-2] = adapt(_moment(values[-2]))
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        given, values = None, []
    # A bool is an int to Python, but not to PostgreSQL.
    kinds = [type(value) for value in values[:-2] + values[-1:]]
    right = given == order and kinds == {"shown": [bool, int], "updated": [int]}[order]
    if not right or abs(values[-1]) >= 2**63:
        raise Invalid("Not a cursor that this list gave.", field="cursor")
    return values


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value)
    return (moment if timezone.is_aware(moment) else timezone.make_aware(moment)).astimezone(UTC)
