"""exporting.one, exporting.many, exporting.tree, exporting.found: chats as files."""

from __future__ import annotations

import io
import json
import random
import zipfile
from uuid import uuid4

import pytest

from chathistory import exported
from chathistory.actions import accounts, exporting, messages, packing, sessions
from chathistory.actions import lifecycle as moves
from chathistory.exceptions import Invalid, InvalidQuery, NotAllowed, NotFound
from chathistory.formats.writers import WRITERS
from chathistory.models import Message, Session
from tests.actions.asked import Asked
from tests.formats.samples import sorted_out

FORMS = [form for form in WRITERS if form != "pdf"]


def whole(file: exporting.File) -> bytes:
    return b"".join(file.pieces)


def mine(user) -> list[Session]:
    return list(Session.objects.mine(user).select_related("account__user").order_by("pk"))


def opened(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("form", FORMS)
def test_happy_one_has_its_name_its_type_and_what_was_said(alice, talk, form):
    session = talk("How do herons fish?", "They wait.", title="Herons & “co”: ../x")
    file = exporting.one(alice, session, form)
    day, end = f"{session.created_at:%Y-%m-%d}", str(session.uuid)[-8:]
    assert file.name == f"{day}-Herons-co-x-{end}.{WRITERS[form].suffix}"
    assert file.content_type == WRITERS[form].content_type
    assert b"They wait." in whole(file)


def test_happy_one_branch_down_to_a_message(alice, talk):
    session = talk("One", "Two", "Three")
    other = messages.branch(session.messages.get(seq=2), alice, "Other")
    session = Session.objects.select_related("account").get()
    assert b"Other" not in whole(
        exporting.one(alice, session, leaf=session.messages.get(seq=3).uuid)
    )
    file = exporting.one(alice, session, leaf=other.uuid)
    (found,), problems = sorted_out(whole(file))
    assert problems == []
    assert [turn.content for turn in found.turns] == ["One", "Other"]
    assert found.head == str(other.uuid)


@pytest.mark.parametrize("form", ["json", "jsonl", "openai", "csv", "chatgpt"])
def test_happy_many_in_one_file(alice, talk, form):
    talk("A"), talk("B", "C")
    file = exporting.many(alice, mine(alice), form)
    assert file.name == (
        "conversations.json" if form == "chatgpt" else f"chats.{WRITERS[form].suffix}"
    )
    data = whole(file)
    if form == "openai":
        assert [len(json.loads(line)["messages"]) for line in data.splitlines()] == [1, 2]
    elif form != "csv":
        assert [len(one.turns) for one in sorted_out(data)[0]] == [1, 2]


@pytest.mark.parametrize("form", ["markdown", "text", "html", "json"])
def test_happy_many_as_a_zip_with_a_page_that_lists_them(alice, talk, form):
    first, _second = talk("A", title="Ünder / the <bridge>"), talk("B")
    files = opened(whole(exporting.many(alice, mine(alice), form, is_zip=True)))
    index = files.pop("index.html").decode()
    assert len(files) == 2
    assert all(name.startswith("sessions/") for name in files)
    assert "Ünder / the &lt;bridge&gt;" in index
    assert any(f"Ünder-the-bridge-{str(first.uuid)[-8:]}" in name for name in files)


def test_happy_a_zip_of_json_is_imported_again(alice, talk):
    talk("A"), talk("B", "C")
    chats, problems = sorted_out(whole(exporting.many(alice, mine(alice), "json", is_zip=True)))
    assert (len(chats), problems) == (2, [])


def test_happy_a_tree_has_a_place_for_each(alice, talk):
    session = talk("A")
    (file,) = exporting.tree(alice, mine(alice), "json")
    assert file.path == f"users/alice/tutor/{session.uuid}.json"
    assert json.loads(b"".join(file.pieces))["sessions"][0]["session_id"] == str(session.uuid)


def test_happy_what_is_found_comes_once_and_only_what_may_go_out(alice, bob, talk, invite):
    first, _second, third = talk("heron", "heron"), talk("bread"), talk("x", title="A heron")
    shared, read = talk("heron", user=bob), talk("heron", user=bob)
    invite(shared, alice, "read", "export")
    invite(read, alice, "read")
    assert {one.pk for one in exporting.found(alice, "heron")} == {first.pk, third.pk, shared.pk}


@pytest.mark.parametrize("rows", [1, 2, 500])
def test_happy_long_sessions_are_read_in_pieces(alice, talk, monkeypatch, rows):
    session, _other = talk(*"abcdefg"), talk("x")
    messages.edit(session.messages.get(seq=2), alice, "B")
    whole_one = whole(exporting.one(alice, session))
    monkeypatch.setattr(exported, "ROWS", rows)
    monkeypatch.setattr(exported, "INLINE", 60 if rows == 2 else 1 << 15)
    again = whole(exporting.one(alice, session))
    assert json.loads(again)["sessions"] == json.loads(whole_one)["sessions"]
    both = json.loads(whole(exporting.many(alice, mine(alice))))["sessions"]
    assert [len(one["messages"]) for one in both] == [7, 1]
    at = json.loads(whole(exporting.one(alice, session, leaf=session.messages.get(seq=3).uuid)))
    assert [one["content"] for one in at["sessions"][0]["messages"]] == ["a", "B", "c"]


def test_happy_an_archived_session_goes_out_of_its_blocks(alice, talk):
    session = talk(*"abcdefghijklm")
    before = json.loads(whole(exporting.one(alice, session)))["sessions"][0]["messages"]
    moves.archive(session, alice)
    packing.compress(Asked(accounts.of(alice)))
    assert Message.objects.filter(block=None).count() == 0
    fresh = Session.objects.select_related("account").get()
    after = json.loads(whole(exporting.one(alice, fresh)))["sessions"][0]["messages"]
    assert after == before


def test_stranger_gets_nothing_and_a_reader_is_not_allowed(bob, charlie, talk, invite):
    session = talk("secret heron")
    invite(session, bob)
    for user, kind in ((charlie, NotFound), (bob, NotAllowed)):
        with pytest.raises(kind):
            exporting.one(user, session)
        with pytest.raises(kind):
            whole(exporting.many(user, [session]))
        with pytest.raises(kind):
            list(exporting.tree(user, [session]))
        assert list(exporting.found(user, "heron")) == []


def test_malformed_formats_messages_and_queries_are_refused_before_any_byte(alice, talk):
    session = talk("A")
    for act in (exporting.one, exporting.many, exporting.tree):
        with pytest.raises(Invalid, match="json, jsonl"):
            act(alice, session, "docx")
    with pytest.raises(Invalid) as refused:
        exporting.one(alice, session, leaf=uuid4())
    assert refused.value.field == "message"
    with pytest.raises(InvalidQuery):
        list(exporting.found(alice, '"heron'))


def test_malformed_titles_and_names_lead_nowhere(alice, talk):
    alice.username = "../../etc/passwd"
    for title in ("../../etc/passwd", "C:\\con", "a\x1b[2Jb", "\u202egnp.exe", "....", "x" * 200):
        talk("A", title=title)
    names = list(opened(whole(exporting.many(alice, mine(alice), "text"))))
    names += [file.path for file in exporting.tree(alice, mine(alice))]
    for name in names:
        parts = name.split("/")
        assert all(part and part.strip(".") and len(part) < 120 for part in parts), name
        assert all(one.isalnum() or one in "/.@+-_" for one in name), name


def test_repeated_gives_the_same_zip(alice, talk):
    talk("A"), talk("B")
    first, second = (whole(exporting.many(alice, mine(alice), "html")) for _ in range(2))
    assert first == second


@pytest.mark.django_db(transaction=True)
def test_concurrent_exports_of_what_is_deleted_meanwhile_end(alice, talk, together):
    session = talk("A", "B")
    accounts.of(alice)
    done = together(
        lambda: sessions.delete(session, alice),
        lambda: whole(exporting.one(alice, session, "json")),
        lambda: whole(exporting.one(alice, session, "html")),
    )
    assert all(isinstance(one, bytes) for one in done[1:]), done


SECRET = "the password is heron"


def redacted(alice, talk) -> Session:
    """A session whose message came in with a secret, which was edited out of it."""
    session = talk("Hello")
    item = {"author": {"role": "user"}, "content": {"content_type": "text", "parts": [SECRET]}}
    calls = {"tool_calls": [{"function": {"arguments": SECRET}}]}
    said = messages.append(session, alice, "user", SECRET, raw=item | calls)
    messages.edit(said, alice, "the password is …")
    messages.append(session, alice, "assistant", "Noted.", raw={"model": "kept"})
    return Session.objects.select_related("account__user").get(pk=session.pk)


@pytest.mark.parametrize("form", FORMS)
def test_stranger_to_an_edit_gets_nothing_of_what_was_said_before(alice, bob, talk, invite, form):
    session = redacted(alice, talk)
    invite(session, bob, "read", "export")
    assert SECRET.encode() not in whole(exporting.one(bob, session, form))
    assert SECRET.encode() not in whole(exporting.many(bob, [session], form))


def test_happy_the_owner_and_the_site_get_it(alice, bob, talk, invite):
    session = redacted(alice, talk)
    invite(session, bob, "read", "export")
    for user, times in ((alice, 3), (None, 3), (bob, 0)):
        text = whole(exporting.one(user, session)).decode()
        assert text.count(SECRET) == times
        assert "kept" in text  # the item of what nobody edited


def test_stranger_to_an_edit_gets_nothing_of_it_by_a_fork(alice, bob, talk, invite):
    session = redacted(alice, talk)
    invite(session, bob, "read")
    fork = sessions.fork(session, bob)
    text = whole(exporting.one(bob, fork)).decode()
    assert SECRET not in text
    assert "kept" in text


def test_concurrent_edits_of_large_messages_leave_an_export_one_picture(alice, talk):
    large = random.Random(0).randbytes(exported.INLINE).hex()  # packed, it stays large
    session = talk("A", large, large)
    messages.edit(session.messages.get(seq=2), alice, f"{large}2")
    session.refresh_from_db()
    (chat,) = exporting.export_sessions(alice, [session])
    found = iter(chat["messages"])
    next(found)
    messages.edit(session.messages.get(seq=2), alice, "short now")
    messages.edit(session.messages.get(seq=3), alice, "short too")
    messages.edit(session.messages.get(seq=3), alice, "and again")
    second, third = found
    assert (second["content"], second["damaged"], second["revision"]) == (f"{large}2", False, 2)
    assert [old["content"] for old in second["revisions"]] == [large]
    assert (third["content"], third["damaged"], third["revision"]) == (large, False, 1)
    assert third["revisions"] == []
