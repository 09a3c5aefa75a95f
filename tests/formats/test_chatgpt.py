"""ChatGPT's export: every message under its own parent, whatever the file looks like."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.formats.samples import chat, conversation, fixture, forest, message, sorted_out

SAMPLES = "polylogue/schemas/chatgpt/representatives/sample-0"


def parents_by_walking(source: dict[str, Any]) -> dict[str, str | None]:
    """Find each message's nearest ancestor that is a message, straight from the file."""
    mapping = source["mapping"]
    found: dict[str, str | None] = {}
    for key, node in mapping.items():
        if node["message"] is None:
            continue
        above = node["parent"]
        while above is not None and mapping[above]["message"] is None:
            above = mapping[above]["parent"]
        found[key] = above
    return found


def test_a_real_export_has_two_chats_and_every_message() -> None:
    source = json.loads(fixture("librechat/chatgpt-export.json").read().decode("utf-8-sig"))
    chats, problems = sorted_out(fixture("librechat/chatgpt-export.json"))
    assert not problems
    assert [len(one.turns) for one in chats] == [16, 5]
    assert sum(one.metadata["nodes"] for one in chats) == 23
    for one, given in zip(chats, source, strict=True):
        assert {turn.id: turn.parent for turn in one.turns} == parents_by_walking(given)
        assert all(turn.raw == given["mapping"][turn.id]["message"] for turn in one.turns)
        assert (one.id, one.title) == (given["id"], given["title"])
        assert one.head == given["current_node"]
        assert one.created == datetime.fromtimestamp(given["create_time"], UTC)


@pytest.mark.parametrize(("number", "count"), [(0, 3), (1, 4)])
def test_a_generated_sample_has_one_branch_point(number: int, count: int) -> None:
    one = chat(fixture(f"{SAMPLES}{number}.json"))
    above = [turn.parent for turn in one.turns]
    assert len(above) == count
    assert len([parent for parent in set(above) if parent and above.count(parent) > 1]) == 1


def test_every_parent_of_a_forest_is_kept() -> None:
    source = forest()
    one = chat([source])
    order = [turn.id for turn in one.turns]
    above = [turn.parent for turn in one.turns]
    assert {turn.id: turn.parent for turn in one.turns} == parents_by_walking(source)
    assert all(parent is None or parent in order[:at] for at, parent in enumerate(above))
    assert len([parent for parent in set(above) if parent and above.count(parent) > 1]) == 5
    assert above.count(None) == 2
    assert one.head == "e2"
    hidden = one.turns[order.index("b1")]
    assert (hidden.role, hidden.author, hidden.metadata["hidden"]) == ("tool", "browser", True)


def test_siblings_stand_as_their_parent_lists_them_then_by_time() -> None:
    source = conversation({"r": None, "a": "r", "b": "r", "c": "r", "d": "r"})
    source["mapping"]["r"]["children"] = ["c", "a"]
    source["mapping"]["b"]["message"]["create_time"] = 1.8e9
    assert [turn.id for turn in chat([source]).turns] == ["r", "c", "a", "d", "b"]


def test_cycles_and_orphans_lose_no_message() -> None:
    links = {"a": "c", "b": "a", "c": "b", "self": "self", "lost": "nowhere", "kid": "lost"}
    one = chat([conversation(links)])
    parents = {turn.id: turn.parent for turn in one.turns}
    assert parents == {"a": None, "b": "a", "c": "b", "self": None, "lost": None, "kid": "lost"}
    lost = next(turn for turn in one.turns if turn.id == "lost")
    assert lost.metadata["orphan_of"] == "nowhere"


def test_parent_is_believed_and_children_only_where_it_leads_nowhere() -> None:
    source = conversation({"r": None, "a": "r", "b": "r", "c": "gone"})
    source["mapping"]["a"]["children"] = ["b", "c"]
    assert {turn.id: turn.parent for turn in chat([source]).turns} == {
        "r": None,
        "a": "r",
        "b": "r",
        "c": "a",
    }


@pytest.mark.parametrize(
    "time", [None, -1, 253402300799, 1e300, 10**400, "soon", True, [], {}, float("1e18")]
)
def test_a_time_that_means_nothing_is_none(time: Any) -> None:
    source = conversation({"a": None})
    source["mapping"]["a"]["message"]["create_time"] = source["create_time"] = time
    one = chat([source])
    assert (one.created, one.turns[0].created) == (None, None)


def test_a_time_written_as_text_counts() -> None:
    source = conversation({"a": None})
    source |= {"create_time": "1699543575.5", "update_time": "2023-11-09T15:26:15.5Z"}
    one = chat([source])
    assert one.created == one.updated == datetime(2023, 11, 9, 15, 26, 15, 500_000, tzinfo=UTC)


CONTENTS: list[tuple[Any, str, list[str]]] = [
    ({"content_type": "text", "parts": ["a", "b"]}, "a\nb", []),
    ({"content_type": "text", "parts": ["\ud800", None]}, "\ud800", []),
    (
        {
            "content_type": "multimodal_text",
            "parts": [{"content_type": "image_asset_pointer"}, "x"],
        },
        "x",
        ["image_asset_pointer"],
    ),
    (
        {
            "content_type": "multimodal_text",
            "parts": [{"content_type": "audio_transcription", "text": "t"}],
        },
        "t",
        ["audio_transcription"],
    ),
    ({"content_type": "code", "language": "python", "text": "1"}, "1", ["code"]),
    ({"content_type": "execution_output", "text": "1"}, "1", ["execution_output"]),
    (
        {
            "content_type": "thoughts",
            "thoughts": [{"summary": "s", "content": "c"}, {"content": "d"}],
        },
        "s\n\nc\n\nd",
        ["thoughts"],
    ),
    ({"content_type": "reasoning_recap", "content": "6 s"}, "6 s", ["reasoning_recap"]),
    ({"content_type": "tether_quote", "url": "u", "text": "q"}, "q", ["tether_quote"]),
    ({"content_type": "tether_quote", "url": "u", "text": ""}, "u", ["tether_quote"]),
    (
        {"content_type": "tether_browsing_display", "result": "r", "summary": None},
        "r",
        ["tether_browsing_display"],
    ),
    (
        {"content_type": "user_editable_context", "user_profile": "p", "user_instructions": "i"},
        "p\n\ni",
        ["user_editable_context"],
    ),
    ({"content_type": "system_error", "name": "E", "text": "x"}, "x", ["system_error"]),
    ({"content_type": "of_next_year", "text": "t", "more": 1}, "t", ["of_next_year"]),
    ({}, "", []),
    (None, "", []),
    ("bare", "bare", []),
    (["bare"], "bare", []),
    (7, "", []),
]


@pytest.mark.parametrize(("content", "text", "kinds"), CONTENTS)
def test_the_words_of_every_kind_of_content_are_text(
    content: Any, text: str, kinds: list[str]
) -> None:
    source = conversation({"a": None})
    source["mapping"]["a"]["message"]["content"] = content
    turn = chat([source]).turns[0]
    assert turn.content == text
    assert [block["type"] for block in turn.blocks] == kinds
    assert turn.raw == source["mapping"]["a"]["message"]


def test_what_a_message_says_of_itself_is_metadata() -> None:
    source = conversation({"a": None})
    source["mapping"]["a"]["message"] = message(
        "x",
        role="critic",
        weight=0.0,
        status="in_progress",
        recipient="browser",
        metadata={"model_slug": "gpt-4", "attachments": [{"name": "a.pdf"}, {"id": 1}, None]},
    )
    turn = chat([source]).turns[0]
    assert turn.role == "assistant"
    assert turn.metadata == {
        "hidden": True,
        "model": "gpt-4",
        "role": "critic",
        "attachments": ["a.pdf"],
        "recipient": "browser",
        "status": "in_progress",
    }


def test_an_empty_chat_without_title_or_id_comes_in() -> None:
    one = chat([{"title": None, "create_time": 5, "mapping": {}}])
    assert (one.title, one.turns, one.head, one.id) == (None, [], None, "created-5")


def test_a_malformed_conversation_is_named_and_the_others_come_in() -> None:
    broken = conversation({"a": None}) | {"id": "bad", "title": "Broken"}
    broken["mapping"]["a"]["message"] = 5
    source = [conversation({"a": None}), broken, {"id": "m", "title": "No tree"}, 7]
    chats, problems = sorted_out([*source, conversation({"b": None})])
    assert [one.where for one in chats] == ["conversations[0]", "conversations[4]"]
    assert [(one.where, one.id, one.title) for one in problems] == [
        ("conversations[1].mapping.a.message", "bad", "Broken"),
        ("conversations[2].mapping", "m", "No tree"),
        ("conversations[3]", None, None),
    ]


def test_a_chain_of_50_000_messages_does_not_recurse() -> None:
    links = {f"n{at}": f"n{at - 1}" if at else None for at in reversed(range(50_000))}
    mapping = {key: {"parent": above, "message": message(key)} for key, above in links.items()}
    one = chat([{"id": "long", "mapping": mapping, "current_node": "n49999"}])
    assert [turn.id for turn in one.turns] == [f"n{at}" for at in range(50_000)]
