"""What kinds of messages a query finds, counted among the newest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.utils import timezone

from chathistory import records
from chathistory.models import Message, Session, Tag

from .asked import Asked

#: Candidates looked at, the newest ones.
COUNTED = 1_000
NAMES = ("workflow", "month", "role", "tag")


@dataclass(slots=True)
class Facets:
    """How many of the messages found are of each kind; ``complete`` if all of them were counted.

    Months are ``2026-11``, in the site's zone; tags are the asker's own.
    """

    counted: int
    complete: bool
    workflow: Counter[str] = field(default_factory=Counter)
    month: Counter[str] = field(default_factory=Counter)
    role: Counter[str] = field(default_factory=Counter)
    tag: Counter[str] = field(default_factory=Counter)

    def values(self, name: str) -> list[tuple[str, int]]:
        """Return the values of one of ``NAMES`` and their counts: months newest, others most."""
        found: Counter[str] = getattr(self, name)
        if name == "month":
            return sorted(found.items(), reverse=True)
        return sorted(found.items(), key=lambda one: (-one[1], one[0]))


def count(asked: Asked) -> Facets:
    """Count the kinds of what a query finds, whatever page of it is shown."""
    block = asked.candidates(None, COUNTED)
    found = [one.candidate.pk for one in asked.opened(block)]
    facets = Facets(len(found), len(block) < COUNTED)
    rows = Message.objects.filter(pk__in=found).values_list("session", "role", "created_at")
    sessions: Counter[int] = Counter()
    for session, role, created_at in rows:
        sessions[session] += 1
        facets.role[role] += 1
        facets.month[f"{timezone.localtime(created_at):%Y-%m}"] += 1
    named = Session.objects.filter(pk__in=sessions).values_list("pk", "workflow")
    facets.workflow = _summed(sessions, named)
    facets.tag = _summed(sessions, _tags(asked, sessions))
    return facets


def _tags(asked: Asked, sessions: Iterable[int]) -> list[tuple[int, str]]:
    own = {row.pk: row for row in asked.asker.accounts}
    held = Session.tags.through.objects.filter(session__in=list(sessions), tag__account__in=own)
    pairs = list(held.values_list("session", "tag"))
    tags = Tag.objects.in_bulk({tag for _session, tag in pairs})
    names = {
        pk: records.or_damaged(records.tag_name, tag, own[tag.account_id])
        for pk, tag in tags.items()
    }
    return [(session, names[tag]) for session, tag in pairs if names.get(tag)]


def _summed(counts: Counter[int], named: Iterable[Sequence[object]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for session, name in named:
        found[str(name)] += counts[int(str(session))]
    return found
