"""Making the search index anew beside the one in use, and keeping the one in use in order.

A re-index goes in short transactions, each of one account under its lock, so that whoever writes
hardly waits; rows themselves say which are still to be brought over. Killed anywhere, another run
goes on from there. What is found meanwhile is found in the index that is in use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from django.db.models import F, Q
from django.utils.translation import gettext as _

from chathistory import leases, records, registry
from chathistory.journal import Operation
from chathistory.models import Account, Job, Message, Session
from chathistory.querysets import MessageQuerySet, SessionQuerySet
from chathistory.search import upkeep
from chathistory.search.base import Doc, index

from . import accounts, jobs, working

KIND = "reindex"
OP = "index.fill"
_MESSAGES, _SESSIONS = 200, 50  # of one transaction
_NEWEST = 1_000  # messages looked at for any that were left out

Step = Callable[..., None]
#: How many messages and titles were brought, do not open, and have moved meanwhile.
Tally = Counter[str]


def queue() -> Job | None:
    """Queue a re-index where one is due, unless it waits or is at work: then return None.

    It is due where the index is of another version, or one was begun beside it; never where
    nothing of it is at rest.
    """
    if not index().at_rest:
        return None
    account = accounts.system()
    with Operation(account, account, "index.queue"):
        known = index().generations
        if known.is_current and known.building is None:
            return None
        open_ = Job.objects.filter(account=account, kind=KIND, state__in=working.OPEN)
        return None if open_.exists() else jobs.enqueue(account, KIND, {})


@registry.job(KIND)
def reindex(work: registry.Work) -> dict[str, int]:
    """Fill a new index beside the one in use, or the one that was begun, and take it into use.

    Returns how many ``messages`` and ``titles`` this run brought, and how many are ``closed``:
    those do not open. Where nothing is at rest, nothing is done. Raises Conflict while another
    does it.
    """
    if not index().at_rest:
        return _told(Tally())
    with leases.held(KIND, _("The index is being made anew already.")) as hold:
        index().drop(lambda: work.step(0))
        index().begin()
        tally = _bring(work.step)
        hold.sure()
        index().switch()
    return _told(tally)


def run(step: Step = lambda done, total=None: None, *, user: Any = None) -> dict[str, int]:
    """Make the index anew now, or put in again what is one person's; ``step`` is told how far.

    Returns what ``reindex`` does. Raises Conflict while another does it, NotAllowed.
    """
    account = accounts.system() if user is None else accounts.of(user)
    here = _Here(account, step)
    work = (lambda: reindex(here)) if user is None else (lambda: _again(account, step))
    job = jobs.run(account, KIND, {}, work)
    told: dict[str, int] = records.open_job(job, "result")["result"]
    return told


@registry.job("index")
def tend(work: registry.Work) -> dict[str, Any]:
    """Keep the index in order: merge it, bring in what was left out, and see whether it is due.

    Merging here is merging that nobody waits for who writes.
    """
    queued = queue() is not None
    tally = _bring(work.step) if not queued and _lags() else Tally()
    index().drop(lambda: work.step(0))
    index().tend(lambda: work.step(0))
    return _told(tally) | {"queued": queued}


registry.beat("index", 300, "Merge the search index, and make it anew where that is due")


class _Here:
    """Work of the moment, without a row to note its progress in."""

    def __init__(self, account: Account, step: Step) -> None:
        self.account = account
        self.arguments: dict[str, Any] = {}
        self.step = step


def _told(tally: Tally) -> dict[str, int]:
    return {name: tally[name] for name in ("messages", "titles", "closed")}


def _lags() -> bool:
    """Tell whether any of the newest messages, or any title, was left out."""
    known = index().generations
    if known.building is not None or not index().at_rest:
        return False
    newest = Message.objects.order_by("-pk")[:_NEWEST].values("pk")
    return _left_out(known.newest).filter(
        pk__in=list(newest.values_list("pk", flat=True))
    ).exists() or (_untitled(known.newest).exists())


def _left_out(number: int) -> MessageQuerySet:
    return Message.objects.filter(indexed__lt=number, deleted_at=None, revision__gt=0)


def _untitled(number: int) -> SessionQuerySet:
    """Return the sessions that are not in, or with their title alone though there is more."""
    more = Q(title__isnull=False) | Q(metadata__isnull=False)
    alone = Q(alone=1, metadata__isnull=False, damaged=0)
    rows = Session.objects.filter(more).alias(alone=F("indexed") % 2)
    return rows.filter(Q(indexed__lt=2 * number - 1) | alone)


def _bring(step: Step) -> Tally:
    """Put everything into every index that it is not in, until nothing is left that opens."""
    number, tally = index().generations.newest, Tally()
    while True:
        tally["closed"] = tally["moved"] = 0
        last = Message.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        for rows in _parts(_left_out(number).select_related("session__account"), _MESSAGES):
            tally.update(_put_messages(rows))
            step(rows[-1].pk, last)
        for sessions in _parts(_untitled(number).select_related("account"), _SESSIONS):
            tally.update(_put_titles(sessions, number))
            step(last, last)
        if not tally["moved"]:
            return tally


def _again(account: Account, step: Step) -> dict[str, int]:
    """Take out and put in again what is one person's, in the index that is in use."""
    tally, done = Tally(), 0
    if not index().at_rest:
        return _told(tally)
    said = Message.objects.filter(account=account, deleted_at=None, revision__gt=0)
    named = Session.objects.filter(account=account).select_related("account")
    for rows in _parts(said.select_related("session__account"), _MESSAGES):
        tally.update(_put_messages(rows, again=True))
        step(done := done + len(rows))
    for sessions in _parts(named, _SESSIONS):
        tally.update(_put_titles(sessions, None))
        step(done := done + len(sessions))
    return _told(tally)


def _parts(rows: Any, size: int) -> Iterator[list[Any]]:
    """Yield rows by their keys, some of one account at a time."""
    last = 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk")[:size]):
        last = batch[-1].pk
        for _account, some in groupby(batch, key=lambda row: row.account_id):
            yield list(some)


def _put_messages(rows: Sequence[Message], *, again: bool = False) -> Tally:
    docs, closed = upkeep.cut(rows)
    tally = Tally(closed=len(closed))
    with Operation(rows[0].session.account, None, OP):
        now = Message.objects.filter(pk__in=[row.pk for row in rows])
        known = set(now.values_list("pk", "changed", "indexed"))
        ready = [(row, doc) for row, doc in docs if (row.pk, row.changed, row.indexed) in known]
        put = [doc for _row, doc in ready]
        if again:
            index().remove(put)
        index().add([doc._replace(generation=None) for doc in put] if again else put)
        upkeep.note([row for row, _doc in ready], upkeep.number())
    tally.update(messages=len(ready), moved=len(docs) - len(ready))
    return tally


def _put_titles(sessions: Sequence[Session], number: int | None) -> Tally:
    """Put titles in anew, those that are still left out of an index, or all of them."""
    tally = Tally()
    with Operation(sessions[0].account, None, OP) as op:
        rows = Session.objects.filter(pk__in=[session.pk for session in sessions])
        for row in rows if number is None else _untitled(number) & rows:
            row.account = op.account
            if upkeep.is_titled(row):
                tally["titles" if _put_title(row) else "closed"] += 1
    return tally


def _put_title(row: Session) -> bool:
    """Take a title out and put it in again, with the texts in the metadata if they open."""
    held = _held(row)
    was, newest = row.indexed, upkeep.number(titles=True)
    if held is None and was >= newest - 1:
        return False
    for number in (newest, newest - 1):
        row.indexed = number
        tokens = _title_tokens(row)
        if tokens is None or number == was == newest - 1:  # it is there, and no more opens
            continue
        index().remove(held or [], titles=True)
        index().add([Doc(row.pk, tokens, None if held else (was + 1) // 2)], titles=True)
        upkeep.note([row], number)
        return True
    return False


def _held(row: Session) -> list[Doc] | None:
    """Return what is to be taken out; None where that does not open, and stays where it is."""
    tokens = _title_tokens(row)
    return None if tokens is None else [upkeep.doc(row, tokens)]


def _title_tokens(row: Session) -> str | None:
    tokens: str | None = records.or_damaged(upkeep.title_tokens, row)
    return tokens
