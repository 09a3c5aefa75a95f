"""exchange.import_file of damaged files of every format: whole chats come in, the rest is named."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from chathistory.actions import exchange
from chathistory.exceptions import Invalid
from chathistory.formats import FORMATS
from chathistory.models import Message, Session
from tests.actions.test_import_formats import exported
from tests.faults.mutants import mutant
from tests.formats import kinds
from tests.formats.samples import opened

KINDS = ("new", "extended", "unchanged", "empty", "failed")


def load(user: Any, data: bytes, **more: Any) -> dict[str, Any]:
    """Import a file and hold the report to what JSON and UTF-8 can say."""
    report = exchange.import_file(user, opened(data), **more).as_dict()
    json.dumps(report, ensure_ascii=False).encode()
    assert all(one["outcome"] in KINDS for one in report["sessions"])
    assert all(one["reason"] for one in report["sessions"] if one["outcome"] == "failed")
    return report


@pytest.mark.parametrize("name", list(FORMATS))
def test_mutants_are_refused_or_named_and_no_session_is_partial(alice: Any, name: str) -> None:
    dice, refused = random.Random(name), 0
    for seed in kinds.FILES[name]:
        for _ in range(30 // len(kinds.FILES[name])):
            try:
                load(alice, mutant(seed, dice))
            except Invalid:
                refused += 1
    for session in Session.objects.all():
        assert session.message_count == session.messages.count() > 0
    assert refused < 30
    assert json.loads(exported(alice))["sessions"]


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_file_cut_off_gives_whole_chats_or_none(alice: Any, name: str) -> None:
    for seed in kinds.FILES[name]:
        for part in range(1, 6):
            try:
                report = load(alice, seed[: len(seed) * part // 6])
            except Invalid:
                continue
            assert report["sessions_failed"] or seed.count(b"\n") > 1
    for session in Session.objects.all():
        assert session.message_count == session.messages.count()


CIRCLE = [
    ("a", "c"),
    ("b", "a"),
    ("c", "b"),
    ("self", "self"),
    ("lost", "nowhere"),
    ("kid", "lost"),
]


def claude() -> Any:
    said = [
        {"uuid": key, "sender": "human", "text": key, "content": [], "parent_message_uuid": above}
        for key, above in CIRCLE
    ]
    return [{"uuid": "c", "chat_messages": said}]


def openwebui() -> Any:
    said = {
        key: {"id": key, "role": "user", "content": key, "parentId": above} for key, above in CIRCLE
    }
    return [{"id": "c", "chat": {"history": {"currentId": "gone", "messages": said}}}]


def librechat() -> Any:
    said = [
        {"messageId": key, "isCreatedByUser": True, "text": key, "parentMessageId": above}
        for key, above in CIRCLE
    ]
    return {"conversationId": "c", "messages": said}


def claude_code() -> Any:
    return [
        {"type": "user", "uuid": key, "parentUuid": above, "sessionId": "c"}
        | {"message": {"role": "user", "content": key}}
        for key, above in CIRCLE
    ]


@pytest.mark.parametrize("make", [claude, openwebui, librechat, claude_code])
def test_circles_and_orphans_lose_no_message(alice: Any, make: Any) -> None:
    source = make()
    data = kinds.lines(*source) if make is claude_code else json.dumps(source).encode()
    assert load(alice, data)["messages_added"] == 6
    (session,) = json.loads(exported(alice))["sessions"]
    texts = {one["id"]: one["content"] for one in session["messages"]}
    above = {one["content"]: texts.get(one["parent_id"]) for one in session["messages"]}
    assert above == {"a": None, "b": "a", "c": "b", "self": None, "lost": None, "kid": "lost"}
    (lost,) = [one for one in session["messages"] if one["content"] == "lost"]
    assert lost["metadata"]["orphan_of"] == "nowhere"


def test_one_id_for_many_messages_is_many_messages(alice: Any) -> None:
    said = [{"uuid": "m", "sender": "human", "text": f"t{at}", "content": []} for at in range(3)]
    data = json.dumps([{"uuid": "c", "chat_messages": said}]).encode()
    assert load(alice, data)["messages_added"] == Message.objects.count() == 3
    assert load(alice, data)["messages_added"] == 0


def test_what_is_too_large_for_one_message_keeps_its_chat_out_alone(alice: Any) -> None:
    chats = [
        {"id": f"c{at}", "conversations": [{"from": "human", "value": "x" * size}]}
        for at, size in enumerate((5, 2_000_001, 2_000_000))
    ]
    report = load(alice, json.dumps(chats).encode())
    assert [one["outcome"] for one in report["sessions"]] == ["new", "failed", "new"]


def test_a_chat_with_too_much_about_it_comes_in_with_less_of_that(alice: Any) -> None:
    chat = json.loads(kinds.FILES["openwebui"][0])[0]
    chat["chat"]["files"] = [{"file": {"data": {"content": "x" * 3_000_000}}}]
    chat["meta"]["tags"] = ["t" * 60, "fits", "fits"]
    assert load(alice, json.dumps([chat]).encode())["sessions_new"] == 1
    (session,) = json.loads(exported(alice))["sessions"]
    assert (session["tags"], session["metadata"]["openwebui"]["shortened"]) == (["fits"], True)


def test_chats_without_messages_are_said_to_be_empty(alice: Any) -> None:
    chats = [{"uuid": "c", "name": "Nothing", "chat_messages": []}]
    report = load(alice, json.dumps(chats).encode())
    assert (report["sessions_empty"], Session.objects.count()) == (1, 0)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_another_encoding_is_refused_by_name(alice: Any, encoding: str) -> None:
    for files in kinds.FILES.values():
        with pytest.raises(Invalid, match="UTF-16 or UTF-32"):
            load(alice, files[0].decode().encode(encoding))


def test_bytes_that_are_no_text_keep_their_chat_out(alice: Any) -> None:
    data = kinds.FILES["sharegpt"][0].replace(b'"Hi!"', b'"\xe9\xe8"')
    report = load(alice, data)
    assert [one["outcome"] for one in report["sessions"]] == ["failed", "empty"]
    assert "not UTF-8" in report["sessions"][0]["reason"]
