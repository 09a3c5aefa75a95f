"""A life in small random steps, and a picture of what an account says after each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.utils import timezone

from chathistory import ids, keyring, ledger, records, text
from chathistory.actions import (
    accounts,
    exchange,
    lifecycle,
    messages,
    packing,
    pipeline,
    purge,
    retention,
    sessions,
)
from chathistory.exceptions import ChatHistoryError
from chathistory.formats.base import Transcript, Turn
from chathistory.journal import Operation
from chathistory.models import Account, Message, RetentionPolicy, Revision, Session, Tag
from chathistory.search.base import index

WORDS = ("okapi", "zebra", "tapir", "monad", "functor", "lemma")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MICRO = timedelta(microseconds=1)

#: A picture: what can be read, by uuid.
Picture = dict[str, Any]


@dataclass
class Work:
    """What a job's function is given, done inline."""

    account: Account
    uuid: UUID = field(default_factory=ids.new_id)
    arguments: dict[str, Any] = field(default_factory=dict)

    def step(self, done: int, total: int | None = None) -> None:
        """Say nothing."""


def said(at: int) -> str:
    """Return some words that a number stands for."""
    return " ".join(WORDS[(at // 7**i) % len(WORDS)] for i in range(1 + at % 4))


class Life:
    """What Alice does, and Bob in her sessions; each step is one verb with three numbers."""

    def __init__(self, alice: User, bob: User, clock: Any) -> None:
        self.alice, self.bob, self.clock = alice, bob, clock
        self.account = accounts.of(alice)
        self.pictures: list[tuple[datetime, Picture]] = []
        clock.move_to(START, tick=False)
        self.remember()

    def live(self, steps: Iterable[tuple[str, int, int, int]]) -> None:
        """Do steps, whatever comes of them, and take a picture after each."""
        for verb, a, b, wait in steps:
            self.clock.shift(timedelta(microseconds=wait))
            try:
                getattr(self, f"_{verb}")(a, b)
            except ChatHistoryError:
                continue  # a verb that may not be done just then changes nothing
            finally:
                self.remember()

    def at(self, moment: datetime) -> Picture:
        """Return the last picture that was taken by then."""
        return next(picture for at, picture in reversed(self.pictures) if at <= moment)

    def remember(self) -> None:
        """Take a picture, unless nothing was done since the last."""
        seq = self.account.seq
        self.account.refresh_from_db()
        if self.account.seq != seq or not self.pictures:
            self.pictures.append((self.account.at, picture(self.account)))

    # The verbs

    def _session(self, a: int) -> Session:
        rows = Session.objects.filter(account=self.account).order_by("pk")
        found = list(rows.select_related("account"))
        if not found:
            raise ChatHistoryError
        return found[a % len(found)]

    def _message(self, a: int, b: int) -> Message:
        found = list(self._session(a).messages.order_by("seq").select_related("session__account"))
        if not found:
            raise ChatHistoryError
        return found[b % len(found)]

    def _create(self, a: int, b: int) -> None:
        title = said(b) if a % 2 else None
        sessions.create(self.alice, "tutor", title=title, metadata={"n": b} if b % 3 else None)

    def _append(self, a: int, b: int) -> None:
        role, tokens = ("user", "assistant")[b % 2], b if b % 5 == 0 else None
        messages.append(self._session(a), self.alice, role, said(b), tokens=tokens)

    def _edit(self, a: int, b: int) -> None:
        messages.edit(self._message(a, b // 3), self.alice, said(b))

    def _branch(self, a: int, b: int) -> None:
        messages.branch(self._message(a, b // 3), self.alice, said(b))

    def _unsay(self, a: int, b: int) -> None:
        messages.delete(self._message(a, b), self.alice)

    def _rename(self, a: int, b: int) -> None:
        sessions.rename(self._session(a), self.alice, said(b))

    def _change(self, a: int, b: int) -> None:
        tags = [said(b), said(b + 1)]
        sessions.change(
            self._session(a), self.alice, pinned=b % 2 == 0, tags=tags, metadata={"n": b % 3}
        )

    def _retag(self, a: int, b: int) -> None:
        sessions.retag(self._session(a), self.alice, [said(b % 3)], add=b % 2 == 0)

    def _delete(self, a: int, _b: int) -> None:
        sessions.delete(self._session(a), self.alice)

    def _restore(self, a: int, _b: int) -> None:
        sessions.restore(self._session(a), self.alice)

    def _archive(self, a: int, _b: int) -> None:
        lifecycle.archive(self._session(a), self.alice)

    def _resume(self, a: int, _b: int) -> None:
        lifecycle.resume(self._session(a), self.alice)

    def _hold(self, a: int, b: int) -> None:
        lifecycle.hold(self._session(a), None, b % 2 == 0, "a reason")

    def _fork(self, a: int, _b: int) -> None:
        sessions.fork(self._session(a), self.alice)

    def _import(self, a: int, b: int) -> None:
        turns = [
            Turn(str(n), str(n - 1) if n else None, ("user", "assistant")[n % 2], said(b + n))
            for n in range(1 + b % 4)
        ]
        chat = Transcript("elsewhere", str(a % 3), title="Imported", turns=turns, tags=[said(a)])
        exchange.import_transcripts(self.alice, [chat])

    def _policy(self, _a: int, b: int) -> None:
        tag = Tag.objects.filter(account=self.account).first()
        if tag is None:
            raise ChatHistoryError
        retention.set_policy(self.alice, tag=tag, archive_after=3600 * (1 + b % 9))

    def _pack(self, _a: int, _b: int) -> None:
        packing.compress(Work(self.account))

    def _sweep(self, _a: int, b: int) -> None:
        self.clock.shift(timedelta(days=b % 3))
        lifecycle.sweep(Work(accounts.system()))

    def _rekey(self, a: int, _b: int) -> None:
        """Give a session a new key for what is said from now on, as a rotation does."""
        session = self._session(a)
        with Operation(session.account, None, "session.rekey") as op:
            session = pipeline.lock(op, session)
            before = {"key_version": session.key_version}
            session.key_version += 1
            keyring.make_session_keys(op.account, [session])
            pipeline.touch(op, session, before, "key_version")

    def _purge(self, a: int, _b: int) -> None:
        purge.purge(self._session(a), self.alice)

    def _forget(self, _a: int, b: int) -> None:
        """Let time pass, and what the trash has kept long enough go."""
        self.clock.shift(timedelta(days=b % 31))
        purge._tombstones(Work(accounts.system()), timezone.now())  # sweep also writes the log


#: The verbs, those that make something more often.
VERBS = (
    *("create", "append", "append", "append", "append", "edit", "edit", "branch", "unsay"),
    *("rename", "change", "retag", "delete", "restore", "archive", "resume", "hold", "fork"),
    *("import", "policy", "pack", "sweep", "rekey", "purge", "forget"),
)


# What can be read


def picture(account: Account) -> Picture:
    """Return everything an account says, whatever the keys of its rows."""
    rows = Session.objects.filter(account=account).order_by("uuid")
    found: Picture = {}
    for row in rows:
        row.account = account
        found[f"session {row.uuid}"] = _session(row)
        for message in row.messages.order_by("seq"):
            found[f"message {message.uuid}"] = _message(message, row)
    for tag in Tag.objects.filter(account=account):
        found[f"tag {tag.uuid}"] = records.tag_name(tag, account)
    for policy in RetentionPolicy.objects.filter(account=account):
        found[f"policy {policy.uuid}"] = [getattr(policy, name) for name in retention.FIELDS]
    return found


def _session(row: Session) -> dict[str, Any]:
    names = (
        *("workflow", "state", "pinned", "hold", "version", "title_source", "last_seq"),
        *("head_seq", "message_count", "total_tokens", "created_at", "updated_at"),
        *("last_activity", "archived_at", "deleted_at", "purge_after"),
    )
    return {name: getattr(row, name) for name in names} | {
        "title": records.title_of(row),
        "metadata": records.metadata_of(row),
        "tags": sorted(str(tag.uuid) for tag in row.tags.all()),
    }


def _message(row: Message, session: Session) -> dict[str, Any]:
    names = (
        *("seq", "parent_seq", "role", "status", "revision", "tokens", "length", "place"),
        *("created_at", "edited_at", "deleted_at"),
    )
    body = records.open_body(row, session) if row.revision else None
    earlier = Revision.objects.filter(message=row).order_by("revision")
    texts = [(one.revision, records.open_revision(one, session).content) for one in earlier]
    return {name: getattr(row, name) for name in names} | {
        "session": session.uuid,
        "content": body.content if body else "",
        "metadata": body.metadata if body else {},
        "revisions": texts,
    }


def lost(then: Picture, since: datetime | None = None) -> set[str]:
    """Return what of an earlier picture has been removed for good by now.

    With ``since``, also what was so removed since and then came again, by another import.
    """
    gone = {name for name in then if not _is_kept(*name.split())}
    return gone | (_purged(then, since) if since else set())


def _purged(then: Picture, since: datetime) -> set[str]:
    entries = [one for one in ledger.read() if one.at > since]
    sessions = {one.session for one in entries if not one.messages}
    found = {f"message {uuid}" for one in entries for uuid in one.messages}
    found |= {f"session {uuid}" for uuid in sessions}
    found |= {name for name, row in then.items() if _session_of(row) in sessions}
    return found & then.keys()


def _session_of(row: Any) -> UUID | None:
    return row.get("session") if isinstance(row, dict) else None


def less(picture: Picture, gone: set[str]) -> Picture:
    """Return a picture without what is gone, what was counted with it, and titles made of it."""
    left = {name: dict(row) if isinstance(row, dict) else row for name, row in picture.items()}
    for name in gone & left.keys():
        row = left.pop(name)
        owner = _session_of(row)
        session = left.get(f"session {owner}", {})
        for derived in ("message_count", "total_tokens"):
            session.pop(derived, None)
        is_automatic = owner is not None and session.get("title_source") == "auto"
        if is_automatic and session["title"] == text.title_from(row["content"]):
            session["title"] = text.untitled(owner)
    return left


def _is_kept(kind: str, uuid: str) -> bool:
    if kind == "session":
        return Session.objects.filter(uuid=uuid, purging_at=None).exists()
    if kind == "message":
        return Message.objects.filter(uuid=uuid, revision__gt=0).exists()
    return True


def indexed(account: Account) -> bool:
    """Tell whether the index holds exactly what can be read."""
    keyed = keyring.account_keys(account).search
    rows = Message.objects.filter(account=account).select_related("session__account")
    wanted, titles = {}, {}
    for row in rows:
        if row.deleted_at is None:
            wanted[row.place] = keyed.of_text(records.open_body(row, row.session).content)
        assert bool(row.indexed) == (row.deleted_at is None), row.uuid
    for one in Session.objects.filter(account=account).select_related("account"):
        named = [records.title_of(one)] if one.title is not None else []
        said = "\n".join(named + _texts(records.metadata_of(one)))
        titles[one.pk] = keyed.of_text(said)
    return _in_index(rows, wanted, "place") and _in_index(
        Session.objects.filter(account=account), titles, "pk", titles=True
    )


def _texts(value: Any) -> list[str]:
    """Return the texts in JSON, in order."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [text for one in inner for text in _texts(one)]
    return [value] if isinstance(value, str) else []


def _in_index(rows: Any, wanted: dict[int, str], column: str, **more: bool) -> bool:
    places = list(rows.values_list(column, flat=True))
    found = index().read(places, **more) if places else []
    return {doc.place: sorted(doc.tokens.split()) for doc in found if doc.tokens} == {
        place: sorted(tokens.split()) for place, tokens in wanted.items() if tokens
    }
