"""One cell of every sealed column, in rows that have lived a little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.utils import timezone

from chathistory import blocks, crypto, keyring, records
from chathistory.actions import jobs, messages, packing, sessions
from chathistory.backups import keysets
from chathistory.crypto import Context
from chathistory.models import (
    Account,
    Backup,
    Block,
    Change,
    DataKey,
    Message,
    Revision,
    Session,
    Tag,
    Vocabulary,
)
from chathistory.search import learned
from tests.actions.asked import Asked
from tests.conftest import Talk


@dataclass
class Cell:
    """One sealed value: how to open it, what it held before, what stands in other places."""

    row: Any
    column: str
    open: Callable[[Any], Any]
    others: list[bytes] = field(default_factory=list)
    old: bytes | None = None

    @property
    def uuid(self) -> Any:
        """Of the row, or of the account where the row has none."""
        return self.row.uuid if hasattr(self.row, "uuid") else self.row.account.uuid


def before_of(change: Change) -> bytes:
    session = Session.objects.select_related("account").get(uuid=change.session)
    key = keyring.session_key(session.account, session)
    context = Context("change", "before", change.row, session.uuid, change.table, change.seq)
    return crypto.unseal(key, change.before, context)


def key_of(row: DataKey) -> Any:
    if row.session:
        return keyring.session_key(row.account, row.session)
    return keyring.account_keys(row.account)


def open_backup(row: Backup) -> bytes:
    return keysets.unwrap(row.name, bytes(row.key))


def packed_blocks(talk: Talk) -> list[Block]:
    """Two blocks of an archived session, and one of another."""
    both = talk(*(f"{n}" for n in range(11))), talk("alone")
    keys = [session.pk for session in both]
    Session.objects.filter(pk__in=keys).update(state="archived", archived_at=both[0].updated_at)
    packing.compress(Asked(both[0].account))
    return list(Block.objects.select_related("account", "session").order_by("pk"))


def open_block(row: Block) -> Any:
    return blocks.unseal(row.account, (row.session_id, row.session.uuid), row.uuid, row.body)


def backups() -> list[Backup]:
    """Two rows of backups, each with the key of a container of its own."""
    rows = [
        Backup(chain=uuid4(), name=digit * 64, at=timezone.now(), kind="full") for digit in "ab"
    ]
    for row in rows:
        row.key = keysets.wrap(row.name, crypto.new_key())
        row.save()
    return rows


def lived(alice: User, bob: User, talk: Talk) -> dict[str, Cell]:
    """One cell of every sealed column, everything around it lived in."""
    first, second = talk("one", "two", title="A", metadata={"a": 1}), talk("three", title="B")
    talk("four", user=bob)
    old = {name: getattr(first, name) for name in ("title", "preview", "metadata")}
    said = first.messages.get(seq=2)
    messages.edit(said, alice, "two, edited")
    messages.edit(said, alice, "two, edited again")
    sessions.change(first, alice, title="C", metadata={"b": 1}, tags=["x", "y"])
    sessions.change(second, alice, metadata={"c": 1})
    first, second = Session.objects.select_related("account").order_by("pk")[:2]
    said = Message.objects.select_related("session__account").get(pk=said.pk)
    return {
        **_of_sessions(first, second, old),
        **_of_messages(said, second.messages.get()),
        **_of_journal(first),
        **_of_jobs(first),
        **_of_keys(first),
        **_of_blocks(talk, said),
        **_of_backups(first),
        **_of_vocabulary(first),
    }


def _of_sessions(first: Session, second: Session, old: dict[str, bytes]) -> dict[str, Cell]:
    cells = {
        "title": Cell(first, "title", records.title_of, [second.title, first.preview]),
        "preview": Cell(first, "preview", records.preview_of, [second.preview]),
        "metadata": Cell(first, "metadata", records.metadata_of, [second.metadata]),
    }
    for name, cell in cells.items():
        cell.old = old[name]
    return {f"Session.{name}": cell for name, cell in cells.items()}


def _of_messages(said: Message, far: Message) -> dict[str, Cell]:
    near = said.session.messages.get(seq=1)
    oldest, older = Revision.objects.order_by("pk")
    return {
        "Message.body": Cell(
            *(said, "body", lambda row: records.open_body(row, row.session)),
            *([near.body, far.body, older.body], oldest.body),
        ),
        "Revision.body": Cell(
            *(oldest, "body", lambda row: records.open_revision(row, row.message.session)),
            [older.body, said.body],
        ),
    }


def _of_journal(session: Session) -> dict[str, Cell]:
    changes = Change.objects.filter(before__isnull=False, session=session.uuid)
    change, another = changes.order_by("-seq")[:2]
    tag, other = Tag.objects.select_related("account")
    return {
        "Change.before": Cell(change, "before", before_of, [another.before]),
        "Tag.name": Cell(tag, "name", lambda r: records.tag_name(r, r.account), [other.name]),
    }


def _of_jobs(session: Session) -> dict[str, Cell]:
    one, other = (jobs.run(session.account, "import", {"n": n}, dict) for n in range(2))
    before = one.result
    records.seal_job(one, "result", {"more": 1})
    one.save()
    return {
        "Job.arguments": Cell(
            *(one, "arguments", lambda row: records.open_job(row, "arguments")),
            [other.arguments, one.result],
        ),
        "Job.result": Cell(
            *(one, "result", lambda row: records.open_job(row, "result")),
            *([other.result, one.arguments], before),
        ),
    }


def _of_keys(session: Session) -> dict[str, Cell]:
    keys = DataKey.objects.filter(account=session.account)
    rows, tag, own = (keys.get(purpose=name) for name in ("rows", "tag", "account"))
    his = DataKey.objects.exclude(account=session.account).get(purpose="account")
    of_session = keys.get(session=session)
    return {
        "DataKey.wrapped": Cell(of_session, "wrapped", key_of, [rows.wrapped]),
        "DataKey.wrapped of the account": Cell(rows, "wrapped", key_of, [tag.wrapped]),
        "DataKey.master_wrapped": Cell(own, "master_wrapped", key_of, [his.master_wrapped]),
    }


def _of_blocks(talk: Talk, said: Message) -> dict[str, Cell]:
    block, next_to_it, apart = packed_blocks(talk)
    others = [next_to_it.body, apart.body, said.body]
    return {"Block.body": Cell(block, "body", open_block, others)}


def _of_backups(session: Session) -> dict[str, Cell]:
    backup, other = backups()
    own = DataKey.objects.get(account=session.account, purpose="account")
    others = [other.key, own.master_wrapped]
    return {"Backup.key": Cell(backup, "key", open_backup, others)}


def _of_vocabulary(session: Session) -> dict[str, Cell]:
    """One that was sealed twice, and another person's."""
    owner, other = session.account, Account.objects.get(user__username="bob")
    for account in (owner, other):
        learned.of(account)
    old = Vocabulary.objects.get(account=owner).words
    learned.save(owner, learned.open_row(Vocabulary.objects.get(account=owner), owner))
    row, his = (Vocabulary.objects.get(account=account) for account in (owner, other))
    others = [his.words, Tag.objects.filter(account=owner)[0].name]
    return {
        "Vocabulary.words": Cell(
            row, "words", lambda one: learned.open_row(one, one.account), others, old
        )
    }
