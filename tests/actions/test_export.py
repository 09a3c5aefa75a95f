"""exporting.export_sessions: complete enough to import again to the same thing."""

from __future__ import annotations

import json
import uuid

import pytest

from chathistory.actions import accounts, exchange, exporting, messages, sessions
from chathistory.exceptions import NotAllowed, NotFound
from chathistory.formats import native
from chathistory.models import Session
from tests.formats.samples import forest, opened

IDS = ("session_id", "user_id", "version", "id", "parent_id", "head_id")


def export(user, owner=None) -> dict:
    rows = Session.objects.mine(owner or user).select_related("account__user").order_by("pk")
    return json.loads(b"".join(native.write(exporting.export_sessions(user, rows))))


def without_ids(document: dict) -> list:
    """Return the sessions with the tree told by numbers instead of ids."""
    found = json.loads(json.dumps(document["sessions"]))
    for session in found:
        numbers = {one["id"]: at for at, one in enumerate(session["messages"])}
        session["head"] = numbers.get(session["head_id"])
        for one in session["messages"]:
            one["parent"] = numbers.get(one["parent_id"])
        for part in (session, *session["messages"]):
            for name in IDS:
                part.pop(name, None)
    return found


@pytest.fixture
def lived(alice, talk) -> Session:
    """A session with branches, revisions, a tombstone, a failed answer, tags and metadata."""
    session = talk("What is this?", "A test.", "Sure?", title="Odd “title”", metadata={"a": [1]})
    _, second, third = session.messages.order_by("seq")
    messages.edit(second, alice, "A test, of course.")
    messages.edit(second, alice, "A test, naturally. 🎉")
    messages.branch(third, alice, "Really sure?")
    messages.append(session, alice, "assistant", "", status="failed")
    messages.append(session, alice, "tool", "{}", raw={"x": {"y": 1}}, metadata={"t": 1})
    messages.append(session, alice, "user", "gone")
    messages.delete(session.messages.get(seq=7), alice)
    sessions.change(session, alice, pinned=True, tags=["b", "a"])
    return Session.objects.select_related("account").get(pk=session.pk)


def test_happy_an_export_imported_elsewhere_is_the_same_but_for_ids(alice, bob, lived):
    exchange.import_file(alice, opened([forest()]))
    mine = export(alice)
    assert len(mine["sessions"]) == 2
    report = exchange.import_file(bob, opened(mine)).as_dict()
    assert (report["sessions_new"], report["sessions_failed"]) == (2, 0)
    assert without_ids(export(bob)) == without_ids(mine)


def test_happy_ones_own_export_imported_again_adds_nothing(alice, lived):
    report = exchange.import_file(alice, opened(export(alice))).as_dict()
    assert (report["sessions_unchanged"], report["messages_added"]) == (1, 0)


def test_happy_an_exporter_gets_neither_the_owners_tags_nor_pins(alice, bob, lived, invite):
    invite(lived, bob, "read", "export")
    (shared,) = export(bob, alice)["sessions"]
    assert (shared["tags"], shared["pinned"]) == ([], False)
    assert len(shared["messages"]) == 7


def test_stranger_gets_not_found_and_a_reader_is_not_allowed(alice, bob, charlie, lived, invite):
    invite(lived, bob)
    with pytest.raises(NotFound):
        export(charlie, alice)
    with pytest.raises(NotAllowed):
        export(bob, alice)


def test_malformed_a_damaged_message_is_named_and_its_neighbours_are_there(alice, lived):
    row = lived.messages.get(seq=1)
    row.body = row.body[:-1] + bytes([row.body[-1] ^ 1])
    row.save()
    (session,) = export(alice)["sessions"]
    first, second = session["messages"][:2]
    assert (first["damaged"], first["status"]) == (True, "damaged")
    assert second["content"] == "A test, naturally. 🎉"


def test_malformed_a_damaged_earlier_text_does_not_stop_the_export(alice, lived):
    old = lived.messages.get(seq=2).revisions.get(revision=1)
    old.body = old.body[:-1] + bytes([old.body[-1] ^ 1])
    old.save()
    (session,) = export(alice)["sessions"]
    assert session["messages"][1]["content"] == "A test, naturally. 🎉"
    assert [one["revision"] for one in session["messages"][1]["revisions"]] == [2]


def test_repeated_gives_the_same(alice, lived):
    first, second = export(alice), export(alice)
    assert first["sessions"] == second["sessions"]
    assert uuid.UUID(first["sessions"][0]["session_id"]) == lived.uuid


@pytest.mark.django_db(transaction=True)
def test_concurrent_exports_while_it_is_written_to_are_whole_trees(alice, lived, together):
    accounts.of(alice)

    def write() -> None:
        for n in range(5):
            messages.append(lived, alice, "user", f"more {n}")

    done = together(write, *[lambda: export(alice)] * 4)
    for document in done[1:]:
        (session,) = document["sessions"]
        known = {one["id"] for one in session["messages"]} | {None}
        assert all(one["parent_id"] in known for one in session["messages"])
        assert session["head_id"] in known
