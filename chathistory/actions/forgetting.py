"""What this process remembers of a session, forgotten when something of it goes for good."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from django.db import transaction

from chathistory import blocks, bulk, cache, registry
from chathistory.journal import Operation
from chathistory.models import Message, Session
from chathistory.search import learned


@registry.on_purge
def _forget(_op: Operation, session: Session, _messages: Sequence[Message]) -> None:
    for drop in (cache.drop, blocks.forget, _words):
        transaction.on_commit(partial(drop, session), using=bulk.connection(Session).alias)


def _words(session: Session) -> None:
    learned.forget(session.account)
