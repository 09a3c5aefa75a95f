"""Search in what is packed, also while it is being unpacked."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from chathistory import blocks
from chathistory.actions import messages
from chathistory.models import Block, Message
from chathistory.search import asked, find
from tests.actions.test_packing_compress import archive, pack

pytestmark = pytest.mark.usefixtures("backend")


@pytest.fixture
def packed(alice, talk):
    session = talk(*(f"zebra {n}" for n in range(12)))
    archive(session)
    pack(alice)
    return session


def test_a_batch_reads_its_blocks_in_one_query(alice, packed):
    with CaptureQueriesContext(connection) as queries:
        assert len(find.search(alice, "zebra").hits) == 12
    table = f'FROM "{Block._meta.db_table}"'  # the index in memory reads one after the other
    read = [one for one in queries if table in one["sql"] and " IN (" in one["sql"]]
    assert len(read) == 1


def test_what_leaves_its_block_while_it_is_searched_is_found(alice, packed, monkeypatch):
    read = asked._blocks

    def unpack_first(*candidates: Any) -> Any:
        messages.edit(packed.messages.get(seq=2), alice, "a zebra, edited")
        blocks.forget(packed)
        return read(*candidates)

    monkeypatch.setattr(asked, "_blocks", unpack_first)
    found = find.search(alice, "zebra").hits
    assert {hit.message.seq for hit in found} == set(range(1, 13))
    assert Block.objects.count() == 1


def test_what_was_removed_for_good_meanwhile_is_not(alice, packed, monkeypatch):
    read = asked._blocks

    def remove_first(*candidates: Any) -> Any:
        Message.objects.filter(session=packed).delete()
        Block.objects.all().delete()
        blocks.forget(packed)
        return read(*candidates)

    monkeypatch.setattr(asked, "_blocks", remove_first)
    assert find.search(alice, "zebra").hits == []
