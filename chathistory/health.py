"""What a start looks at: each check takes milliseconds, whatever the size of the data.

Nothing here changes a row. Findings name what is wrong and how often, never what was said.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from . import bulk, keyring, records, registry
from .models import Account, Job, Message, Session, Vocabulary
from .registry import Finding
from .search.base import Match, index

SESSIONS, MESSAGES, ACCOUNTS = 100, 200, 20  # the newest, opened at each start
_WORDS = 8  # of a message that are looked for in the index
LARGE_WAL = 64 * 2**20  # bytes


@dataclass(slots=True)
class Report:
    """What a start found, under the founding document's names."""

    #: Sessions stored, the trash among them.
    total_sessions: int = 0
    #: Those of which nothing is known to be damaged: all but the corrupted ones.
    recovered_sessions: int = 0
    #: Those that the last full check marked, or the newest of which some part did not open now.
    corrupted_sessions: int = 0
    #: One line for each check that failed: its name, and what it saw.
    errors: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    #: Whether the tables are those of this release. Where they are not, nothing else is looked at.
    ready: bool = True


def quick() -> Report:
    """Look at the schema, then at everything registered with ``at_start``, and count."""
    began = perf_counter()
    report = Report(findings=[_found("schema", schema)])
    report.ready = report.findings[0].ok
    if report.ready:
        report.findings += [_found(check.__name__, check) for check in registry.STARTS]
        report.findings.append(_found("sessions", lambda: _count(report)))
    report.errors = [f"{one.name}: {one.detail}" for one in report.findings if not one.ok]
    report.seconds = perf_counter() - began
    return report


def count(report: Report, corrupted: set[int]) -> None:
    """Fill in the counts of sessions."""
    report.total_sessions = Session.objects.count()
    report.corrupted_sessions = len(corrupted)
    report.recovered_sessions = report.total_sessions - len(corrupted)


def _count(report: Report) -> Finding:
    count(report, _corrupted())
    return Finding("sessions", True)


def _found(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:  # noqa: BLE001  (whatever a damaged row does to whom reads it)
        return Finding(name, False, f"it could not be looked at ({type(error).__name__})")


def schema() -> Finding:
    """Whether every migration of the app is applied."""
    executor = MigrationExecutor(bulk.connection(Session))
    label = Session._meta.app_label
    wanted = [node for node in executor.loader.graph.leaf_nodes() if node[0] == label]
    plan = executor.migration_plan(wanted)
    missing = [migration.name for migration, _ in plan if migration.app_label == label]
    told = f"not applied: {', '.join(missing)}; run `manage.py migrate`"
    return Finding("schema", not missing, told if missing else "")


@registry.at_start
def keys() -> Finding:
    """Whether the master key opens the newest accounts' keys, and these their sessions'."""
    keyring.verify_master()
    gone = 0
    for account in Account.objects.order_by("-pk")[:ACCOUNTS]:
        gone += fails(keyring.account_keys, account)
    for session in _newest_sessions():
        gone += fails(keyring.session_key, session.account, session)
    return Finding("keys", not gone, f"{gone} of the newest do not open" if gone else "")


@registry.at_start
def wal() -> Finding:
    """Whether SQLite's write-ahead log is kept short; only its size is asked of the file."""
    link = bulk.connection(Session)
    if link.vendor != "sqlite":
        return Finding("wal", True)
    size = _size(f"{link.settings_dict['NAME']}-wal")
    with link.cursor() as cursor:
        pages = cursor.execute("PRAGMA wal_autocheckpoint").fetchone()[0]
    if size > LARGE_WAL:
        return Finding("wal", False, f"{size:,} bytes: something keeps it from being folded in")
    return Finding("wal", pages > 0, "" if pages else "it is never folded in by itself")


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # opened and closed here, it would drop SQLite's locks
    except FileNotFoundError:
        return 0


@registry.at_start
def search_index() -> Finding:
    """Whether the newest messages are marked as indexed, and one of them is in the index."""
    if not index().at_rest:
        left = Message.objects.filter(indexed__gt=0).exists() or Vocabulary.objects.exists()
        told = "the database still holds one; run `manage.py migrate`" if left else ""
        return Finding("search_index", not left, told)
    known = index().generations
    if not known.is_current:
        return Finding("search_index", False, "it is of another version, and is to be made anew")
    rows = [row for row in _newest_messages() if row.deleted_at is None]
    lagging = sum(row.indexed < known.live.number for row in rows)
    if lagging:
        return Finding("search_index", False, f"{lagging} of the newest messages are not in it")
    for row in rows:
        if (tokens := _tokens(row)) is not None:
            told = "" if (there := _holds(row, tokens)) else "the newest message is not in it"
            return Finding("search_index", there, told)
    return Finding("search_index", True)


def _tokens(message: Message) -> list[str] | None:
    """Return a message's keyed tokens; None where it has none, or does not open."""
    packed = records.or_damaged(records.open_packed, message, message.session)
    if packed is None:
        return None
    keyed = keyring.account_keys(message.session.account).search
    return keyed.of_text(records.content_of(packed)).split() or None


def _holds(message: Message, tokens: list[str]) -> bool:
    source, where, parameters = index().join(Match([tokens[:_WORDS]], [], [message.account_id]))
    table = Message._meta.db_table
    it = "m.id = %s AND hit.place = %s"
    sql = f"SELECT 1 FROM {source} JOIN {table} m ON m.place = hit.place WHERE ({where}) AND {it}"  # noqa: S608
    with bulk.connection(Message).cursor() as cursor:
        found: list[Any] = [*parameters, message.pk, message.place]
        cursor.execute(sql, found)
        return cursor.fetchone() is not None


@registry.at_start
def interrupted_jobs() -> Finding:
    """How many jobs their worker left; a sweep hands them to another."""
    lapsed = Job.objects.filter(state=Job.State.RUNNING, lease__lt=timezone.now()).count()
    return Finding("interrupted_jobs", True, f"{lapsed} will be taken up again" if lapsed else "")


@registry.at_start
def newest_records() -> Finding:
    """Whether the newest titles and messages open."""
    broken = len(_broken())
    told = f"{broken} of the newest sessions hold what does not open"
    return Finding("newest_records", not broken, told if broken else "")


def _corrupted() -> set[int]:
    marked = Session.objects.filter(damaged__gt=0).values_list("pk", flat=True)
    return {*marked, *_broken()}


def _broken() -> set[int]:
    found = {row.pk for row in _newest_sessions() if damages(row)}
    rows = (row for row in _newest_messages() if row.revision)
    return found | {row.session_id for row in rows if fails(records.open_packed, row, row.session)}


def damages(session: Session) -> int:
    """Return how many of a session's own columns do not open."""
    reads = (records.title_of, records.preview_of, records.metadata_of)
    return sum(fails(read, session) for read in reads)


def fails(read: Callable[..., Any], *rows: Any) -> bool:
    """Return whether something does not open."""
    try:
        read(*rows)
    except Exception:  # noqa: BLE001  (a column may hold anything)
        return True
    return False


def _newest_sessions() -> Iterable[Session]:
    return Session.objects.select_related("account").order_by("-pk")[:SESSIONS]


def _newest_messages() -> Iterable[Message]:
    return Message.objects.select_related("session__account").order_by("-pk")[:MESSAGES]
