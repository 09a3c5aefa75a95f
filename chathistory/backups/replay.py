"""The erasure ledger brought upon a database that was rebuilt: who was erased stays erased.

Whole accounts and sessions go before anything else is done, for their keys may have lapsed.
Messages go at the end: by then it is known what their sessions show of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from chathistory import bulk, ledger, records, text
from chathistory.ledger import Entry
from chathistory.models import (
    Account,
    Block,
    Change,
    DataKey,
    Message,
    RetentionPolicy,
    Revision,
    Session,
    Share,
    Tag,
)
from chathistory.search import upkeep

_AT_ONCE = 500
#: The operation by which a session is purged.
PURGED = "session.purge"
_EMPTIED = (*("body", "block", "revision", "length", "tokens", "indexed", "deleted_at"),)


def accounts_and_sessions(until: datetime, *, search: bool = True) -> None:
    """Remove the accounts and sessions that the ledger names, with all that hangs on them.

    A session that was purged and came again stays if it had come again by ``until``.
    """
    entries = ledger.read()
    with transaction.atomic(using=bulk.connection(Account).alias):
        for entry in entries:
            if entry.session is None:
                _erase(entry, search)
        named = {one.session: one.at for one in entries if one.session and not one.messages}
        for some in _batches(list(named)):
            found = list(Session.objects.filter(uuid__in=some))
            born = _born([one.uuid for one in found])
            stays = {uuid for uuid, at in born.items() if named[uuid] < at <= until}
            _remove([one for one in found if one.uuid not in stays], search)


def messages(*, search: bool = True) -> None:
    """Leave tombstones of the messages that the ledger names."""
    entries = [one for one in ledger.read() if one.session is not None and one.messages]
    born = _born([one.session for one in entries if one.session])
    named: dict[UUID, set[UUID]] = defaultdict(set)
    for entry in entries:
        if entry.session and (entry.session not in born or entry.at >= born[entry.session]):
            named[entry.session] |= set(entry.messages)
    with transaction.atomic(using=bulk.connection(Account).alias):
        for some in _batches([uuid for uuid, uuids in named.items() if uuids]):
            for session in Session.objects.filter(uuid__in=some).select_related("account"):
                _empty(session, named[session.uuid], search)


def _born(sessions: Sequence[UUID]) -> dict[UUID, datetime]:
    """Return when sessions began that were purged before and came again under the same id."""
    found: dict[UUID, datetime] = {}
    for some in _batches(list(sessions)):
        rows = Change.objects.filter(table="session", row__in=some)
        purged = rows.filter(op=PURGED).order_by().values_list("row").annotate(Max("seq"))
        for uuid, seq in purged:
            later = Change.objects.filter(table="session", row=uuid, seq__gt=seq).order_by("seq")
            at = later.values_list("at", flat=True).first()
            found |= {uuid: at} if at else {}
    return found


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for at in range(0, len(items), _AT_ONCE):
        yield items[at : at + _AT_ONCE]


def _erase(entry: Entry, search: bool) -> None:
    """Remove all that is an account's; its row stays, without a user and without keys."""
    account = Account.objects.filter(uuid=entry.account).first()
    if account is None:
        return
    while some := list(Session.objects.filter(account=account)[:_AT_ONCE]):
        _remove(some, search)
    for model in (RetentionPolicy, Tag, DataKey):
        model._base_manager.filter(account=account).delete()
    Share.objects.filter(grantee=account).delete()
    Change.objects.filter(account=account).update(before=None)
    account.user, account.erased_at = None, account.erased_at or entry.at
    bulk.update(account, ["user", "erased_at"])


def _remove(sessions: Sequence[Session], search: bool) -> None:
    keys = [session.pk for session in sessions]
    if search:
        _drop(keys)
    Revision.objects.filter(message__session__in=keys).delete()
    for model in (Share, Message, Block, DataKey):
        model._base_manager.filter(session__in=keys).delete()
    # Each has no account of its own at hand to be asked for a key.
    Change.objects.filter(session__in=[one.uuid for one in sessions]).update(before=None)
    Session.objects.filter(pk__in=keys).delete()


def _drop(sessions: list[int]) -> None:
    """Take whole sessions out of the index."""
    rows = Message.objects.filter(session__in=sessions, indexed__gt=0)
    while some := list(rows.select_related("session__account")[:_AT_ONCE]):
        upkeep.drop(some)
    upkeep.drop_titles(list(Session.objects.filter(pk__in=sessions).select_related("account")))


def _empty(session: Session, uuids: set[UUID], search: bool) -> None:
    found = list(session.messages.filter(uuid__in=uuids, revision__gt=0))
    for message in found:
        message.session = session
    if not found:
        return
    said = [records.or_damaged(records.open_body, message, session) for message in found]
    if search:
        upkeep.drop(found)
    Revision.objects.filter(message__in=found).delete()
    rows = Change.objects.filter(session=session.uuid, row__in=[one.uuid for one in found])
    rows.update(before=None)
    _bury(session, found, timezone.now())
    _hide(session, found, {text.title_from(body.content) for body in said if body}, search)


def _bury(session: Session, found: Sequence[Message], now: datetime) -> None:
    for message in found:
        if message.deleted_at is None:
            session.message_count -= 1
            session.total_tokens -= message.tokens
        message.body, message.block, message.deleted_at = b"", None, message.deleted_at or now
        message.revision = message.length = message.tokens = message.indexed = 0
    bulk.update_all(found, _EMPTIED)


def _hide(session: Session, found: Sequence[Message], titles: set[str], search: bool) -> None:
    """Take away what lists show of messages that were emptied."""
    columns = ["message_count", "total_tokens"]
    if session.head_seq in {message.seq for message in found}:
        session.preview, session.preview_revision = None, session.preview_revision + 1
        columns += ["preview", "preview_revision"]
    is_automatic = session.title_source == Session.TitleSource.AUTO and session.title is not None
    if is_automatic and records.or_damaged(records.title_of, session) in titles:
        if search:
            upkeep.drop_titles([session])
        session.title, session.title_revision = None, session.title_revision + 1
        columns += ["title", "title_revision"]
    bulk.update(session, columns)
