"""packing.compress: bodies into blocks and out of them, while nobody notices."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from chathistory import blocks, keyring, records, represent
from chathistory.actions import accounts, exchange, exporting, messages, packing, sessions
from chathistory.exceptions import Damaged, Invalid
from chathistory.formats.base import Transcript, Turn
from chathistory.models import Block, Change, DataKey, Message, Session
from chathistory.search.find import search
from tests.actions.asked import Asked

SORTS = ("newest", "relevance")


def archive(*rows: Session) -> None:
    Session.objects.filter(pk__in=[row.pk for row in rows]).update(
        state="archived", archived_at=timezone.now()
    )


def wake(session: Session) -> None:
    Session.objects.filter(pk=session.pk).update(state="active", archived_at=None)


def pack(user: User) -> dict[str, int]:
    return packing.compress(Asked(accounts.of(user)))


def fresh(session: Session) -> Session:
    return Session.objects.select_related("account").get(pk=session.pk)


def texts(session: Session) -> list[str]:
    rows = session.messages.order_by("seq")
    return [records.open_body(row, session).content for row in rows]


def long(user: User, count: int, name: str = "long") -> Session:
    turns = [Turn(f"{name}{n}", None, "user", f"{name} says {n} zebras") for n in range(count)]
    exchange.import_transcripts(user, [Transcript("test", name, turns=turns)])
    return Session.objects.select_related("account").order_by("-pk")[0]


def everything(user: User, session: Session) -> list[Any]:
    """What readers get of a session that does not tell whether it is packed."""
    session = fresh(session)
    rows = session.messages.order_by("seq")
    found = [search(user, q, sort=s, limit=50) for q in ("zebra", '"a striped"') for s in SORTS]
    exported = next(exporting.export_sessions(user, [session]))
    exported["metadata"].pop("compressed", None)
    exported |= {"state": None, "archived_at": None}
    exported["messages"] = list(exported["messages"])
    return [
        represent.messages_json(session, rows, html=True),
        json.dumps(exported, sort_keys=True),
        [[(h.message.uuid, h.snippet, h.highlights, h.score) for h in a.hits] for a in found],
    ]


def test_happy_nobody_sees_a_difference(alice, talk):
    session = talk("zebra?", "a striped horse", *(f"line {n} \u00e9\U0001f993" for n in range(23)))
    messages.edit(session.messages.get(seq=3), alice, "another zebra")
    messages.append(
        *(session, alice, "tool", "42"), metadata={"a": 1}, blocks=[{"b": 2}], raw={"c": "\u2028"}
    )
    messages.delete(session.messages.get(seq=5), alice)
    before = everything(alice, session)
    rows = list(session.messages.order_by("seq").values_list("pk", "uuid", "seq", "revision"))
    archive(session)
    assert pack(alice) == {"packed": 26, "unpacked": 0, "damaged": 0}
    assert sorted(len(block.messages.all()) for block in Block.objects.all()) == [6, 10, 10]
    assert set(session.messages.values_list("body", flat=True)) == {b""}
    after = fresh(session)
    assert represent.session_json(after)["metadata"]["compressed"] is True
    assert list(after.messages.order_by("seq").values_list("pk", "uuid", "seq", "revision")) == rows
    assert everything(alice, session) == before


def test_happy_a_woken_session_is_unpacked(alice, talk):
    session = talk("zebra?", "a striped horse")
    before = everything(alice, session)
    archive(session)
    pack(alice)
    messages.append(fresh(session), alice, "user", "and a donkey?")
    assert pack(alice) == {"packed": 0, "unpacked": 2, "damaged": 0}
    after = fresh(session)
    assert (after.compressed, Block.objects.count()) == (False, 0)
    assert not after.messages.exclude(block=None).exists()
    assert "compressed" not in represent.session_json(after)["metadata"]
    assert everything(alice, session)[0][:2] == before[0]


def test_happy_the_system_packs_for_everybody(alice, bob, talk):
    archive(talk("one"), talk("two"), talk("three", user=bob))
    system = accounts.system()
    work = Asked(system)
    assert packing.compress(work)["packed"] == 3
    assert work.steps[-1] == (3, 3)
    assert set(Change.objects.filter(op="session.pack").values_list("actor", flat=True)) == {
        system.pk
    }


def test_happy_a_block_is_one_change_and_so_is_the_session(alice, talk):
    session = talk(*(f"{n}" for n in range(12)))
    archive(session)
    version, updated = session.version, session.updated_at
    pack(alice)
    changes = Change.objects.filter(op="session.pack").order_by("seq")
    assert [change.table for change in changes] == ["block", "block", "session"]
    for block, change in zip(Block.objects.order_by("pk"), changes, strict=False):
        assert (block.uuid, block.changed) == (change.row, change.seq)
        assert set(block.messages.values_list("changed", flat=True)) == {change.seq}
    after = fresh(session)
    assert (after.changed, after.compressed) == (changes[2].seq, True)
    assert (after.version, after.updated_at) == (version, updated)


def test_happy_a_long_session_takes_several_short_operations(alice):
    session = long(alice, 450)
    archive(session)
    assert pack(alice)["packed"] == 450
    assert Change.objects.filter(op="session.pack").values("operation").distinct().count() >= 3
    assert fresh(session).compressed
    assert texts(fresh(session))[449] == "long says 449 zebras"


def test_happy_an_import_of_its_export_does_not_say_packed(alice, bob, talk):
    session = talk("one")
    archive(session)
    pack(alice)
    file = next(exporting.export_sessions(alice, [fresh(session)]))
    assert file["metadata"]["compressed"] is True
    transcript = Transcript(
        "test", "x", metadata=file["metadata"], turns=[Turn("1", None, "user", "a")]
    )
    exchange.import_transcripts(bob, [transcript])
    copy = Session.objects.select_related("account").get(account__user=bob)
    assert "compressed" not in records.metadata_of(copy)


def test_stranger_leaves_what_is_not_theirs(alice, charlie, talk):
    archive(talk("mine"))
    assert pack(charlie)["packed"] == 0
    orphan = accounts.of(charlie)
    orphan.user = None
    assert packing.compress(Asked(orphan))["packed"] == 0
    assert Block.objects.count() == 0


@pytest.mark.parametrize("arguments", [{"session": "x"}, {"": None}])
def test_malformed_arguments_are_refused(alice, talk, arguments):
    archive(talk("mine"))
    with pytest.raises(Invalid):
        packing.compress(Asked(accounts.of(alice), arguments))
    assert Block.objects.count() == 0


def test_malformed_bodies_stay_as_they_are_and_the_others_are_packed(alice, talk):
    session = talk("one", "two", "three")
    broken = session.messages.get(seq=2)
    damaged = broken.body[:-1] + bytes([broken.body[-1] ^ 1])
    Message.objects.filter(pk=broken.pk).update(body=damaged)
    archive(session)
    assert pack(alice) == {"packed": 2, "unpacked": 0, "damaged": 1}
    broken.refresh_from_db()
    assert (broken.body, broken.block_id) == (damaged, None)
    shown = represent.messages_json(fresh(session), session.messages.order_by("seq"))
    assert [(m["content"], m["damaged"]) for m in shown] == [
        *(("one", False), (None, True), ("three", False))
    ]
    assert fresh(session).compressed


def test_malformed_blocks_damage_their_ten_and_are_kept(alice, talk):
    session = talk(*(f"zebra {n}" for n in range(23)))
    archive(session)
    pack(alice)
    broken = Block.objects.order_by("pk")[1]
    damaged = broken.body[:-1] + bytes([broken.body[-1] ^ 1])
    Block.objects.filter(pk=broken.pk).update(body=damaged)
    blocks.forget(session)
    shown = represent.messages_json(fresh(session), session.messages.order_by("seq"))
    assert [m["seq"] for m in shown if m["damaged"]] == list(range(11, 21))
    assert [m["content"] for m in shown[20:]] == ["zebra 20", "zebra 21", "zebra 22"]
    found = {hit.message.seq for hit in search(alice, "zebra", limit=50).hits}
    assert found == set(range(1, 24)) - set(range(11, 21))
    wake(session)
    assert pack(alice) == {"packed": 0, "unpacked": 13, "damaged": 10}
    assert Block.objects.get().body == damaged
    assert not fresh(session).compressed
    assert pack(alice) == {"packed": 0, "unpacked": 0, "damaged": 0}


def test_malformed_keys_stop_nobody_else(alice, talk):
    lost, whole = talk("lost", "too"), talk("whole")
    DataKey.objects.filter(session=lost).delete()
    keyring.forget()
    archive(lost, whole)
    assert pack(alice) == {"packed": 1, "unpacked": 0, "damaged": 2}
    assert not fresh(lost).compressed
    assert fresh(whole).compressed


def test_repeated_does_nothing(alice, talk):
    archive(talk("one", "two"), talk())
    pack(alice)
    before = Change.objects.count()
    assert pack(alice) == {"packed": 0, "unpacked": 0, "damaged": 0}
    assert Change.objects.count() == before


def test_repeated_after_it_was_stopped_goes_on(alice):
    session = long(alice, 450)
    archive(session)
    with pytest.raises(InterruptedError):
        packing.compress(Asked(accounts.of(alice), patience=1))
    half = fresh(session)
    assert (half.compressed, 0 < Block.objects.count() < 45) == (False, True)
    assert texts(half)[::449] == ["long says 0 zebras", "long says 449 zebras"]
    done = session.messages.exclude(block=None).count()
    assert pack(alice)["packed"] == 450 - done
    assert fresh(session).compressed
    assert Block.objects.count() == 45


def test_repeated_archiving_packs_what_came_in_between(alice, talk):
    session = talk(*(f"{n}" for n in range(13)))
    archive(session)
    pack(alice)
    messages.append(fresh(session), alice, "user", "13")
    archive(session)
    Session.objects.filter(pk=session.pk).update(compressed=False)
    assert pack(alice) == {"packed": 1, "unpacked": 0, "damaged": 0}
    assert texts(fresh(session)) == [f"{n}" for n in range(14)]


def test_repeated_reads_of_rows_that_have_moved_give_what_they_said(alice, talk):
    session = talk("one", "two", "three")
    archive(session)
    pack(alice)
    stale, behind = fresh(session), list(session.messages.order_by("seq"))
    messages.edit(session.messages.get(seq=2), alice, "two, edited")
    blocks.forget(session)
    assert [records.open_body(row, stale).content for row in behind] == ["one", "two", "three"]
    assert texts(stale) == ["one", "two, edited", "three"]
    session.messages.all().delete()
    with pytest.raises(Damaged):
        records.open_body(behind[0], stale)


@pytest.mark.django_db(transaction=True)
def test_concurrent_runs_pack_each_message_once(alice, talk, together):
    said = [f"{n}" for n in range(25)]
    rows = [talk(*said) for _ in range(3)]
    archive(*rows)
    found = together(*[lambda: pack(alice)] * 4)
    assert sum(one["packed"] for one in found) == 75
    assert Block.objects.count() == 9
    assert [texts(fresh(row)) for row in rows] == [said] * 3
    assert all(fresh(row).compressed for row in rows)


@pytest.mark.django_db(transaction=True)
def test_concurrent_readers_and_editors_never_see_damage(alice, talk, together):
    session = talk(*(f"zebra {n}" for n in range(30)))

    def turn_over() -> None:
        for _ in range(6):
            archive(session)
            pack(alice)
            wake(session)
            pack(alice)

    def read() -> int:
        for _ in range(25):
            blocks.forget(session)
            shown = represent.messages_json(fresh(session), session.messages.order_by("seq"))
            assert [m["damaged"] for m in shown] == [False] * 30
        return len(shown)

    def find() -> int:
        for _ in range(25):
            blocks.forget(session)
            assert len(search(alice, "zebra", limit=50).hits) == 30
        return 30

    def edit() -> int:
        for n in range(10):
            messages.edit(session.messages.get(seq=7), alice, f"zebra, edited {n}")
        return 10

    assert together(turn_over, read, find, edit) == [None, 30, 30, 10]
    archive(session)
    pack(alice)
    assert texts(fresh(session))[6] == "zebra, edited 9"
    assert session.messages.get(seq=7).revision == 11
    sessions.delete(fresh(session), alice)
