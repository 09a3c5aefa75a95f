"""messages.append: one more message."""

from __future__ import annotations

from uuid import UUID

import pytest

from chathistory import ids, records, text
from chathistory.actions import messages, sessions
from chathistory.exceptions import Conflict, Invalid, LimitExceeded, NotAllowed, NotFound, Stale
from chathistory.models import Change, Message, Session
from chathistory.search.find import search


def test_happy_everything_said_is_kept_and_the_session_follows(alice, talk):
    session, content = talk(), "Explain this:\n```python\nprint('é')\n```\nhttps://example.org/x."
    row = messages.append(
        *(session, alice, "user", content),
        metadata={"a": [1]},
        blocks=[{"type": "image"}],
        raw={"id": "x"},
    )
    fresh = Session.objects.select_related("account").get()
    body = records.open_body(Message.objects.get(), fresh)
    assert (body.content, body.metadata, body.raw) == (content, {"a": [1]}, {"id": "x"})
    assert body.blocks == [{"type": "image"}]
    assert (row.seq, row.parent_seq, row.length) == (1, None, len(content))
    assert row.tokens == text.count_tokens(content) == fresh.total_tokens
    assert (fresh.head_seq, fresh.last_seq, fresh.message_count) == (1, 1, 1)
    assert records.title_of(fresh) == text.title_from(content)
    assert records.preview_of(fresh) == text.preview_of(content)
    assert [hit.message for hit in search(alice, "explain").hits] == [row]


def test_happy_a_writer_is_named_as_the_author(alice, bob, talk, invite):
    session = talk("mine")
    invite(session, bob, "read", "write")
    row = messages.append(session, bob, "user", "from Bob")
    assert records.open_body(row, row.session).author == "bob"
    assert row.account == session.account
    assert [hit.message for hit in search(alice, "bob").hits] == [row]


def test_stranger_gets_not_found_and_a_reader_is_not_allowed(bob, charlie, nobody, talk, invite):
    session = talk("mine")
    invite(session, bob)
    for user in (charlie, nobody):
        with pytest.raises(NotFound):
            messages.append(session, user, "user", "x")
    with pytest.raises(NotAllowed):
        messages.append(session, bob, "user", "x")
    assert Message.objects.count() == 1


@pytest.mark.parametrize(
    ("given", "field"),
    [
        *[({"role": role}, "role") for role in ("", "robot", "User", None, 5, ["user"], {})],
        *[({"content": bad}, "content") for bad in ("", " \n", None, 5, b"x", "a\0", "\ud800x")],
        ({"content": "x" * 2_000_001}, "content"),
        *[({"metadata": bad}, "metadata") for bad in ("x", [1], {"x": {1, 2}}, {"x": "\0"})],
        *[({"blocks": bad}, "blocks") for bad in ("x", {}, [1], [{"x": "\udfff"}], [{"x": "\0"}])],
        *[({"raw": bad}, "raw") for bad in ("x", [1], {"x": ...}, {"x": float("nan")})],
        *[({"tokens": bad}, "tokens") for bad in (-1, 2**31, "5", 1.5, True)],
        *[({"parent": bad}, "parent_id") for bad in (UUID(int=5), "x", 5)],
        ({"status": "done"}, "status"),
    ],
    ids=lambda given: repr(given)[:40],
)
def test_malformed_values_are_refused_and_nothing_is_stored(alice, talk, given, field):
    session = talk()
    with pytest.raises((Invalid, LimitExceeded)) as refused:
        messages.append(session, alice, **{"role": "user", "content": "fine", **given})
    assert refused.value.data["field"] == field
    assert not Message.objects.exists()
    assert Session.objects.get().version == session.version


def test_malformed_a_parent_in_another_session_is_refused(alice, talk):
    other = talk("another").messages.get()
    with pytest.raises(Invalid) as refused:
        messages.append(talk(), alice, "user", "x", parent=other.uuid)
    assert refused.value.field == "parent_id"


def test_repeated_with_the_same_id_returns_the_one_there_is(alice, talk):
    session, uuid = talk(), ids.new_id()
    first = messages.append(session, alice, "user", "same", message_id=uuid)
    before = Change.objects.count()
    assert messages.append(session, alice, "user", "same", message_id=uuid) == first
    assert Change.objects.count() == before
    for role, content in (("user", "other"), ("assistant", "same")):
        with pytest.raises(Conflict):
            messages.append(session, alice, role, content, message_id=uuid)
    with pytest.raises(Conflict):
        messages.append(talk(), alice, "user", "same", message_id=uuid)
    assert Message.objects.count() == 1


def test_what_is_in_the_trash_or_moved_on_is_not_written_to(alice, talk):
    session = talk("x")
    with pytest.raises(Stale):
        messages.append(session, alice, "user", "x", version=session.version - 1)
    sessions.delete(session, alice)
    with pytest.raises(Conflict):
        messages.append(session, alice, "user", "x")
    assert Message.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_appends_are_numbered_without_gaps(alice, talk, together):
    session, uuid = talk(), ids.new_id()
    work = [lambda n=n: messages.append(session, alice, "user", f"number {n}") for n in range(8)]
    work += [lambda: messages.append(session, alice, "user", "same", message_id=uuid)] * 3
    done = together(*work)
    assert all(isinstance(one, Message) for one in done)
    rows = Message.objects.order_by("seq")
    assert [row.seq for row in rows] == list(range(1, 10))
    assert {row.uuid for row in rows} == {one.uuid for one in done}
    assert Session.objects.get().message_count == 9
    assert len(search(alice, "number").hits) == 8
