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
from chathistory.models import Backup, Block, Change, DataKey, Message, Revision, Session, Tag
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
    ran = [jobs.run(first.account, "import", {"n": n}, dict) for n in range(2)]
    result = ran[0].result
    records.seal_job(ran[0], "result", {"more": 1})
    ran[0].save()

    first, second = Session.objects.select_related("account").order_by("pk")[:2]
    said = Message.objects.select_related("session__account").get(pk=said.pk)
    near, far = first.messages.get(seq=1), second.messages.get()
    earlier = list(Revision.objects.order_by("pk"))
    tags, changes = (
        list(Tag.objects.select_related("account")),
        Change.objects.filter(before__isnull=False),
    )
    change, another = changes.filter(session=first.uuid).order_by("-seq")[:2]
    wrapped = {(k.account_id, k.purpose, k.session_id): k for k in DataKey.objects.all()}
    mine = first.account_id
    of_session, own = wrapped[mine, "session", first.pk], wrapped[mine, "account", None]
    rows, tag = wrapped[mine, "rows", None], wrapped[mine, "tag", None]
    his = DataKey.objects.exclude(account=mine).get(purpose="account")
    block, next_to_it, apart = packed_blocks(talk)
    backup, other_backup = backups()
    columns = {
        "Backup.key": Cell(
            *(backup, "key", lambda row: keysets.unwrap(row.name, bytes(row.key))),
            [other_backup.key, own.master_wrapped],
        ),
        "Block.body": Cell(block, "body", open_block, [next_to_it.body, apart.body, said.body]),
        "Session.title": Cell(first, "title", records.title_of, [second.title, first.preview]),
        "Session.preview": Cell(first, "preview", records.preview_of, [second.preview]),
        "Session.metadata": Cell(first, "metadata", records.metadata_of, [second.metadata]),
        "Message.body": Cell(
            *(said, "body", lambda row: records.open_body(row, row.session)),
            [near.body, far.body, earlier[1].body],
            earlier[0].body,
        ),
        "Revision.body": Cell(
            *(earlier[0], "body", lambda row: records.open_revision(row, row.message.session)),
            [earlier[1].body, said.body],
        ),
        "Change.before": Cell(change, "before", before_of, [another.before]),
        "Tag.name": Cell(tags[0], "name", lambda r: records.tag_name(r, r.account), [tags[1].name]),
        "Job.arguments": Cell(
            *(ran[0], "arguments", lambda row: records.open_job(row, "arguments")),
            [ran[1].arguments, ran[0].result],
        ),
        "Job.result": Cell(
            *(ran[0], "result", lambda row: records.open_job(row, "result")),
            *([ran[1].result, ran[0].arguments], result),
        ),
        "DataKey.wrapped": Cell(of_session, "wrapped", key_of, [rows.wrapped]),
        "DataKey.wrapped of the account": Cell(rows, "wrapped", key_of, [tag.wrapped]),
        "DataKey.master_wrapped": Cell(own, "master_wrapped", key_of, [his.master_wrapped]),
    }
    for name in ("title", "preview", "metadata"):
        columns[f"Session.{name}"].old = old[name]
    return columns
