"""One consistent read of all tables, which holds up nobody who writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction

from chathistory import bulk
from chathistory.models import Account


@contextmanager
def consistent() -> Iterator[None]:
    """See the rows as they are now, for as long as the block takes; nothing may be written in it.

    Not within a transaction. Raises RuntimeError there.
    """
    link: Any = bulk.connection(Account)
    with _without_the_lock(link), transaction.atomic(using=link.alias, durable=True):
        _fix(link)
        yield


@contextmanager
def _without_the_lock(link: Any) -> Iterator[None]:
    """Let SQLite begin without its write lock, whatever the settings say of transactions."""
    if link.vendor != "sqlite":
        yield
        return
    link.ensure_connection()  # which is when it reads the settings
    usual, link.transaction_mode = link.transaction_mode, "DEFERRED"
    try:
        yield
    finally:
        link.transaction_mode = usual


def _fix(link: Any) -> None:
    """Take the snapshot now: on SQLite the first read does, on PostgreSQL the first statement."""
    with link.cursor() as cursor:
        if link.vendor == "postgresql":
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SELECT 1 FROM chathistory_account LIMIT 1")
        cursor.fetchall()
