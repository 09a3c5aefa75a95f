"""Keeping the vocabularies of those who use theirs: complete, and free of what is said no more.

A search makes a vocabulary and reads a little into it; here the rest is read, and words are taken
out whose last text was changed or removed. It is all derived, so the journal has none of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from django.db.models import F, QuerySet

from chathistory import registry
from chathistory.exceptions import Damaged
from chathistory.models import Account, Session, Vocabulary
from chathistory.search import learned


def clean(accounts: QuerySet[Account], step: Callable[[], None]) -> int:
    """Take out of their vocabularies what these people's texts say no more.

    Return how many could not be cleaned, for somebody wrote all the time; the next run does them.
    ``step`` is called now and then.
    """
    left = 0
    moved = accounts.filter(erased_at=None, seq__gt=F("vocabulary__checked"))
    for account in list(moved.order_by("pk")):
        try:
            left += not learned.clean(account, step)
        except Damaged:  # its keys are gone; what they sealed opens for nobody
            Vocabulary.objects.filter(account=account).delete()
    return left


def of_sessions(uuids: list[Any]) -> QuerySet[Account]:
    """Return the accounts that own these sessions."""
    owners = Session.objects.filter(uuid__in=uuids).values("account")
    return Account.objects.filter(pk__in=owners)


@registry.job("vocabulary")
def _fill(work: registry.Work) -> dict[str, Any]:
    """Complete the vocabularies in which more is missing than a search reads at once."""
    behind = Account.objects.filter(
        erased_at=None, seq__gt=F("vocabulary__mark") + learned.REFRESH
    ).order_by("pk")
    done = Counter[bool]()
    for account in list(behind):
        try:
            done[learned.finish(account, lambda: work.step(done.total()))] += 1
        except Damaged:
            Vocabulary.objects.filter(account=account).delete()
    return {"complete": done[True], "left": done[False]}


registry.beat("vocabulary", 120, "Read on for searches by the beginning of a word")
