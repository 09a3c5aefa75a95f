"""Search as anybody would write it who has all texts in the clear."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from chathistory import policy, records
from chathistory.models import Message, Session
from chathistory.search.query import parse
from chathistory.search.tokens import fold, forms, query_forms, words
from chathistory.search.tree import And, Filter, Node, Not, Or, Term


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
        have: set[str] = set().union(*map(forms, there)) if there else set()
        if term.prefix:
            return any(form.startswith(fold(wanted[0])) for form in have)
        return all(query_forms(word) <= have for word in wanted)
    folded, wanted = [fold(word) for word in there], [fold(word) for word in wanted]
    runs = range(len(folded) - len(wanted) + 1)
    if term.prefix:
        *first, last = wanted
        ends = (folded[at : at + len(wanted)] for at in runs)
        return any(run[:-1] == first and run[-1].startswith(last) for run in ends)
    return any(folded[at : at + len(wanted)] == wanted for at in runs)


def matches(user: Any, row: Message, text: str, tree: Node) -> bool:
    """Tell whether a message is what the tree asks for."""
    if isinstance(tree, Not):
        return not matches(user, row, text, tree.part)
    if isinstance(tree, And | Or):
        each = [matches(user, row, text, one) for one in tree.parts]
        return all(each) if isinstance(tree, And) else any(each)
    return holds(text, tree) if isinstance(tree, Term) else fact(user, row, text, tree)


def fact(user: Any, row: Message, text: str, one: Filter) -> bool:
    """Tell whether a filter lets a message through."""
    mine = row.session.account.user_id == user.pk
    said = timezone.localtime(row.created_at)
    facts = {
        "role": lambda: row.role == one.value,
        "workflow": lambda: row.session.workflow == one.value,
        "state": lambda: row.session.state == one.value,
        "session": lambda: str(row.session.uuid) == one.value,
        "tag": lambda: mine and one.value.casefold() in map(str.casefold, tags(row.session)),
        "is": lambda: mine and row.session.pinned if one.value == "pinned" else shared(mine, row),
        "has": lambda: {"code": "```", "link": "://"}[one.value] in text,
        "meta": lambda: records.metadata_of(row.session).get(one.key) == one.value,
        "on": lambda: f"{said:%Y-%m-%d}".startswith(one.value),
        "after": lambda: said >= begin(one.value),
        "before": lambda: said < begin(one.value),
    }
    return bool(facts[one.name]())


def begin(value: str) -> datetime:
    """Return when a year, month or day begins."""
    full = (value + "-01-01")[:10]
    return timezone.make_aware(datetime.fromisoformat(full))


def tags(session: Session) -> list[str]:
    """Return the names of a session's tags."""
    return [records.tag_name(tag, session.account) for tag in session.tags.all()]


def shared(mine: bool, row: Message) -> bool:
    """Tell whether more people than its owner may read a session."""
    now = timezone.now()
    live = (one for one in row.session.shares.all() if not one.expires_at or one.expires_at > now)
    return not mine or any(one.verbs & policy.VERBS["read"] for one in live)


def found(user: Any, query: str) -> list[Any]:
    """Return the uuids of what a query finds, newest first."""
    tree = parse(query)
    return [row.uuid for row, text in opened(user) if matches(user, row, text, tree)]
