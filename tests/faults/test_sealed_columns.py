"""A sealed record that was changed, cut, put back, moved or sealed by another key does not open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from chathistory import crypto, keyring, records, represent
from chathistory.actions import jobs, messages, sessions
from chathistory.crypto import Context, Key
from chathistory.exceptions import Damaged, MasterKeyError
from chathistory.models import Change, DataKey, Message, Revision, Session, Tag
from tests.rows.test_sealed_field import SEALED

HEADER = 18


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
        return getattr(self.row, "uuid", self.row.account.uuid)


def flipped(record: bytes, at: int) -> bytes:
    at %= len(record)
    return record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :]


def damages(cell: Cell) -> Iterator[tuple[str, bytes]]:
    record = getattr(cell.row, cell.column)
    for name, at in {"format": 0, "codec": 1, "version": 5, "first of nonce": 6}.items():
        yield name, flipped(record, at)
    for name, at in {"last of nonce": 17, "text": HEADER, "tag": -1, "first of tag": -16}.items():
        yield name, flipped(record, at)
    yield "one byte short", record[:-1]
    yield "one byte long", record + b"\0"
    yield "only a header", record[:HEADER]
    yield "half a header", record[:9]
    yield "nothing", b""
    stranger = Key(1, crypto.new_key())
    yield "another key", crypto.seal(stranger, b"{}", Context("x", "y", cell.uuid))
    if cell.old is not None:
        yield "old ciphertext", cell.old
    for number, other in enumerate(cell.others):
        yield f"other place {number}", other


def before_of(change: Change) -> bytes:
    session = Session.objects.select_related("account").get(uuid=change.session)
    key = keyring.session_key(session.account, session)
    context = Context("change", "before", change.row, session.uuid, change.table, change.seq)
    return crypto.unseal(key, change.before, context)


def key_of(row: DataKey) -> Any:
    if row.session:
        return keyring.session_key(row.account, row.session)
    return keyring.account_keys(row.account)


@pytest.fixture
def cells(alice, bob, talk) -> dict[str, Cell]:
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
    columns = {
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


NAMES = [f"{model.__name__}.{name}" for model, name in SEALED] + ["DataKey.wrapped of the account"]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_refused(cells, name):
    cell = cells[name]
    model, record = type(cell.row), getattr(cell.row, cell.column)
    tried = []
    for what, damaged in damages(cell):
        assert damaged != record
        model.objects.filter(pk=cell.row.pk).update(**{cell.column: damaged})
        keyring.forget()
        row = model.objects.get(pk=cell.row.pk)
        with pytest.raises((Damaged, MasterKeyError)) as refused:
            cell.open(row)
        assert name == "DataKey.master_wrapped" or refused.type is Damaged
        tried.append(what)
    assert len(tried) >= 15
    model.objects.filter(pk=cell.row.pk).update(**{cell.column: record})
    keyring.forget()
    cell.open(model.objects.get(pk=cell.row.pk))


def test_a_damaged_message_is_shown_as_such_and_its_neighbours_as_ever(cells):
    said = cells["Message.body"].row
    Message.objects.filter(pk=said.pk).update(body=flipped(said.body, -1))
    session = said.session
    shown = represent.messages_json(session, session.messages.order_by("seq"))
    assert [(one["content"], one["damaged"]) for one in shown] == [("one", False), (None, True)]


@pytest.mark.parametrize("purpose", DataKey.Purpose.values)
def test_a_key_that_is_gone_is_damage(cells, purpose):
    session = cells["Session.title"].row
    DataKey.objects.filter(account=session.account, purpose=purpose).delete()
    keyring.forget()
    with pytest.raises(Damaged):
        records.title_of(session)
