"""Blocks: what goes in comes out, for whom it is, from memory where it was read before."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chathistory import blocks, crypto, ids, records
from chathistory.actions import accounts, packing
from chathistory.blocks import Opened, Part
from chathistory.crypto import Key
from chathistory.exceptions import Damaged
from chathistory.models import Block, Message, Session
from chathistory.text import ROLES
from tests.actions.asked import Asked

parts = st.builds(
    Part, st.uuids(), st.integers(0, 2**31), st.sampled_from(ROLES), st.binary(max_size=60)
)


@given(st.lists(parts, min_size=1, max_size=12))
def test_what_is_joined_is_split_again(given_parts):
    assert blocks.split(blocks.join(given_parts)) == given_parts


def test_the_number_of_a_role_never_changes():
    assert ROLES[:6] == ("system", "developer", "user", "assistant", "tool", "function")


def test_a_body_is_given_out_only_as_it_was_packed():
    mine, other = ids.new_id(), ids.new_id()
    opened = Opened([Part(mine, 2, "user", b"text"), Part(other, 1, "assistant", b"more")])
    assert opened.body(mine, 2, "user") == b"text"
    for asked in ((mine, 1, "user"), (mine, 2, "assistant"), (ids.new_id(), 2, "user")):
        with pytest.raises(Damaged):
            opened.body(*asked)


@pytest.mark.parametrize("text", [b"a" * 5000, b"\x07"])
def test_a_record_opens_only_as_this_block_of_this_session(text):
    key, block, session = Key(1, crypto.new_key()), ids.new_id(), ids.new_id()
    record = blocks.seal(key, block, session, *crypto.pack_tightly(text))
    assert crypto.unseal(key, record, blocks.context(block, session)) == text
    for place in ((ids.new_id(), session), (block, ids.new_id()), (session, block)):
        with pytest.raises(Damaged):
            crypto.unseal(key, record, blocks.context(*place))


def test_what_does_not_shrink_is_kept_as_it_is():
    assert crypto.pack_tightly(b"\x01\x02")[0] == crypto.PLAIN
    assert crypto.pack_tightly(b"yes and no " * 50)[0] == crypto.ZSTD


@pytest.fixture
def packed(alice, talk) -> Session:
    session = talk(*(f"number {n}" for n in range(50)))
    Session.objects.update(state="archived", archived_at=session.updated_at)
    packing.compress(Asked(accounts.of(alice)))
    return Session.objects.select_related("account").get()


def test_fifty_messages_are_five_blocks(packed, django_assert_num_queries):
    rows = list(packed.messages.order_by("seq"))
    records.title_of(packed)
    with django_assert_num_queries(5):
        texts = [records.open_body(row, packed).content for row in rows]
    assert texts == [f"number {n}" for n in range(50)]
    with django_assert_num_queries(0):
        assert records.open_body(rows[7], packed).content == "number 7"
    blocks.forget(packed)
    with django_assert_num_queries(1):
        records.open_body(rows[7], packed)


def test_a_block_of_another_session_or_message_is_damage(packed, alice, talk):
    first, second = packed.messages.order_by("seq")[:2]
    other = talk("elsewhere")
    for change in (
        {"session": other},
        {"uuid": ids.new_id()},
        {"body": Block.objects.order_by("pk")[1].body},
    ):
        row = Block.objects.order_by("pk")[0]
        kept = {name: getattr(row, name) for name in change}
        Block.objects.filter(pk=row.pk).update(**change)
        with pytest.raises(Damaged):
            records.open_body(first, packed)
        Block.objects.filter(pk=row.pk).update(**kept)
    assert records.open_body(first, packed).content == "number 0"
    Message.objects.filter(pk=first.pk).update(role="assistant")
    first.refresh_from_db()
    with pytest.raises(Damaged):
        records.open_body(first, packed)
    assert records.open_body(second, packed).content == "number 1"


def test_blocks_hold_ten_messages_that_follow_each_other(packed):
    groups = [
        list(block.messages.order_by("seq").values_list("seq", flat=True))
        for block in packed.blocks.order_by("pk")
    ]
    assert [len(group) for group in groups] == [10] * 5
    assert all(b == a + 1 for a, b in pairwise(seq for group in groups for seq in group))
