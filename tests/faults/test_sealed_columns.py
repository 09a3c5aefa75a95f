"""A sealed record that was changed, cut, put back, moved or sealed by another key does not open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chathistory import crypto, keyring, records, represent
from chathistory.crypto import Context, Key
from chathistory.exceptions import Damaged, MasterKeyError
from chathistory.models import DataKey, Message
from tests.faults.cells import Cell, lived
from tests.rows.test_sealed_field import SEALED

HEADER = 18


@pytest.fixture
def cells(alice, bob, talk) -> dict[str, Cell]:
    return lived(alice, bob, talk)


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
        under_master = name in ("DataKey.master_wrapped", "Backup.key")
        assert under_master or refused.type is Damaged
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
