"""Imports of every JSON format: counts of real files, nothing lost, the same again elsewhere."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from chathistory.actions import exchange, exporting
from chathistory.exceptions import Invalid
from chathistory.formats import native
from chathistory.formats.writers import chatgpt
from chathistory.models import Message, Session
from tests.actions.test_export import without_ids
from tests.formats import checker, kinds
from tests.formats.samples import FIXTURES, conversation, fixture, message, opened, zipped

REPRESENTATIVES = "representatives/sample-0"
REAL = [
    ("librechat/chatgpt-export.json", checker.chatgpt, 2, 21),
    ("librechat/librechat-export.json", checker.librechat, 1, 6),
    ("librechat/librechat-linear.json", checker.librechat, 1, 2),
    ("librechat/chatbotui-export.json", checker.chatbotui, 2, 6),
    ("openwebui/openwebui-export.json", checker.openwebui, 3, 6),
    (f"polylogue/schemas/chatgpt/{REPRESENTATIVES}0.json", checker.chatgpt, 1, 3),
    (f"polylogue/schemas/chatgpt/{REPRESENTATIVES}1.json", checker.chatgpt, 1, 4),
    (f"polylogue/schemas/claude-ai/{REPRESENTATIVES}0.json", checker.claude, 1, 3),
    (f"polylogue/schemas/claude-ai/{REPRESENTATIVES}1.json", checker.claude, 1, 6),
]
OURS = [
    (kinds.FILES["chatgpt"][0], checker.chatgpt),
    (kinds.FILES["claude"][0], checker.claude),
    (kinds.FILES["openwebui"][0], checker.openwebui),
    (kinds.FILES["librechat"][0], checker.librechat),
    (kinds.FILES["chatbotui"][0], checker.chatbotui),
]
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def exported(user: Any) -> bytes:
    """Return everything a person has as our JSON, in the order it came."""
    rows = Session.objects.mine(user).select_related("account__user").order_by("pk")
    return b"".join(native.write(exporting.export_sessions(user, rows), MOMENT))


def renamed(document: bytes) -> bytes:
    """Return the export with our own ids, and the owner, told by the order they come in."""
    sessions = json.loads(document)["sessions"]
    ids: dict[str, str] = {}
    for session in sessions:
        for one in (session["session_id"], *(said["id"] for said in session["messages"])):
            ids.setdefault(one, f"#{len(ids)}")
    for session in sessions:
        document = document.replace(json.dumps(session["user_id"]).encode(), b'"owner"')
    for one, number in ids.items():
        document = document.replace(one.encode(), number.encode())
    return document


@pytest.mark.parametrize(("name", "walk", "chats", "messages"), REAL)
def test_a_real_file_comes_in_whole(
    alice: Any, bob: Any, name: str, walk: Callable[..., Any], chats: int, messages: int
) -> None:
    report = exchange.import_file(alice, fixture(name)).as_dict()
    assert (report["sessions_new"], report["messages_added"]) == (chats, messages)
    assert (Session.objects.count(), Message.objects.count()) == (chats, messages)
    again = exchange.import_file(alice, fixture(name)).as_dict()
    assert (again["sessions_unchanged"], again["messages_added"]) == (chats, 0)
    first = exported(alice)
    source = json.loads(fixture(name).read().decode("utf-8-sig"))
    assert checker.missing(walk(source), json.loads(first)["sessions"]) == []
    exchange.import_file(bob, opened(first))
    second = exported(bob)
    assert renamed(second) == renamed(first)
    assert without_ids(json.loads(second)) == without_ids(json.loads(first))


@pytest.mark.parametrize(("data", "walk"), OURS)
def test_nothing_of_our_own_samples_is_lost(
    alice: Any, data: bytes, walk: Callable[..., Any]
) -> None:
    exchange.import_file(alice, opened(data))
    sessions = json.loads(exported(alice))["sessions"]
    assert checker.missing(walk(json.loads(data)), sessions) == []


def test_the_checker_finds_what_is_missing(alice: Any) -> None:
    data = kinds.FILES["claude"][0]
    exchange.import_file(alice, opened(data))
    sessions = json.loads(exported(alice))["sessions"]
    first, second = sessions[0]["messages"][:2]
    first["blocks"] = []
    first["metadata"]["attachments"] = []
    second |= {"parent_id": None, "role": "user", "timestamp": "2020-01-01T00:00:00Z"}
    found = " ".join(checker.missing(checker.claude(json.loads(data)), sessions))
    assert all(word in found for word in ("text", "files", "parent", "role", "time"))


@pytest.mark.parametrize("name", list(kinds.FILES))
def test_every_format_comes_in_once_and_goes_to_an_empty_account_the_same(
    alice: Any, bob: Any, name: str
) -> None:
    for data in kinds.FILES[name]:
        report = exchange.import_file(alice, opened(data)).as_dict()
        assert not report["sessions_failed"]
        again = exchange.import_file(alice, opened(data)).as_dict()
        assert (again["sessions_new"], again["messages_added"]) == (0, 0)
    first = exported(alice)
    exchange.import_file(bob, opened(first))
    assert renamed(exported(bob)).splitlines() == renamed(first).splitlines()


def shorter(name: str) -> bytes:
    """Return a format's first file as it was before the last that was said in it."""
    data = kinds.FILES[name][0]
    if name in ("claude-code", "codex"):
        lines = data.splitlines(keepends=True)
        at = 6 if name == "claude-code" else 8
        return b"".join(lines[:at])
    found = json.loads(data)
    chat = found[0] if isinstance(found, list) else found
    if name == "openwebui":
        chat["chat"]["history"]["messages"].popitem()
    elif name == "chatbotui":
        chat["history"][0]["messages"].pop()
    elif name == "aistudio":
        chat["chunkedPrompt"]["chunks"].pop()
    else:
        keys = ("chat_messages", "messagesTree", "conversations", "sessions")
        key = next(key for key in keys if key in chat)
        (chat[key][0]["messages"] if key == "sessions" else chat[key]).pop()
    return json.dumps(found).encode()


@pytest.mark.parametrize(
    "name",
    [
        *("native", "claude", "openwebui", "librechat", "chatbotui", "sharegpt", "aistudio"),
        *("claude-code", "codex"),
    ],
)
def test_a_longer_export_extends_what_is_there(alice: Any, name: str) -> None:
    before = exchange.import_file(alice, opened(shorter(name))).as_dict()
    assert before["sessions_new"] == 1
    after = exchange.import_file(alice, opened(kinds.FILES[name][0])).as_dict()
    assert (after["sessions_new"], after["sessions_extended"]) == (0, 1)
    assert after["messages_added"] >= 1
    rows = Message.objects.count()
    assert rows == before["messages_added"] + after["messages_added"]


def nameless(name: str, *said: str, key: str = "c") -> Any:
    """Return a chat of a format whose messages have no ids, said by both in turn."""
    if name == "sharegpt":
        return [{"id": key, "conversations": spoken("from", "value", *said)}]
    if name == "aistudio":
        return {"runSettings": {}, "chunkedPrompt": {"chunks": spoken("role", "text", *said)}}
    if name == "claude":
        return [{"uuid": key, "chat_messages": spoken("sender", "text", *said)}]
    messages = spoken("role", "content", *said)
    return {
        "openai": {"id": key, "messages": messages},
        "chatbotui": {"history": [{"id": key, "name": "n", "messages": messages}]},
        "openwebui": [{"id": key, "chat": {"models": [], "messages": messages}}],
        "native": {"session_id": key, "messages": messages},
    }[name]


def spoken(who: str, what: str, *said: str) -> list[dict[str, str]]:
    """Return messages that two people take turns to say, after the system if it begins with !."""
    roles = (["system"] if said[0].startswith("!") else []) + ["user", "assistant"] * len(said)
    return [{who: role, what: text} for role, text in zip(roles, said, strict=False)]


def takes(alice: Any, chat: Any) -> tuple[int, int, int]:
    """Import a chat; return how many sessions were new or extended, and the new messages."""
    report = exchange.import_file(alice, opened(chat)).as_dict()
    return report["sessions_new"], report["sessions_extended"], report["messages_added"]


@pytest.mark.parametrize(
    "name", ["sharegpt", "aistudio", "claude", "openai", "chatbotui", "openwebui", "native"]
)
def test_what_was_changed_since_stands_beside_what_was_said(alice: Any, name: str) -> None:
    assert takes(alice, nameless(name, "q1", "a1", "q2", "a2")) == (1, 0, 4)
    assert takes(alice, nameless(name, "q1", "a1", "other", "a2", "q1", "a1")) == (0, 1, 4)
    assert takes(alice, nameless(name, "q1", "a1", "q2", "a2", "q3")) == (0, 1, 1)
    (session,) = json.loads(exported(alice))["sessions"]
    said = {one["id"]: one for one in session["messages"]}
    lines = {
        (one["content"], said[one["parent_id"]]["content"] if one["parent_id"] else None)
        for one in said.values()
    }
    assert lines == {
        *(("q1", None), ("a1", "q1"), ("q2", "a1"), ("a2", "q2"), ("q3", "a2")),
        *(("other", "a1"), ("a2", "other"), ("q1", "a2")),
    }


@pytest.mark.parametrize("name", ["sharegpt", "openai", "chatbotui"])
def test_chats_of_one_id_that_begin_otherwise_are_not_one(alice: Any, name: str) -> None:
    assert takes(alice, nameless(name, "q1", "a1")) == (1, 0, 2)
    assert takes(alice, nameless(name, "p1", "b1", "p2")) == (1, 0, 3)
    assert takes(alice, nameless(name, "!Be kind.", "q1")) == (1, 0, 2)
    assert takes(alice, nameless(name, "!Be kind.", "p1", "a1")) == (1, 0, 3)
    assert takes(alice, nameless(name, "q1", "a1", "q2")) == (0, 1, 1)
    assert takes(alice, nameless(name, "p1", "b1", "p2")) == (0, 0, 0)


def test_messages_of_native_files_without_ids_may_be_the_same(alice: Any) -> None:
    twice = [{"role": "user", "content": "ok", "parent_id": None}] * 2
    assert takes(alice, {"session_id": "s", "messages": twice}) == (1, 0, 2)
    assert takes(alice, {"session_id": "s", "messages": twice}) == (0, 0, 0)


def test_an_archived_chatgpt_chat_comes_in_and_goes_out_archived(alice: Any) -> None:
    chats = [conversation({"a": None}) | {"id": key} for key in ("c1", "c2")]
    exchange.import_file(alice, opened([chats[0] | {"is_archived": True}, chats[1]]))
    rows = Session.objects.mine(alice).select_related("account__user").order_by("pk")
    assert [one.state for one in rows] == ["archived", "active"]
    written = json.loads(b"".join(chatgpt.write(exporting.export_sessions(alice, rows))))
    assert [one["is_archived"] for one in written] == [True, False]


def test_a_chatgpt_chat_with_a_lot_about_it_comes_in_without_most_of_that(alice: Any) -> None:
    urls = [f"https://example.org/{at:0100}" for at in range(20_000)]
    exchange.import_file(alice, opened([conversation({"a": None}) | {"safe_urls": urls}]))
    (session,) = json.loads(exported(alice))["sessions"]
    about = session["metadata"]
    assert (about["chatgpt"]["safe_urls"], about["chatgpt"]["shortened"]) == (urls[:200], True)
    assert about["nodes"] == 1


@pytest.mark.parametrize("name", ["catalog.json", "representatives/corpus-manifest.json"])
@pytest.mark.parametrize("provider", ["chatgpt", "claude-ai"])
@pytest.mark.parametrize("more", ["", "versions/v1/package.json", "versions/v2/package.json"])
def test_what_lies_beside_chats_is_refused(alice: Any, provider: str, name: str, more: str) -> None:
    with pytest.raises(Invalid, match="not chats of a known format"):
        exchange.import_file(alice, fixture(f"polylogue/schemas/{provider}/{more or name}"))
    assert not Session.objects.exists()


@pytest.mark.parametrize("provider", ["chatgpt", "claude-ai"])
def test_schemas_are_refused(alice: Any, provider: str) -> None:
    fixture("librechat/librechat-linear.json")
    for path in (FIXTURES / f"polylogue/schemas/{provider}").rglob("*.gz"):
        with pytest.raises(Invalid, match="packed with gzip"):
            exchange.import_file(alice, io.BytesIO(path.read_bytes()))


def test_a_zip_of_many_files_is_one_import(alice: Any) -> None:
    files = {
        f"conversations-00{at}.json": json.dumps([conversation({"a": None}) | {"id": f"c{at}"}])
        for at in range(3)
    }
    packed = zipped({name: data.encode() for name, data in files.items()} | {"chat.html": b"<p>"})
    assert exchange.import_file(alice, opened(packed)).as_dict()["sessions_new"] == 3


def test_without_a_title_or_a_workflow_it_has_the_names_for_that(alice: Any) -> None:
    exchange.import_file(alice, opened([conversation({"a": None}) | {"title": None}]))
    (session,) = json.loads(exported(alice))["sessions"]
    assert (session["title"], session["title_source"]) == ("Imported Chat", "auto")
    assert session["workflow_type"] == "imported"


def test_a_format_may_be_named(alice: Any) -> None:
    data = opened(kinds.FILES["sharegpt"][1])
    assert exchange.import_file(alice, data, format_name="sharegpt").count("new") == 1
    report = exchange.import_file(alice, opened(kinds.FILES["sharegpt"][0]), format_name="claude")
    assert report.count("failed") == len(report.outcomes) == 2
    with pytest.raises(Invalid, match="one of: native, chatgpt") as refused:
        exchange.import_file(alice, opened("[]"), format_name="docx")
    assert refused.value.field == "format"


def test_the_command_takes_the_name_too(alice: Any, tmp_path: Any) -> None:
    path = tmp_path / "chats"
    path.write_bytes(kinds.FILES["codex"][0])
    out = io.StringIO()
    call_command("chat_import", str(path), user="alice", format="codex", stdout=out)
    assert "1 new" in out.getvalue()
    with pytest.raises(CommandError, match="one of: native, chatgpt"):
        call_command("chat_import", str(path), user="alice", format="docx")


def test_the_longest_message_anybody_has_seen_comes_in(alice: Any) -> None:
    text = "a quick brown fox " * 21_915
    odd = conversation({"a": None})
    odd["mapping"]["a"]["message"] = message(text[:394_465])
    exchange.import_file(alice, opened([odd]))
    (session,) = json.loads(exported(alice))["sessions"]
    assert session["messages"][0]["content"] == text[:394_465]
