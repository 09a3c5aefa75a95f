"""The journal: one operation is one transaction, one lock, one dense run of Changes.

``with Operation(account, actor, "session.rename") as op:`` takes the account's row first, which
makes ``seq`` dense and ordered by commit on SQLite and PostgreSQL alike. ``op.record`` notes one
touched row and returns the number to store in its ``changed``; leaving the block writes the
Changes. An operation that records nothing leaves the journal as it was.
"""

from __future__ import annotations

from datetime import UTC, datetime
from types import TracebackType
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from . import bulk, crypto, ids, keyring, maintenance
from .crypto import Context, Key
from .models import Account, Change, Session
from .records import dump

_COLUMNS = ("account", "seq", "at", "actor", "op", "operation", "table", "row", "session", "before")


class Operation:
    """One verb's transaction on one account.

    After entry ``account`` holds the current epoch and key version, and ``at`` is the time of
    every Change in it: never earlier than the account's last. Work on many accounts gives them
    all one ``operation``, by which it is found again.
    """

    def __init__(
        self, account: Account, actor: Account | None, op: str, operation: UUID | None = None
    ) -> None:
        self.account = account
        self.at: datetime = timezone.now()
        self._actor = actor.pk if actor else None
        self._op = op
        self._operation = operation or ids.new_id()
        self._seq = 0
        self._rows: list[tuple[Any, ...]] = []
        self._atomic = transaction.atomic(using=bulk.connection(Account).alias)

    def __enter__(self) -> Operation:
        self._atomic.__enter__()
        try:
            self._lock()
            maintenance.check()
        except BaseException as error:
            self._atomic.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._rows:
                self._write()
        except BaseException as failed:
            self._atomic.__exit__(type(failed), failed, failed.__traceback__)
            raise
        self._atomic.__exit__(kind, error, trace)

    def record(
        self,
        table: str,
        row: UUID,
        *,
        session: Session | None = None,
        before: dict[str, Any] | None = None,
    ) -> int:
        """Note that ``row`` was touched and what it said ``before`` (None: it is new)."""
        self._seq += 1
        sealed = None
        if before is not None:
            uuid = session.uuid if session else None
            context = Context("change", "before", row, uuid, table, self._seq)
            sealed = crypto.seal(self._key(session), dump(before), context)
        self._rows.append(
            (
                *(self.account.pk, self._seq, self.at, self._actor, self._op, self._operation),
                *(table, row, session.uuid if session else None, sealed),
            )
        )
        return self._seq

    def _key(self, session: Session | None) -> Key:
        if session is None:
            return keyring.account_keys(self.account).rows
        return keyring.session_key(self.account, session)

    def _lock(self) -> None:
        link = bulk.connection(Account)
        table = link.ops.quote_name(Account._meta.db_table)
        sql = (
            f"UPDATE {table} SET at = CASE WHEN at > %s THEN at ELSE %s END"  # noqa: S608
            " WHERE id = %s RETURNING seq, at, epoch, key_version"
        )
        now = link.ops.adapt_datetimefield_value(self.at)
        with link.cursor() as cursor:
            cursor.execute(sql, [now, now, self.account.pk])
            self._seq, at, self.account.epoch, self.account.key_version = cursor.fetchone()
        self.at = at if timezone.is_aware(at) else at.replace(tzinfo=UTC)

    def _write(self) -> None:
        bulk.insert(Change, _COLUMNS, self._rows)
        self.account.seq = self._seq
        bulk.update(self.account, ["seq"])
