"""What becomes of sessions: archived and resumed by people, moved on by the site itself.

Every move is one of the table in ``states``. The site's own run selects what is due as a set, and
moves it in short transactions with pauses between: whoever writes meanwhile hardly waits.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from django.db import transaction
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from chathistory import bulk, ids, keyring, records, registry, states, text
from chathistory.exceptions import Conflict, Damaged, Invalid, MasterKeyError, NotAllowed, NotFound
from chathistory.journal import Operation
from chathistory.models import Account, Change, Job, Session
from chathistory.querysets import SessionQuerySet, require
from chathistory.states import State

from . import accounts, jobs, retention, working
from .pipeline import alive, lock, touch

#: What a run does, the furthest first: what is due for the trash is not archived before, and
#: what is due for the archive is not made idle before. Each session moves once.
ORDER = ("delete", "archive", "idle")
#: The columns that each move changes.
MOVES = {
    "idle": ("state",),
    "archive": ("state", "archived_at"),
    "wake": ("state", "archived_at", "last_activity"),
    "delete": ("state", "deleted_at", "purge_after"),
    "restore": ("state", "deleted_at", "purge_after", "last_activity"),
}
HOLD = "chathistory.change_session"

_Moved = tuple[dict[str, Any], Sequence[str]]  # what it replaced, and the columns to save
_Change = Callable[[Session, datetime], _Moved | None]
_READ = (
    *("uuid", "account", "key_version", "version"),
    *("state", "archived_at", "deleted_at", "purge_after", "last_activity"),
)
_CHUNK = 10_000  # sessions selected at a time
_SESSIONS, _ACCOUNTS = 100, 20  # of one transaction
_REST = 2  # a pause is so many times as long as the transaction before
_REASON = 500
#: What changes only how a session is stored.
_PHYSICAL = ("session.pack", "session.unpack")


class _Due(NamedTuple):
    """What a session is known by before it is locked."""

    account: int
    pk: int
    uuid: UUID
    key_version: int


def archive(session: Session, user: Any, *, version: int | None = None) -> Session:
    """Put a session away until somebody resumes it; again does nothing.

    Raises NotFound, NotAllowed, Stale, or Conflict for one in the trash.
    """
    require(user, session, "own")
    return _shift(session, user, "archive", version)


def resume(session: Session, user: Any, *, version: int | None = None) -> Session:
    """Make an idle or archived session active; again does nothing. Errors are as for archive."""
    require(user, session, "write")
    return _shift(session, user, "wake", version)


def _shift(session: Session, user: Any, verb: str, version: int | None) -> Session:
    with Operation(session.account, _actor(user), f"session.{verb}") as op:
        fresh = alive(lock(op, session, version=version))
        if states.after(verb, fresh.state) is not None:
            before, columns = move(fresh, verb, op.at)
            touch(op, fresh, before, *columns)
    return fresh


def move(session: Session, verb: str, at: datetime, keep: timedelta | None = None) -> _Moved:
    """Move a session that ``verb`` may move, not yet saved; ``keep`` is how long the trash does.

    What a person takes out of trash or archive counts as used: else it would go back at once.
    """
    columns = MOVES[verb]
    before = {column: _plain(getattr(session, column)) for column in columns}
    session.state = states.TRANSITIONS[verb][session.state]
    if verb == "restore" and session.archived_at is not None:
        session.state = State.ARCHIVED
    if "archived_at" in columns:
        session.archived_at = at if verb == "archive" else None
    if "deleted_at" in columns:
        session.deleted_at = at if verb == "delete" else None
        session.purge_after = at + keep if verb == "delete" and keep else None
    if "last_activity" in columns:
        session.last_activity = at
    return before, columns


def hold(session: Session, user: Any, on: bool, reason: str) -> Session:
    """Keep the site from deleting and purging a session, or let it go; again does nothing.

    For staff who may change sessions, whoever owns it; the reason is kept in the journal. Raises
    NotFound, NotAllowed, Invalid, LimitExceeded, or Conflict for a session that is gone.
    """
    if user is not None and not _is_staff(user, HOLD):
        require(user, session, "read")
        raise NotAllowed(_("Only staff who may change sessions hold them."))
    if not isinstance(on, bool):
        raise Invalid(_("Either true or false."), field="on")
    reason = text.clean(reason, field="reason")
    text.check_length(_("Characters of a reason"), len(reason), _REASON, "reason")
    with Operation(session.account, _actor(user), "session.hold") as op:
        fresh = lock(op, session)
        if fresh.hold != on:
            before = {"hold": fresh.hold, "reason": reason}
            fresh.hold = on
            touch(op, fresh, before, "hold")
    return fresh


# The site's own run


class Run(registry.Work, Protocol):
    """A job in hand."""

    @property
    def uuid(self) -> UUID:
        """Return the operation of all Changes that the job makes, however often it is begun."""


@registry.job("lifecycle")
def sweep(work: Run) -> dict[str, Any]:
    """Move every session that is due, and tell how many of each verb.

    What a policy would move to the trash is left when that is every live session of its scope and
    nobody has said yes. A session whose keys are gone is left too, and counted.
    """
    now = timezone.now()
    refused = retention.refuse(now)
    counts: Counter[str] = Counter()
    for verb in ORDER:
        for rows in retention.due(verb, now, refused):
            for batch in _batches(rows):
                work.step(counts.total())
                counts += _move_batch(rows, batch, verb, work.uuid)
    return {
        **{verb: counts[verb] for verb in ORDER},
        "damaged": counts["damaged"],
        "refused": [str(policy.uuid) for policy in refused],
    }


registry.beat("lifecycle", 60, "Idle and archive sessions, and move old ones to the trash")


@dataclass(slots=True)
class _Here:
    """Work in this process, for the site itself."""

    account: Account
    step: Callable[..., None]
    arguments: dict[str, Any] = field(default_factory=dict)
    uuid: UUID = field(default_factory=ids.new_id)


def run(step: Callable[..., None] = lambda done, total=None: None) -> Job:
    """Move now what the next run would; ``step(done)`` is told how far. Returns the record."""
    here = _Here(accounts.system(), step)
    return jobs.run(here.account, "lifecycle", {}, lambda: sweep(here), uuid=here.uuid)


def preview() -> Iterator[tuple[str, Session]]:
    """Yield each session that a run would move now, with its owner, and the verb before it."""
    now = timezone.now()
    refused, seen = retention.refusals(now), set[int]()
    for verb in ORDER:
        for rows in retention.due(verb, now, refused):
            for chunk in _chunks(rows):
                wanted = [one.pk for one in chunk if one.pk not in seen]
                found = Session.objects.select_related("account__user").in_bulk(wanted)
                seen.update(found)
                yield from ((verb, found[pk]) for pk in wanted if pk in found)


def _move_batch(
    rows: SessionQuerySet, batch: Sequence[_Due], verb: str, operation: UUID
) -> Counter[str]:
    keep: dict[int, timedelta | None] = {}
    if verb == "delete":
        found = list(Session.objects.filter(pk__in=[one.pk for one in batch]))
        terms = retention.effective_all(found)
        keep = {row.pk: term.trash_for for row, term in zip(found, terms, strict=True)}

    def change(session: Session, at: datetime) -> _Moved:
        return move(session, verb, at, keep.get(session.pk))

    counts = _apply(rows, batch, change, f"session.{verb}", None, operation)
    return Counter({verb: counts["done"], "damaged": counts["damaged"]})


def undo(user: Any, run: UUID, *, yes: bool = False) -> dict[str, int]:
    """Take back what a run, named by its job, did to sessions that have not changed since.

    Packing is no change; what was purged stays gone. Returns how many by verb, and how many are
    ``damaged``: their keys, or what they were before, cannot be read. Again does nothing.

    Raises NotAllowed, NotFound, or Conflict where the policies would move sessions again at once
    and nobody said ``yes``.
    """
    if user is not None and not _is_staff(user, retention.PERMISSION):
        raise NotAllowed(_("Only staff who may change retention policies undo a run."))
    _require_ended(run)
    now = timezone.now()
    left = {verb: _as_left(run, verb) for verb in ORDER}
    due = 0 if yes else sum(retention.again(verb, now, rows) for verb, rows in left.items())
    if due:
        message = _(
            "The next run would move %s of these again. Change the policy first, or say yes."
        )
        raise Conflict(message % f"{due:,}", sessions=due)
    counts: Counter[str] = Counter()
    for verb, rows in left.items():
        for batch in _batches(rows):
            found = _apply(rows, batch, _taken_back(run, batch), "session.undo", _actor(user))
            counts += Counter({verb: found["done"], "damaged": found["damaged"]})
    return {verb: counts[verb] for verb in (*ORDER, "damaged")}


def _require_ended(run: UUID) -> None:
    job = Job.objects.filter(uuid=run, kind="lifecycle").first()
    if job is None:
        raise NotFound(_("There is no such run."))
    if job.state in working.OPEN:
        raise Conflict(_("This run has not ended yet."), state=job.state)


def _as_left(operation: UUID, verb: str) -> SessionQuerySet:
    """Return the sessions that are as ``verb`` in this run has left them."""
    newest = _kept(OuterRef("uuid")).exclude(op__in=_PHYSICAL).order_by("-seq")
    rows = Session.objects.filter(
        state__in=set(states.TRANSITIONS[verb].values()), purging_at__isnull=True
    )
    return rows.annotate(
        last_operation=Subquery(newest.values("operation")[:1]),
        last_op=Subquery(newest.values("op")[:1]),
    ).filter(last_operation=operation, last_op=f"session.{verb}")


def _kept(session: Any) -> Any:
    """Return the Changes of session rows that still say what was before."""
    return Change.objects.filter(session=session, table="session", before__isnull=False)


def _taken_back(operation: UUID, batch: Sequence[_Due]) -> _Change:
    changes = Change.objects.filter(
        session__in=[one.uuid for one in batch], table="session", operation=operation
    ).order_by("seq")
    by_session = {change.session: change for change in changes}

    def change(session: Session, _at: datetime) -> _Moved | None:
        try:
            old = records.open_before(by_session[session.uuid], session)
        except Damaged:
            return None
        before = {column: _plain(getattr(session, column)) for column in old}
        for column, value in old.items():
            setattr(session, column, value if column == "state" else parse_datetime(value))
        return before, list(old)

    return change


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value or "")


# Many sessions


def _chunks(rows: SessionQuerySet) -> Iterator[list[_Due]]:
    """Yield what is due by account, each part selected anew."""
    ordered = rows.order_by("account_id", "pk")
    part = ordered
    while True:
        found = list(part.values_list("account_id", "pk", "uuid", "key_version")[:_CHUNK])
        yield [_Due(*row) for row in found]
        if len(found) < _CHUNK:
            return
        account, pk, *_rest = found[-1]
        part = ordered.filter(Q(account__gt=account) | Q(account=account, pk__gt=pk))


def _batches(rows: SessionQuerySet) -> Iterator[list[_Due]]:
    """Yield what goes into one transaction each."""
    for chunk in _chunks(rows):
        batch: list[_Due] = []
        holders: set[int] = set()
        for one in chunk:
            if len(batch) == _SESSIONS or len(holders | {one.account}) > _ACCOUNTS:
                yield batch
                batch, holders = [], set()
            batch.append(one)
            holders.add(one.account)
        if batch:
            yield batch


def _apply(
    rows: SessionQuerySet,
    batch: Sequence[_Due],
    change: _Change,
    op: str,
    actor: Account | None,
    operation: UUID | None = None,
) -> Counter[str]:
    """Change what of a batch is still among ``rows``, in one transaction, and rest after it."""
    holders = Account.objects.in_bulk({one.account for one in batch})
    ready = _with_keys(batch, holders)
    counts = Counter(damaged=len(batch) - len(ready))
    begun = time.perf_counter()
    with transaction.atomic(using=bulk.connection(Session).alias):
        for pk, part in groupby(ready, key=lambda one: one.account):
            locked = rows.filter(pk__in=[one.pk for one in part]).only(*_READ)
            with Operation(holders[pk], actor, op, operation) as opened:
                counts += _change_all(opened, locked, change)
    time.sleep(min(_REST * (time.perf_counter() - begun), 1))
    return counts


def _change_all(op: Operation, rows: SessionQuerySet, change: _Change) -> Counter[str]:
    counts: Counter[str] = Counter()
    saved: dict[tuple[str, ...], list[Session]] = {}
    for session in rows:
        session.account = op.account
        moved = change(session, op.at)
        if moved is None:
            counts["damaged"] += 1
            continue
        before, columns = moved
        session.version += 1
        session.changed = op.record("session", session.uuid, session=session, before=before)
        saved.setdefault(tuple(columns), []).append(session)
    for columns, some in saved.items():
        bulk.update_all(some, [*columns, "version", "changed"])
        counts["done"] += len(some)
    return counts


def _with_keys(batch: Sequence[_Due], holders: dict[int, Account]) -> list[_Due]:
    """Return those whose session key opens, and is now at hand."""
    found: list[_Due] = []
    for pk, part in groupby(batch, key=lambda one: one.account):
        account, mine = holders.get(pk), list(part)
        if account is None:
            continue
        with suppress(Damaged, MasterKeyError):
            keyring.load_sessions(account, [(one.pk, one.uuid) for one in mine])
        found += [one for one in mine if _has_key(account, one)]
    return found


def _has_key(account: Account, one: _Due) -> bool:
    try:
        keyring.key_of(account, one.pk, one.uuid, one.key_version)
    except (Damaged, MasterKeyError):
        return False
    return True


def _is_staff(user: Any, permission: str) -> bool:
    return bool(user.is_active and user.is_staff and user.has_perm(permission))


def _actor(user: Any) -> Account | None:
    return None if user is None else accounts.of(user)
