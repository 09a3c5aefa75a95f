"""Search as anybody would write it who has all texts in the clear."""

from __future__ import annotations

from typing import Any

from chathistory import records
from chathistory.models import Message, Session
from chathistory.search.query import Term, parse
from chathistory.search.tokens import fold, forms, query_forms, words


def opened(user: Any) -> list[tuple[Message, str]]:
    """Return every message ``user`` may read and its text, newest first."""
    gate = Session.objects.visible_to(user, "read").exclude(state="deleted")
    rows = Message.objects.filter(session__in=gate, deleted_at=None)
    rows = rows.select_related("session__account").order_by("-place", "-pk")
    return [(row, records.open_body(row, row.session).content) for row in rows]


def holds(text: str, term: Term) -> bool:
    """Tell whether a text has the words of one term, next to each other if it is a phrase."""
    there = words(text)
    wanted = list(term.words)
    if not term.phrase:
        have = set().union(*map(forms, there)) if there else set()
        return all(query_forms(word) <= have for word in wanted)
    folded, wanted = [fold(word) for word in there], [fold(word) for word in wanted]
    runs = range(len(folded) - len(wanted) + 1)
    return any(folded[at : at + len(wanted)] == wanted for at in runs)


def found(user: Any, query: str) -> list[Any]:
    """Return the uuids of what a query finds, newest first."""
    terms = parse(query)
    return [
        row.uuid
        for row, text in opened(user)
        if all(holds(text, term) != term.negated for term in terms)
    ]
