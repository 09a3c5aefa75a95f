"""What people do to an archived session that is packed: everything works, and nothing is lost."""

from __future__ import annotations

import pytest

from chathistory import records
from chathistory.actions import messages, packing, pipeline, sessions
from chathistory.exceptions import Damaged
from chathistory.journal import Operation
from chathistory.models import Block, Message, Revision, Session
from chathistory.search.find import search
from tests.actions.test_packing_compress import archive, fresh, pack, texts

SAID = [f"zebra {n}" for n in range(23)]


@pytest.fixture
def packed(alice, talk) -> Session:
    session = talk(*SAID)
    archive(session)
    pack(alice)
    return fresh(session)


def test_an_edit_unpacks_the_block_it_is_in_and_the_next_run_packs_it_again(alice, packed):
    row = messages.edit(packed.messages.get(seq=12), alice, "a donkey")
    assert (row.block_id, row.revision) == (None, 2)
    loose = packed.messages.filter(block=None).values_list("seq", flat=True)
    assert sorted(loose) == list(range(11, 21))
    assert Block.objects.count() == 2
    after = fresh(packed)
    assert (after.state, after.compressed) == ("archived", False)
    assert texts(after) == [*SAID[:11], "a donkey", *SAID[12:]]
    assert records.open_revision(Revision.objects.get(), after).content == "zebra 11"
    assert [hit.message.seq for hit in search(alice, "donkey").hits] == [12]
    assert 12 not in {hit.message.seq for hit in search(alice, "zebra", limit=50).hits}
    assert pack(alice) == {"packed": 10, "unpacked": 0, "damaged": 0}
    assert texts(fresh(packed)) == [*SAID[:11], "a donkey", *SAID[12:]]


def test_the_same_text_again_unpacks_nothing(alice, packed):
    messages.edit(packed.messages.get(seq=12), alice, "zebra 11")
    assert Block.objects.count() == 3
    assert fresh(packed).compressed


def test_an_edit_that_fails_leaves_the_block(alice, packed):
    block = Block.objects.order_by("pk")[0]
    Block.objects.filter(pk=block.pk).update(body=block.body[:-1] + b"!")
    packing.blocks.forget(packed)
    with pytest.raises(Damaged):
        messages.edit(packed.messages.get(seq=2), alice, "a donkey")
    assert packed.messages.filter(block=block).count() == 10


def test_a_message_is_removed_out_of_search_but_not_of_its_block(alice, packed):
    gone = messages.delete(packed.messages.get(seq=3), alice)
    assert gone.deleted_at is not None
    assert Message.objects.get(seq=3).block_id is not None
    assert len(search(alice, "zebra", limit=50).hits) == 22
    assert records.open_body(packed.messages.get(seq=3), packed).content == "zebra 2"


def test_new_messages_wake_it_and_siblings_too(alice, packed):
    messages.append(packed, alice, "user", "and a donkey?")
    messages.branch(packed.messages.get(seq=5), alice, "or a mule?")
    assert fresh(packed).state == "active"
    assert texts(fresh(packed)) == [*SAID, "and a donkey?", "or a mule?"]


def test_a_repeated_append_is_known_although_it_is_packed(alice, talk):
    session = talk("one")
    said = session.messages.get()
    archive(session)
    pack(alice)
    again = messages.append(fresh(session), alice, "user", "one", message_id=said.uuid)
    assert (again.pk, fresh(session).state) == (said.pk, "archived")


def test_a_fork_has_bodies_of_its_own(bob, packed, invite):
    invite(packed, bob, "read")
    copy = fresh(sessions.fork(packed, bob))
    assert texts(copy) == SAID
    assert not copy.messages.exclude(block=None).exists()


def test_in_the_trash_it_stays_packed_and_comes_back(alice, packed):
    sessions.delete(packed, alice)
    assert pack(alice) == {"packed": 0, "unpacked": 0, "damaged": 0}
    assert fresh(sessions.restore(packed, alice)).compressed
    assert texts(fresh(packed)) == SAID


def test_unpack_block_leaves_what_is_in_none(alice, talk):
    session = talk("one")
    with Operation(session.account, session.account, "test") as op:
        locked, row = pipeline.lock(op, session), session.messages.get()
        body = row.body
        packing.unpack_block(op, locked, row)
        assert (row.body, row.block_id) == (body, None)
