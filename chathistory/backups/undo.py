"""Undo: an account's rows as they were at an earlier time, from what its journal has kept.

Changes after that time are reversed, newest first, in the database the models are routed to, and
leave the journal. Rows they made go; fields they replaced are put back from the before-images, a
message's text from its Revision; what is derived (counts, preview, search index) is made again.

What was removed for good stays so. How bodies are packed, and what an API token or a job has
become since, is no part of what people said, and stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.models import Count, F, Q, Sum

from chathistory import bulk, crypto, keyring, records, text
from chathistory.crypto import Context
from chathistory.exceptions import Damaged
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

#: What can be put back or taken away, by the journal's name; what refers comes before what is
#: referred to.
TABLES: dict[str, type[Any]] = {
    "policy": RetentionPolicy,
    "share": Share,
    "revision": Revision,
    "message": Message,
    "session": Session,
    "tag": Tag,
}
#: The operations that make rows whose Changes may lose their before-images while they live: there
#: no before-image does not mean a new row.
MAKES: dict[str, set[str]] = {
    "session": {"session.create", "session.fork", "session.import", "session.recover"},
    "message": {"message.append", "session.fork", "session.import", "session.recover"},
}
#: Columns that say how a row is kept, not what it says.
_PHYSICAL = {"changed", "indexed", "compressed", "damaged", "purging_at", "block"}
_AT_ONCE = 1000

#: Earlier texts, by message's key and number.
_Earlier = dict[tuple[int, int], Revision]


@dataclass(slots=True)
class _Row:
    """What becomes of one row: it goes, or gets back what it said before."""

    session: UUID | None
    is_new: bool = False
    before: dict[str, Any] = field(default_factory=dict)
    #: Changes that said something, each of which raised a session's version.
    count: int = 0


def undo(
    account: Account, back_to: datetime, *, session: UUID | None = None, search: bool = True
) -> list[str]:
    """Bring ``account`` back to ``back_to``: what was committed by then is what remains.

    With ``session`` only that one is brought back, and the rest is of no use afterwards.
    ``search=False`` leaves the index and all ``indexed`` columns alone. Returns what could not be
    put back because it does not open, one line each; such a row stays as it is. Again does
    nothing.
    """
    return _Undo(account, session, search).run(back_to)


def is_removal(op: str) -> bool:
    """Tell whether an operation removes for good, which nothing brings back."""
    return op.endswith((".purge", ".erase"))


class _Undo:
    def __init__(self, account: Account, session: UUID | None, search: bool) -> None:
        self._account = account
        self._only = session
        self._search = search
        self._removed: set[UUID] = set()
        self._touched: set[UUID] = set()
        self.problems: list[str] = []

    def run(self, back_to: datetime) -> list[str]:
        alias = bulk.connection(Account).alias
        while changes := self._newest(back_to):
            with transaction.atomic(using=alias):
                self._reverse([change for change in changes if self._concerns(change)])
                self._forget(changes, back_to)
        with transaction.atomic(using=alias):
            self._derive()
            self._clamp()
        return self.problems

    def _newest(self, back_to: datetime) -> list[Change]:
        newest = Change.objects.filter(account=self._account).order_by("-seq")[:_AT_ONCE]
        # Time never goes back in a journal: what is later is at its end.
        return [change for change in newest if change.at > back_to]

    def _concerns(self, change: Change) -> bool:
        return self._only is None or change.session in (None, self._only)

    def _forget(self, changes: Sequence[Change], back_to: datetime) -> None:
        """Take the Changes out of the journal, which goes on where it was."""
        Change.objects.filter(pk__in=[change.pk for change in changes]).delete()
        self._account.seq, self._account.at = changes[-1].seq - 1, back_to
        bulk.update(self._account, ["seq", "at"])

    def _reverse(self, changes: Sequence[Change]) -> None:
        sessions = self._sessions({change.session for change in changes if change.session})
        rows = self._merge(changes, sessions)
        gone = {
            table: [u for u, row in found.items() if row.is_new] for table, found in rows.items()
        }
        for table, found in rows.items():
            back = {u: row for u, row in found.items() if not row.is_new and row.before}
            self._put_back(table, back, sessions)
        for table, uuids in gone.items():
            self._remove(table, uuids, sessions)
        self._touched |= {uuid for uuid in sessions if uuid not in gone["session"]}

    def _sessions(self, uuids: Iterable[UUID]) -> dict[UUID, Session]:
        found = {row.uuid: row for row in Session.objects.filter(uuid__in=set(uuids))}
        for session in found.values():
            session.account = self._account
        try:
            named = [(row.pk, row.uuid) for row in found.values()]
            keyring.load_sessions(self._account, named)
        except Damaged:
            pass  # each says so when it is opened
        return found

    def _merge(
        self, changes: Sequence[Change], sessions: dict[UUID, Session]
    ) -> dict[str, dict[UUID, _Row]]:
        """Return for each row what its Changes, newest first, come to."""
        rows: dict[str, dict[UUID, _Row]] = {table: {} for table in TABLES}
        for change in changes:
            if is_removal(change.op):
                self._removed.add(change.row)
            elif change.table in rows:
                row = rows[change.table].setdefault(change.row, _Row(change.session))
                self._add(row, change, sessions)
        return rows

    def _add(self, row: _Row, change: Change, sessions: dict[UUID, Session]) -> None:
        if change.before is None:
            row.is_new = change.op in MAKES.get(change.table, {change.op})
        elif change.session is None or change.session in sessions:
            try:
                before = self._open(change, sessions)
                row.before |= before
                row.count += bool(before)
            except Damaged as error:
                self._report(change.table, change.row, error)

    def _open(self, change: Change, sessions: dict[UUID, Session]) -> dict[str, Any]:
        record = change.before or b""
        key = keyring.account_keys(self._account).rows
        if change.session is not None:
            session = sessions[change.session]
            key = keyring.session_key(self._account, session, crypto.key_version(record))
        context = Context("change", "before", change.row, change.session, change.table, change.seq)
        found: dict[str, Any] = json.loads(crypto.unseal(key, record, context))
        return found

    def _report(self, table: str, row: UUID, error: Exception) -> None:
        self.problems.append(f"{table} {row}: {error}")

    # Fields put back

    def _put_back(self, table: str, rows: dict[UUID, _Row], sessions: dict[UUID, Session]) -> None:
        if table == "session":
            for uuid in rows.keys() & sessions.keys():
                self._put_session_back(sessions[uuid], rows[uuid])
            return
        found = TABLES[table].objects.filter(uuid__in=rows)
        if table == "message":
            self._put_messages_back([row for row in found if row.revision], rows, sessions)
            return
        for row in found:
            columns = _set(row, rows[row.uuid].before)
            bulk.update(row, columns)

    def _put_session_back(self, session: Session, row: _Row) -> None:
        before = row.before
        columns = _set(session, before)
        session.version = max(1, session.version - row.count)
        if "tags" in before:
            session.tags.set(Tag.objects.filter(account=self._account, uuid__in=before["tags"]))
        if "metadata" in before:
            columns += self._set_sealed(session, "metadata", before["metadata"])
        # An erased person's words may have been its title.
        if "title" in before and session.uuid not in self._removed:
            columns += self._retitle(session, before["title"])
        bulk.update(session, [*columns, "version"])

    def _retitle(self, session: Session, title: str | None) -> list[str]:
        now = records.or_damaged(records.title_of, session) if session.title else None
        if title == now:
            return []
        return self._set_sealed(session, "title", title)

    def _set_sealed(self, session: Session, column: str, value: Any) -> list[str]:
        """Seal a title or metadata, and let the index of titles follow."""
        if self._search:
            upkeep.drop_titles([session])
        records.set_column(session, column, value)
        if self._search:
            upkeep.add_titles([session])
        return [column, f"{column}_revision"]

    def _put_messages_back(
        self, found: Sequence[Message], rows: dict[UUID, _Row], sessions: dict[UUID, Session]
    ) -> None:
        for message in found:
            uuid = rows[message.uuid].session
            assert uuid is not None  # noqa: S101  (every Change of a message names its session)
            message.session = sessions[uuid]
        if self._search:
            upkeep.drop(found)
        earlier = _earlier(found)
        for message in found:
            before = rows[message.uuid].before
            columns = _set(message, before, but=("revision",))
            number = before.get("revision", message.revision)
            # Not where somebody's words were taken back since.
            if number != message.revision and message.uuid not in self._removed:
                columns += self._put_text_back(message, number, earlier)
            bulk.update(message, columns)
        if self._search:
            upkeep.add(found)

    def _put_text_back(self, message: Message, number: int, earlier: _Earlier) -> list[str]:
        session, kept = message.session, earlier.get((message.pk, number))
        try:
            if kept is None:
                raise Damaged("Its earlier text is gone.")
            body = records.open_revision(kept, session)
        except Damaged as error:
            self._report("message", message.uuid, error)
            return []
        key = keyring.session_key(self._account, session)
        context = records.body_context(message.uuid, session.uuid, message.role, number)
        message.body = crypto.seal(key, body.pack(), context)
        message.revision, message.block, message.length = number, None, len(body.content)
        return ["body", "revision", "block", "length"]

    # Rows taken away

    def _remove(self, table: str, uuids: list[UUID], sessions: dict[UUID, Session]) -> None:
        rows = TABLES[table].objects.filter(uuid__in=uuids, account=self._account)
        if table == "message":
            self._remove_messages(rows, sessions)
        elif table == "session":
            self._remove_sessions([sessions[uuid] for uuid in uuids if uuid in sessions])
        elif table == "policy":
            # The site's own policies have no account.
            RetentionPolicy.objects.filter(uuid__in=uuids).delete()
        else:
            rows.delete()

    def _remove_messages(
        self, rows: models.QuerySet[Message, Message], sessions: dict[UUID, Session]
    ) -> None:
        if self._search:
            held = list(rows)
            by_key = {session.pk: session for session in sessions.values()}
            for message in held:
                message.session = by_key[message.session_id]
            upkeep.drop(held)
        rows.delete()

    def _remove_sessions(self, sessions: Sequence[Session]) -> None:
        """Remove sessions made later; whatever was said in them was taken away before."""
        if self._search:
            upkeep.drop_titles(sessions)
        keys = [session.pk for session in sessions]
        for model in (Block, DataKey):
            model.objects.filter(session__in=keys).delete()
        Session.objects.filter(pk__in=keys).delete()

    # What is derived

    def _derive(self) -> None:
        uuids = list(self._touched)
        for at in range(0, len(uuids), _AT_ONCE):
            sessions = list(self._sessions(uuids[at : at + _AT_ONCE]).values())
            self._count(sessions)
            shown = self._shown(sessions)
            for session in sessions:
                self._preview(session, shown.get(session.pk))

    def _shown(self, sessions: Sequence[Session]) -> dict[int, Message]:
        rows = Message.objects.filter(session__in=sessions, seq=F("session__head_seq"))
        return {row.session_id: row for row in rows.filter(deleted_at=None)}

    def _count(self, sessions: Sequence[Session]) -> None:
        alive = Message.objects.filter(session__in=sessions, deleted_at=None)
        sums = alive.order_by().values_list("session").annotate(Count("pk"), Sum("tokens"))
        known = {pk: (count, tokens) for pk, count, tokens in sums}
        for session in sessions:
            session.message_count, session.total_tokens = known.get(session.pk, (0, 0))
        bulk.update_all(sessions, ["message_count", "total_tokens"])

    def _preview(self, session: Session, shown: Message | None) -> None:
        body = shown and records.or_damaged(records.open_body, shown, session)
        wanted = text.preview_of(body.content) if body else ""
        try:
            if wanted != records.or_damaged(records.preview_of, session):
                records.set_column(session, "preview", wanted)
                bulk.update(session, ["preview", "preview_revision"])
        except Damaged as error:
            self._report("session", session.uuid, error)

    def _clamp(self) -> None:
        """Let no row name a Change that is no more."""
        seq = self._account.seq
        models_: list[type[Any]] = [*TABLES.values(), Block]
        for model in models_:
            later = Q(account=self._account, changed__gt=seq)
            model.objects.filter(later).update(changed=seq)


def _earlier(messages: Sequence[Message]) -> _Earlier:
    found = Revision.objects.filter(message__in=[row.pk for row in messages])
    return {(row.message_id, row.revision): row for row in found}


def _set(row: Any, before: dict[str, Any], but: Sequence[str] = ()) -> list[str]:
    """Give a row the plain columns that a before-image names; return them."""
    fields = {one.name: one for one in row._meta.concrete_fields}
    names = [
        name
        for name in before.keys() & fields.keys() - _PHYSICAL - set(but)
        if not isinstance(fields[name], models.BinaryField)
    ]
    for name in names:
        setattr(row, name, fields[name].to_python(_meant(before[name], fields[name])))
    return sorted(names)


def _meant(value: Any, one: Any) -> Any:
    """Return None for a time that was not there."""
    return None if value == "" and isinstance(one, models.DateTimeField) else value
