"""Filters as conditions on rows: they stand in the same SQL as the gate and only ever narrow.

No condition here adds a row: each is joined to the gate by AND. Of what columns cannot tell, words
and sealed facts, nothing is assumed, so that a condition lets through too much, never too little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import and_, or_
from typing import Any

from django.db.models import F, Q
from django.utils import timezone

from chathistory import ids, policy, records
from chathistory.models import Account, Session, Share, Tag

from .matcher import SEALED, in_columns
from .tree import TITLES, And, Filter, Node, Not, Or, Term

_OF_MESSAGES = ("role", "before", "after", "on")
#: The last of all places.
LAST = 2**63 - 1
_ALL = (0, LAST)
#: Milliseconds by which a million messages of one moment run over into the places of later ones.
_SLACK = 4_200_000


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose pins and tags are meant: the accounts that are the asker's own."""

    accounts: Sequence[Account]

    def on_session(self, one: Filter, at: str = "") -> Q | None:
        """Return the condition on a session, from ``at`` on; None where a column cannot tell.

        Of a session, dates tell when it was going on; roles, code and links only messages have.
        """
        if one.name in _OF_MESSAGES[1:]:
            return _while(one)
        if one.name in ("role", "has"):
            return Q(pk__in=())
        if one.name in SEALED or one == TITLES:
            return None
        return self._by_session(one, at)

    def on_message(self, one: Filter) -> Q | None:
        """Return the condition on a message; None where a column cannot tell."""
        if one.name == "role":
            return Q(role=one.value)
        if one.name in _OF_MESSAGES:
            return _said(one)
        if one.name in SEALED or one == TITLES:
            return None
        return self._by_session(one, "session__")

    def _by_session(self, one: Filter, at: str) -> Q:
        if one.name == "tag":
            return Q(**{f"{at}pk__in": self._tagged(one.value)})
        if one.value == "pinned":
            return Q(**{f"{at}pinned": True, f"{at}account__in": list(self.accounts)})
        if one.value == "shared":
            mine = Q(**{f"{at}account__in": list(self.accounts)})
            return ~mine | Q(**{f"{at}pk__in": _shared()})
        names = {"workflow": "workflow__iexact", "state": "state", "session": "uuid"}
        return Q(**{f"{at}{names[one.name]}": one.value})

    def _tagged(self, name: str) -> Any:
        digests = [(row.pk, records.tag_digest(row, name)) for row in self.accounts]
        tags = _any(Q(account=pk, digest=digest) for pk, digest in digests)
        return Session.tags.through.objects.filter(tag__in=Tag.objects.filter(tags)).values(
            "session"
        )


def of_sessions(tree: Node) -> bool:
    """Tell whether columns of the session alone say all that the tree asks."""
    if isinstance(tree, And | Or):
        return all(map(of_sessions, tree.parts))
    if isinstance(tree, Not):
        return of_sessions(tree.part)
    return isinstance(tree, Filter) and in_columns(tree) and tree.name not in _OF_MESSAGES


def condition(tree: Node, read: Callable[[Filter], Q | None]) -> Q | None:
    """Return what is true of every row that the tree finds, as far as columns tell."""
    if isinstance(tree, Term):
        return None
    if isinstance(tree, Filter):
        return read(tree)
    if isinstance(tree, Not):
        inner = condition(tree.part, read) if in_columns(tree) else None
        return None if inner is None else ~inner
    found = [condition(one, read) for one in tree.parts]
    known = [one for one in found if one is not None]
    if isinstance(tree, Or):
        return _any(known) if len(known) == len(found) else None
    return reduce(and_, known) if known else None


def span(tree: Node) -> tuple[int, int]:
    """Return the first and the last place at which anything that the tree finds can stand."""
    if isinstance(tree, Filter):
        return _places(tree)
    if isinstance(tree, Not):
        return _places(_opposite(tree.part)) if isinstance(tree.part, Filter) else _ALL
    if not isinstance(tree, And | Or) or not tree.parts:
        return _ALL
    firsts, lasts = zip(*map(span, tree.parts), strict=True)
    return (max(firsts), min(lasts)) if isinstance(tree, And) else (min(firsts), max(lasts))


def _opposite(one: Filter) -> Filter:
    """Return what a negated date says; of a day nothing, for there are two sides to it."""
    names = {"before": "after", "after": "before"}
    return Filter(names.get(one.name, ""), one.value)


def _places(one: Filter) -> tuple[int, int]:
    """Return the places of what a date lets through: exact below, a little more above."""
    if one.name not in _OF_MESSAGES[1:]:
        return _ALL
    start, end = map(ids.milliseconds, _span(one.value))
    first = 0 if one.name == "before" else ids.place(start)
    if one.name == "after":
        return first, LAST
    return first, ids.place((start if one.name == "before" else end) + _SLACK)


def _any(conditions: Any) -> Q:
    return reduce(or_, conditions, Q(pk__in=()))


def _shared() -> Any:
    """Return the sessions that somebody besides their owner may read at this moment."""
    live = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    allowed = F("verbs").bitand(policy.VERBS["read"])
    return Share.objects.filter(live).alias(read=allowed).filter(read__gt=0).values("session")


def _said(one: Filter) -> Q:
    start, end = _span(one.value)
    if one.name == "before":
        return Q(created_at__lt=start)
    return Q(created_at__gte=start) & (Q() if one.name == "after" else Q(created_at__lt=end))


def _while(one: Filter) -> Q:
    start, end = _span(one.value)
    if one.name == "before":
        return Q(created_at__lt=start)
    return Q(last_activity__gte=start) & (Q() if one.name == "after" else Q(created_at__lt=end))


def _span(value: str) -> tuple[datetime, datetime]:
    """Return when a year, month or day begins and when the next one does, in the site's zone."""
    year, month, day = (*map(int, value.split("-")), 0, 0)[:3]
    start = _moment(year, month or 1, day or 1)
    if day:
        return start, _moment(*_day_after(year, month, day))
    return start, _moment(year + (month or 12) // 12, month % 12 + 1 if month else 1, 1)


def _day_after(year: int, month: int, day: int) -> tuple[int, int, int]:
    try:
        following = datetime.fromordinal(datetime(year, month, day).toordinal() + 1)
    except ValueError:
        return 10_000, 1, 1
    return following.year, following.month, following.day


def _moment(year: int, month: int, day: int) -> datetime:
    if year > 9999:
        return datetime.max.replace(tzinfo=UTC)
    try:
        return timezone.make_aware(datetime(year, month, day)).astimezone(UTC)
    except OverflowError:  # at the ends of what a date can be
        return datetime(year, month, day, tzinfo=UTC)
