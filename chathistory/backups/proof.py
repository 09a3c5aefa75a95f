"""A rebuilt copy proved: its file, its counts, messages from all over, and that search finds them.

Everything is asked of the database that the models are routed to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q
from django.utils.translation import gettext as _

from chathistory import bulk, keyring, records
from chathistory.exceptions import Damaged
from chathistory.models import Message, Session
from chathistory.search.base import Match, index

#: Messages opened, and looked for in the index, as a sample.
SAMPLE = 200
_WORDS = 8


def prove(account: UUID | None, *, search: bool) -> list[str]:
    """Return what is wrong with single rows, of one account or of all, one line each.

    Raises Damaged where the file does not hold together, nothing opens, or the index lacks a
    message; ``search=False`` leaves the index out.
    """
    if bulk.connection(Message).vendor == "sqlite":
        _check_file()
    sample = _sample(account)
    closed = [row for row in sample if records.or_damaged(_open, row) is None]
    if sample and len(closed) == len(sample):
        raise Damaged(_("Nothing of the restored copy opens: its keys are not these."))
    if search and index().generations.is_current:
        _check_index([row for row in sample if row not in closed])
    return [*_miscounted(account), *unopened(closed)]


def unopened(rows: Iterable[Any]) -> Iterator[str]:
    """Yield the line that says why, for each message or session that does not open."""
    for row in rows:
        yield f"{row._meta.model_name} {row}: {_why(row)}"


def _why(row: Message | Session) -> str:
    try:
        _open(row) if isinstance(row, Message) else records.title_of(row)
    except Damaged as error:
        return str(error)
    return "It does not open."


def _check_file() -> None:
    with bulk.connection(Message).cursor() as cursor:
        cursor.execute("PRAGMA integrity_check(1)")
        (said,) = cursor.fetchone()
        lost = cursor.execute("PRAGMA foreign_key_check").fetchone()
    if said != "ok" or lost is not None:
        raise Damaged(_("The restored copy does not hold together: %s.") % (lost or said))


def _miscounted(account: UUID | None) -> Iterator[str]:
    alive = Count("messages", filter=Q(messages__deleted_at=None))
    said = Session.objects.annotate(alive=alive).exclude(alive=F("message_count"))
    if account is not None:
        said = said.filter(account__uuid=account)
    for uuid in said.values_list("uuid", flat=True)[:SAMPLE]:
        yield f"session {uuid}: Its messages are not as many as it says."


def _sample(account: UUID | None) -> list[Message]:
    """Return messages from all over the tables."""
    rows = Message.objects.filter(revision__gt=0)
    if account is not None:
        rows = rows.filter(account__uuid=account)
    keys = list(rows.values_list("pk", flat=True).order_by("pk"))
    some = keys[:: max(1, len(keys) // SAMPLE)]
    return list(rows.filter(pk__in=some).select_related("session__account"))


def _check_index(sample: Sequence[Message]) -> None:
    for message in sample:
        if message.indexed and not _is_found(message):
            raise Damaged(_("The restored copy's index does not find message %s.") % message)


def _is_found(message: Message) -> bool:
    account = message.session.account
    tokens = keyring.account_keys(account).search.of_text(records.content_of(_open(message)))
    wanted = tokens.split()[:_WORDS]
    if not wanted:
        return True
    source, where, values = index().join(Match([wanted], [], [account.pk]))
    sql = (
        f"SELECT 1 FROM {source} JOIN {Message._meta.db_table} m ON m.place = hit.place"  # noqa: S608
        f" WHERE {where} AND m.id = %s"
    )
    with bulk.connection(Message).cursor() as cursor:
        parameters: list[Any] = [*values, message.pk]
        cursor.execute(sql, parameters)
        return cursor.fetchone() is not None


def _open(message: Message) -> bytes:
    return records.open_packed(message, message.session)
