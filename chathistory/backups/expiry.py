"""Grandfather, father, son: which backups to keep. A pure function of times."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from chathistory.exceptions import Invalid

Point = TypeVar("Point", bound=Hashable)

#: Which of its periods a time is in.
PERIODS: dict[str, Callable[[datetime], Hashable]] = {
    "hourly": lambda at: (at.date(), at.hour),
    "daily": lambda at: at.date(),
    "weekly": lambda at: at.isocalendar()[:2],
    "monthly": lambda at: (at.year, at.month),
}


def check(policy: Mapping[str, int]) -> None:
    """Raise Invalid for a policy that is none, or that would keep nothing."""
    if not isinstance(policy, Mapping) or policy.keys() - PERIODS:
        raise Invalid(f"Backups are kept by: {', '.join(PERIODS)}.", field="BACKUP_KEEP")
    if any(type(count) is not int or count < 0 for count in policy.values()):
        raise Invalid("How many to keep is a whole number from 0.", field="BACKUP_KEEP")
    if not any(policy.values()):
        raise Invalid("A policy that keeps no backup is refused.", field="BACKUP_KEEP")


def kept(points: Iterable[tuple[datetime, Point]], policy: Mapping[str, int]) -> set[Point]:
    """Return the newest point of each of the last so many periods that have any.

    Times are aware and in UTC. Raises Invalid.
    """
    check(policy)
    newest_first = sorted(points, key=lambda one: one[0], reverse=True)
    found: set[Point] = set()
    for name, count in policy.items():
        last: dict[Hashable, Point] = {}
        for at, point in newest_first:
            last.setdefault(PERIODS[name](at), point)
        found |= set(list(last.values())[:count])
    return found
