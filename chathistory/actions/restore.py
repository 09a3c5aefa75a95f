"""Point-in-time restore: of the whole site, of one account, or of one of its sessions.

Whatever is restored is first rebuilt beside the live data and proved there. A person's own data
then come back as new operations, which can be undone like any other; the whole site is written
over, after a backup of what it was. Nothing that was removed for good comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import F, Max
from django.db.models.functions import Greatest
from django.utils import timezone
from django.utils.translation import gettext as _

from chathistory import bulk, ids, keyring, leases, ledger, maintenance, postgres
from chathistory.backups import capture, plans, rebuild, swap
from chathistory.backups.images import TABLES
from chathistory.backups.plans import Plan
from chathistory.backups.rebuild import Built, Step
from chathistory.backups.scratch import scratch
from chathistory.exceptions import (
    ChatHistoryError,
    Conflict,
    Damaged,
    Invalid,
    NotAllowed,
    NotFound,
)
from chathistory.formats.base import Problem, Transcript
from chathistory.journal import Operation
from chathistory.models import Account, Change, Lease, Session
from chathistory.states import State

from . import accounts, backup, exchange, recovering, sessions
from .pipeline import lock
from .planning import Naming
from .recovering import Difference, Then

#: Who restores; one at a time.
LEASE = "restore"
_PATIENCE = 10.0  # seconds that one restore waits for another
_TRIES = 5  # for a session that somebody is writing in
_MANY = 1000  # sessions that a report names
_AT_ONCE = 50  # sessions compared at a time


class _Seen(NamedTuple):
    """What tells without opening anything whether a session is the same."""

    changed: int
    version: int
    state: str


@dataclass(slots=True)
class Report:
    """What a restore did, or would do."""

    as_of: datetime
    dry_run: bool
    #: Sessions that came back, or say again what they said, and how many of their messages.
    sessions_recovered: int = 0
    messages_recovered: int = 0
    #: What came later: sessions in the trash, messages that are tombstones.
    sessions_removed: int = 0
    messages_removed: int = 0
    sessions: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON, the sessions in it named up to a bound."""
        said = {name: getattr(self, name) for name in self.__slots__}
        return said | {"as_of": self.as_of.isoformat(), "sessions": self.sessions[:_MANY]}

    def note(self, done: Difference) -> None:
        """Count what was done to one session."""
        self.sessions_recovered += 1
        self.messages_recovered += done.recovered
        self.messages_removed += len(done.bury)
        self.sessions.append(done.as_dict())


def plan(at: datetime, account: Account | None = None, session: UUID | None = None) -> Plan:
    """Return which backups bring back ``at``; what no backup has yet is shipped first.

    Those that an empty site has made of itself count for nothing, as after a disk was lost.
    Raises Invalid, NotFound naming the oldest backup, or Damaged naming the file.
    """
    uuid = account.uuid if account else None
    found = plans.plan(at, uuid, session)
    if found.until < at and _is_own(found) and Session.objects.exists():
        backup.incremental()
        found = plans.plan(at, uuid, session)
    return found


def _is_own(found: Plan) -> bool:
    return found.is_of_site and found.parts[0].site == capture.site()


def _as_of(found: Plan) -> datetime:
    """Return what time is brought back: what a site's own chain lacks, has not happened."""
    return found.at if _is_own(found) else found.until


def account(
    user: Any, at: datetime, dry_run: bool = False, *, step: Step = rebuild.quiet
) -> dict[str, Any]:
    """Bring all sessions of ``user`` back to what they were at ``at``.

    Those that came later go to the trash; shares, holds and policies stay as they are. Returns
    ``sessions_recovered, messages_recovered, errors`` and more (see Report). Again does nothing.
    Raises what ``plan`` raises, Conflict while another restore runs, MasterKeyError, Unavailable.
    """
    return _restore(user, None, at, dry_run, step)


def session(
    user: Any, uuid: UUID, at: datetime, dry_run: bool = False, *, step: Step = rebuild.quiet
) -> dict[str, Any]:
    """Bring one session of ``user`` back; as ``account``. Raises NotFound for another's."""
    uuid = sessions.as_uuid(uuid, "session_id")
    others = Session.objects.filter(uuid=uuid).exclude(account=accounts.of(user))
    if others.exists():
        raise NotFound("There is no such session.")
    return _restore(user, uuid, at, dry_run, step)


def _restore(
    user: Any, uuid: UUID | None, at: datetime, dry_run: bool, step: Step
) -> dict[str, Any]:
    owner = accounts.of(user)
    if uuid is not None and _is_purged(uuid):
        raise NotFound(_("This session was removed for good; no restore brings it back."))
    with leases.held(LEASE, _busy(), wait=_PATIENCE):
        rebuild.tidy()
        found = plan(_aware(at), owner, uuid)
        with rebuild.built(found, search=False, step=step) as made:
            work = _Work(user, owner, made, dry_run)
            work.run(uuid)
    return work.report.as_dict()


def _is_purged(uuid: UUID) -> bool:
    """Tell whether a session was removed for good and has not come again by an import."""
    if Session.objects.filter(uuid=uuid).exists():
        return False
    return any(one.session == uuid and not one.messages for one in ledger.read())


def _aware(at: datetime) -> datetime:
    if not isinstance(at, datetime) or timezone.is_naive(at):
        raise Invalid(_("A time with its time zone is needed."), field="at")
    return at


def _busy() -> str:
    return _("Another restore is running; wait until it is done.")


class _Work:
    """The differences of one account, session by session."""

    def __init__(self, user: Any, owner: Account, made: Built, dry_run: bool) -> None:
        self._user, self._owner, self._where = user, owner, made.path
        self._dry_run = dry_run
        # Numbers mean the same only as long as the site was not written over.
        self._same_times = made.plan.epoch == owner.epoch
        self.report = Report(_as_of(made.plan), dry_run, errors=list(made.problems))

    def run(self, uuid: UUID | None) -> None:
        """Do it for one session, or for all."""
        with scratch(self._where):
            then = self._seen(uuid)
        now = self._seen(uuid)
        self._bring_back([one for one in then if one not in now])
        same = self._same_times
        moved = [one for one in then if one in now and not (same and then[one] == now[one])]
        for start in range(0, len(moved), _AT_ONCE):
            self._recover_all(moved[start : start + _AT_ONCE])
        for one, seen in now.items():
            if one not in then and seen.state != State.DELETED and uuid is None:
                self._try(one, partial(self._throw_away, one))

    def _seen(self, uuid: UUID | None) -> dict[UUID, _Seen]:
        rows = Session.objects.filter(account__uuid=self._owner.uuid).order_by("pk")
        rows = rows if uuid is None else rows.filter(uuid=uuid)
        return {row[0]: _Seen(*row[1:]) for row in rows.values_list("uuid", *_Seen._fields)}

    def _try(self, uuid: UUID, work: Callable[[], None]) -> None:
        """Let one session fail alone."""
        try:
            work()
        except (Damaged, Conflict, NotFound) as error:
            self.report.errors.append(f"session {uuid}: {error}")

    # What is there

    def _recover_all(self, uuids: Sequence[UUID]) -> None:
        with scratch(self._where):
            then = recovering.read(recovering.sessions_of(self._owner.uuid, uuids))
        sessions_ = recovering.sessions_of(self._owner.uuid, uuids)
        now = recovering.read(sessions_)
        for live in sessions_:
            uuid = live.uuid
            self._try(uuid, partial(self._recover, live, then[uuid], now[uuid]))

    def _recover(self, live: Session, then: Then | Damaged, now: Then | Damaged) -> None:
        done = self._apply(live, then, now)
        if done.missing and not self._dry_run:
            # Said in a time that the site was written over since.
            self._import([live.uuid])
            self._settle(live.uuid)
        self.report.errors += [f"session {live.uuid}: {one}" for one in done.problems]
        if done:
            self.report.note(done)

    def _apply(self, live: Session, then: Then | Damaged, now: Then | Damaged) -> Difference:
        for _attempt in range(_TRIES):
            if live.purging_at is not None:
                raise Conflict(_("It is being removed for good."))
            found = recovering.compare(live.uuid, _opened(then), _opened(now))
            if self._dry_run or not found or self._write(live, found):
                return found
            live, now = self._read(live.uuid)
        raise Conflict(_("Somebody is writing in it all the time."))

    def _read(self, uuid: UUID) -> tuple[Session, Then | Damaged]:
        found = recovering.sessions_of(self._owner.uuid, [uuid])
        if not found:
            raise NotFound("There is no such session.")
        return found[0], recovering.read(found)[uuid]

    def _write(self, live: Session, found: Difference) -> bool:
        """Write a difference, unless somebody was first."""
        with Operation(live.account, self._owner, "session.recover") as op:
            fresh = lock(op, live)
            if fresh.changed != live.changed:
                return False
            recovering.apply(op, fresh, found, self._where)
        return True

    # What is not there, and what was not

    def _bring_back(self, uuids: list[UUID]) -> None:
        outcomes = self._import(uuids)
        for one in outcomes:
            if one.outcome == "failed":
                self.report.errors.append(f"session {one.where}: {one.reason}")
                continue
            self.report.sessions_recovered += 1
            self.report.messages_recovered += one.messages
            counted = {"recovered": one.messages}
            self.report.sessions.append(
                {"session_id": one.where, "fields": ["all"], "messages": counted}
            )
            if not self._dry_run:
                self._try(UUID(one.where), partial(self._settle, UUID(one.where)))

    def _settle(self, uuid: UUID) -> None:
        """Bring what was imported to the last column."""
        with scratch(self._where):
            _row, then = self._read(uuid)
        live, now = self._read(uuid)
        self._apply(live, then, now)

    def _import(self, uuids: Iterable[UUID]) -> list[Any]:
        report = exchange.import_transcripts(
            self._user, self._transcripts(uuids), naming=Naming.KEPT, dry_run=self._dry_run
        )
        return report.outcomes

    def _transcripts(self, uuids: Iterable[UUID]) -> Iterator[Transcript | Problem]:
        for uuid in uuids:
            try:
                with scratch(self._where):
                    made = recovering.transcript(self._read(uuid)[0])
            except Damaged as error:
                yield Problem(str(uuid), str(uuid), None, str(error))
            else:
                yield made

    def _throw_away(self, uuid: UUID) -> None:
        if not self._dry_run:
            sessions.delete(self._read(uuid)[0], None)
        self.report.sessions_removed += 1
        self.report.sessions.append({"session_id": str(uuid), "fields": ["state"], "messages": {}})


def _opened(said: Then | Damaged) -> Then:
    if isinstance(said, Damaged):
        raise said
    return said


# The whole site


def system(
    at: datetime,
    dry_run: bool = False,
    *,
    user: Any = None,
    into: str = "",
    step: Step = rebuild.quiet,
) -> dict[str, Any]:
    """Write the whole site over with what it was at ``at``.

    On SQLite the live database itself; on PostgreSQL the empty database that the address ``into``
    names: then the processes are stopped, and started again with that one.

    A full backup of what it is now comes first. While it is written over nobody changes anything;
    users, permissions, jobs and API tokens stay as they are, if the live database is this site's.
    Old cursors, ETags and cached pages are void afterwards.

    ``user=None`` is the site itself. Returns what ``account`` does, with ``counts`` of rows by
    table then and now. Raises NotAllowed, Invalid for an address that is of no use, Conflict while
    another restore runs, and what ``plan`` raises.
    """
    if user is not None and not (user.is_active and user.is_superuser):
        raise NotAllowed(_("Only a superuser restores the whole site."))
    live = None if into else _file()
    with leases.held(LEASE, _busy(), wait=_PATIENCE):
        rebuild.tidy()
        found = plan(_aware(at))
        if live is None:
            return _fill(found, into, dry_run, step)
        if found.layout != "file":
            raise Conflict(_("This backup is not of SQLite: restore it into PostgreSQL."))
        with rebuild.built(found, step=step) as made:
            report = _told(made, dry_run)
            if not dry_run:
                report["errors"] += _replace(made, live)
    return report


def _file() -> Path:
    link = bulk.connection(Account)
    if link.vendor != "sqlite":
        message = _("On PostgreSQL the site is restored into another, empty database: name it.")
        raise Invalid(message, field="into")
    return Path(link.settings_dict["NAME"])


def _fill(found: Plan, into: str, dry_run: bool, step: Step) -> dict[str, Any]:
    """Fill an empty PostgreSQL database; dry, rebuild it in a file that is thrown away."""
    database = postgres.database(into)
    if dry_run:
        with rebuild.built(found, search=False, step=step) as made:
            return _told(made, dry_run)
    made = rebuild.filled(found, database, step=step)
    _begin_anew(made, database)
    return _told(made, dry_run) | {
        "next": _("Stop all processes of the site, and start them with the new database.")
    }


def _told(made: Built, dry_run: bool) -> dict[str, Any]:
    now = {name: model._base_manager.count() for name, model in TABLES.items()}
    report = Report(_as_of(made.plan), dry_run, errors=made.problems)
    report.sessions_recovered = made.counts["session"]
    report.messages_recovered = made.counts["message"]
    return report.as_dict() | {"counts": {"then": made.counts, "now": now}}


def _replace(made: Built, live: Path) -> list[str]:
    """Write the live database over; return what went wrong when that was done."""
    is_same = made.plan.parts[0].site == capture.site()
    is_empty = not Session.objects.exists()
    if not is_empty:
        backup.full()
    with maintenance.held():
        _wait_for_writers()
        if not is_empty:  # what was written since the full backup
            backup.incremental()
        _begin_anew(made, made.path)
        if is_same:
            swap.carry(made.path, live)
        with closing(bulk.connection(Account)):
            swap.write_over(made.path, live)
    keyring.forget()
    return _begin_chain(is_same)


def _begin_chain(is_same: bool) -> list[str]:
    """List the backups where the list was lost, and let a chain begin with what there is now."""
    wrong = []
    for work in (backup.incremental,) if is_same else (backup.relist, backup.incremental):
        try:
            work()
        except Conflict:
            pass  # a shipper was first
        except ChatHistoryError as error:
            wrong.append(str(error))
    return wrong


def _wait_for_writers() -> None:
    """Wait until whoever writes has committed; who comes later finds the site held."""
    link = bulk.connection(Account)
    with link.cursor() as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        cursor.execute("COMMIT")


def _begin_anew(made: Built, where: Path | dict[str, Any]) -> None:
    """Let everything that was given out before be void, and time go on from now."""
    epoch = Account.objects.aggregate(epoch=Max("epoch"))["epoch"] or 0
    after, now = max(epoch, made.plan.epoch) + 1, timezone.now()
    with scratch(where, whole=made.whole):
        Account.objects.update(epoch=after, shipped=0, at=Greatest(F("at"), now))
        Lease.objects.all().delete()  # of a process that worked on the base
        _note(accounts.system())


def _note(system: Account) -> None:
    """Write the Change with which the new epoch begins."""
    system.seq += 1
    at, operation = system.at, ids.new_id()
    Change.objects.create(
        account=system,
        seq=system.seq,
        at=at,
        op=capture.RESTORED,
        operation=operation,
        table="account",
        row=system.uuid,
    )
    system.save(update_fields=["seq"])
