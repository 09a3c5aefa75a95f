"""Every format: recognised by its content, read by name, and what holds for all of them."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chathistory.formats import FORMATS, FormatError, read
from chathistory.formats.base import ROLES, Transcript
from chathistory.formats.details import taken_out
from tests.formats import kinds
from tests.formats.samples import opened, sorted_out, zipped

ALL = [(name, data) for name, files in kinds.FILES.items() for data in files]
ORIGINS = {name: name for name in FORMATS} | {"claude-code": "claude-code"}


def told(value: Any) -> str:
    """Return everything a chat holds as text."""
    return json.dumps(value, default=str, ensure_ascii=False)


@pytest.mark.parametrize(("name", "data"), ALL)
def test_a_file_is_told_by_what_is_in_it(name: str, data: bytes) -> None:
    chats, problems = sorted_out(data)
    assert not problems
    assert {one.origin for one in chats} == {name}
    assert all(turn.role in ROLES for one in chats for turn in one.turns)


@pytest.mark.parametrize(("name", "data"), ALL)
def test_the_name_of_the_format_may_be_given(name: str, data: bytes) -> None:
    assert list(read(opened(data), format_name=name)) == sorted_out(data)[0]


@pytest.mark.parametrize(("name", "data"), ALL)
def test_a_format_that_it_is_not_is_believed_and_nothing_comes_of_it(
    name: str, data: bytes
) -> None:
    other = "aistudio" if name != "aistudio" else "claude"
    found = list(read(opened(data), format_name=other))
    assert found
    assert not any(isinstance(one, Transcript) for one in found)


def test_a_name_that_is_none_is_told_those_there_are() -> None:
    with pytest.raises(FormatError, match=r"^Unknown format; one of: native, chatgpt, claude, "):
        list(read(opened("[]"), format_name="word"))


@pytest.mark.parametrize(("name", "data"), ALL)
def test_the_same_again_has_the_same_ids_and_turns_are_trees(name: str, data: bytes) -> None:
    first, second = sorted_out(data)[0], sorted_out(data)[0]
    assert first == second
    for one in first:
        seen: set[str | None] = {None}
        for turn in one.turns:
            assert turn.parent in seen
            assert turn.id not in seen
            seen.add(turn.id)
        assert one.head in seen


@pytest.mark.parametrize(("name", "data"), ALL)
def test_in_an_archive_of_any_names_it_is_the_same(name: str, data: bytes) -> None:
    packed = zipped({"readme.txt": b"", "a/b/some.jsonl": data, "__MACOSX/._some.json": b"\0"})
    assert [one.turns for one in sorted_out(packed)[0]] == [o.turns for o in sorted_out(data)[0]]


@pytest.mark.parametrize(("name", "data"), ALL)
def test_every_message_keeps_the_item_it_came_from(name: str, data: bytes) -> None:
    if name == "native":
        return
    chats, _ = sorted_out(data)
    assert all(turn.raw is not None for one in chats for turn in one.turns)


def test_the_page_of_formats_has_every_format_in_both_tables() -> None:
    page = (Path(__file__).parents[2] / "docs/formats.md").read_text().partition("## Export")[0]
    assert {name: page.count(f"\n| `{name}` |") for name in FORMATS} == dict.fromkeys(FORMATS, 2)


def only(name: str) -> Transcript:
    """Return the first chat of a format's first file."""
    return sorted_out(kinds.FILES[name][0])[0][0]


def by_id(chat: Transcript) -> dict[str, Any]:
    return {turn.id: turn for turn in chat.turns}


def kinds_of(turn: Any) -> list[str]:
    return [block["type"] for block in turn.blocks]


def test_claude() -> None:
    chat = only("claude")
    first, second, third = chat.turns
    assert (chat.id, chat.title, chat.created) == (
        "c-1",
        "Poem",
        datetime(2025, 2, 1, 8, tzinfo=UTC),
    )
    assert [one.parent for one in chat.turns] == [None, "m-1", "m-1"]
    assert [one.role for one in chat.turns] == ["user", "assistant", "user"]
    assert first.metadata["attachments"] == ["poem.txt", "rose.jpg"]
    assert first.blocks[0]["text"] == "Roses are red"
    assert first.created == datetime(2025, 2, 1, 8, 0, 1, 500_000, tzinfo=UTC)
    assert (second.content, third.content) == ("A classic.", "Only here.")
    assert kinds_of(second) == ["reasoning", "tool_call", "tool_result", "text"]
    assert second.blocks[1]["arguments"] == {"what": "rose"}
    assert second.blocks[2]["output"] == "A flower."
    assert chat.metadata["claude"]["summary"] == "About a poem."


def test_openwebui() -> None:
    chat = only("openwebui")
    asked, hidden, clean = chat.turns
    assert (chat.head, chat.pinned, chat.tags) == ("w3", True, ["time"])
    assert (chat.extra, chat.metadata["model"]) == ({"state": "archived"}, "llama3")
    assert (asked.content, asked.blocks[0]["text"]) == ("Is it noon? <details>", "inside a")
    assert (hidden.content, hidden.blocks[0]["text"]) == ("It is noon.", "3 < 4\nso yes")
    assert kinds_of(hidden) == kinds_of(clean) == ["reasoning", "tool_call", "tool_result"]
    assert (hidden.blocks[1]["name"], hidden.blocks[2]["output"]) == ("clock", '"noon"')
    assert (clean.content, clean.metadata["model"]) == ("Noon it is.", "qwen")
    assert clean.created == datetime.fromtimestamp(1700000020, UTC)
    old = {"id": "o", "chat": {"models": [], "messages": [{"role": "user", "content": "a"}] * 2}}
    (legacy,) = sorted_out([old])[0]
    assert [one.parent for one in legacy.turns] == [None, legacy.turns[0].id]


def test_details_without_an_end_stay_where_they_are() -> None:
    text = 'a <details type="reasoning">b'
    assert taken_out(text) == (text, [])
    assert taken_out("<details><summary>x</summary>y</details>")[1] == []
    text, blocks = taken_out('a <details type="code_interpreter" output="4">2+2</details> c')
    assert (text, [block["type"] for block in blocks]) == (
        "a  c",
        ["tool_call", "tool_result", "tool_result"],
    )


@pytest.mark.parametrize("fence", ["```", "~~~~", "   ````"])
def test_details_in_fenced_code_are_what_somebody_wrote(fence: str) -> None:
    part = '<details type="reasoning">hm</details>'
    code = f"{fence}html\n{part}\n{fence}\n"
    assert taken_out(f"So:\n{code}") == (f"So:\n{code}", [])
    text, blocks = taken_out(f"{part}\n{code}{part}")
    assert (text, len(blocks)) == (code.strip(), 2)
    assert taken_out(f"{fence}\nnever closed {part}")[1] == []
    assert len(taken_out(f"```one``` line\n{part}\n")[1]) == 1
    assert len(taken_out(f"``` \nx\n``\n```\r\n{part}\n")[1]) == 1


def test_librechat() -> None:
    chat = only("librechat")
    known = by_id(chat)
    assert {key: one.parent for key, one in known.items()} == {
        "r1": None,
        "r2": "r1",
        "r3": "r1",
        "r4": None,
    }
    assert (known["r1"].author, known["r2"].author) == ("", "GPT-4")
    assert (known["r2"].metadata["model"], known["r2"].tokens) == ("gpt-4o", 3)
    assert (known["r3"].content, known["r3"].metadata["unfinished"]) == ("That one.", True)
    assert kinds_of(known["r3"]) == ["reasoning", "tool_call", "tool_result"]
    assert known["r1"].metadata["attachments"] == ["car.pdf"]
    assert "children" not in (known["r1"].raw or {})
    assert chat.created is None
    flat = kinds.LIBRECHAT | {"messages": [], "messagesTree": []}
    assert sorted_out(flat)[0][0].turns == []


@pytest.mark.parametrize("count", [90, 120, 2_000])
def test_a_librechat_tree_may_be_as_deep_as_it_is_long(count: int) -> None:
    texts = [f'{{"messageId":"m{at}","text":"t","children":[' for at in range(count)]
    tree = "".join(texts) + "]}" * count
    for data in (
        f'{{"conversationId":"c","messagesTree":[{tree}]}}',
        f'[{{"conversationId":"c","messages":[{tree}]}}]',
    ):
        ((chat,), problems) = sorted_out(data)
        assert (len(chat.turns), chat.turns[-1].parent) == (count, f"m{count - 2}")
        assert not problems


@pytest.mark.parametrize(
    "data",
    [
        '{"session_id":"s","messages":[%s]}' % ('{"children":[' * 300 + "]}" * 300),
        '{"conversationId":"c","messages":[{"x":%s}]}' % ("[" * 300 + "]" * 300),
        '{"conversationId":"c","messages":[{"children":[NaN]}]}',
        '{"conversationId":"c","messages":[%s' % ('{"children":[' * 3_000),
        '{"conversationId":"c","messages":[%s]}' % ('{"a":1,"a":2,"children":[' * 600 + "]}" * 600),
        '{"conversationId":"c","messages":[%s' % ('{"children":[' * 30_000),
        '{"conversationId":"c","messages":[%s}' % ('{"children":[' * 3_000 + "]," * 3_000),
    ],
)
def test_other_depth_is_refused(data: str) -> None:
    reasons = []
    with contextlib.suppress(FormatError):
        chats, problems = sorted_out(data)
        assert not chats
        reasons = [one.reason for one in problems]
        assert reasons
    wanted = ("levels deep", "JSON", "twice")
    assert all(any(word in reason for word in wanted) for reason in reasons)


def test_chatbotui() -> None:
    chat = only("chatbotui")
    assert (chat.id, chat.title, len(chat.turns)) == ("u-1", "Greeting", 2)
    assert chat.metadata["model"] == chat.turns[1].metadata["model"] == "gpt-4"
    assert chat.metadata["chatbotui"]["prompt"] == "Be kind."


def test_aistudio() -> None:
    chat = only("aistudio")
    system, file, asked, thought, answer, code = chat.turns
    assert (system.role, system.content) == ("system", "Answer briefly.")
    assert (file.metadata["attachments"], file.tokens) == (["d-1"], 258)
    assert (asked.content, asked.created) == (
        "What is it?",
        datetime(2025, 6, 1, 12, 0, 0, 123_000, tzinfo=UTC),
    )
    assert (thought.content, kinds_of(thought)) == ("I look at it.", ["reasoning"])
    assert thought.metadata["content_from"] == "blocks"
    assert (answer.role, answer.metadata["model"]) == ("assistant", "gemini-2.5-pro")
    assert kinds_of(code) == ["tool_call", "tool_result"]
    assert chat.metadata["aistudio"]["pendingInputs"]


def test_gemini() -> None:
    (asked, did), _ = sorted_out(kinds.FILES["gemini"][0])
    question, first, second = asked.turns
    assert (question.content, question.metadata["attachments"]) == ("What is <b>?", ["tag.png"])
    assert first.content == "It is bold & old.\n\n- one\n- two"
    assert (second.content, second.parent) == ("a < b", "question")
    assert [turn.role for turn in did.turns] == ["system"]
    assert asked.created == datetime(2026, 2, 2, 7, 24, 2, 806_000, tzinfo=UTC)
    other = kinds.GEMINI[1] | {"header": "YouTube", "products": ["YouTube"]}
    assert [p.where for p in sorted_out([kinds.GEMINI[0], other])[1]] == ["records[1].title"]
    with pytest.raises(FormatError):
        sorted_out([other])


def test_claude_code() -> None:
    chat = only("claude-code")
    known = by_id(chat)
    assert (chat.id, chat.title, chat.head) == ("k-1", "Mending a test", "u7")
    assert {key: one.parent for key, one in known.items()} == {
        "u1": None,
        "u2": "u1",
        "u4": "u2",
        "u5": "u4",
        "u6": "u5",
        "u7": "u1",
    }
    assert (known["u5"].role, known["u5"].blocks[0]["is_error"]) == ("tool", True)
    assert known["u4"].content == 'Bash({"command": "make test"})'
    assert known["u7"].metadata == {"hidden": True, "sidechain": True, "model": "m"}
    about = chat.metadata["claude_code"]
    assert (about["cwd"], about["other_lines"]["progress"]) == ("/src", 1)


def test_an_answer_on_several_lines_of_a_log_is_counted_once() -> None:
    asked, said = kinds.CLAUDE_CODE[1:3]

    def line(at: int, answer: str, tokens: int) -> dict[str, Any]:
        inner = said["message"] | {"id": answer, "usage": {"output_tokens": tokens}}
        return said | {"uuid": f"v{at}", "message": inner}

    log = [asked, line(1, "a", 2), line(2, "a", 50), line(3, "b", 7), line(4, "a", 50)]
    ((chat,), _) = sorted_out(kinds.lines(*log))
    assert [turn.tokens for turn in chat.turns] == [None, 50, None, 7, None]


def test_a_summary_of_another_session_is_no_title_and_a_given_one_is_first() -> None:
    said = kinds.CLAUDE_CODE[1]
    other = {"type": "summary", "summary": "Another", "leafUuid": "zz"}
    own = {"type": "summary", "summary": "Own", "leafUuid": "u1"}
    given = {"type": "custom-title", "customTitle": "Given", "sessionId": "k-1"}
    for lines, title in (
        ([other, said], None),
        ([own, said, other], "Own"),
        ([said, own, given], "Given"),
    ):
        ((chat,), _) = sorted_out(kinds.lines(*lines))
        assert chat.title == title


def test_two_sessions_in_one_log_are_two_and_a_resumed_one_is_one() -> None:
    first, second = kinds.CLAUDE_CODE[1], kinds.CLAUDE_CODE[2]
    alone = first | {"uuid": "z1", "sessionId": "k-2"}
    follows = second | {"uuid": "z2", "parentUuid": "u2", "sessionId": "k-3"}
    (one, other), _ = sorted_out(kinds.lines(first, second, follows, alone))
    assert [len(one.turns), len(other.turns)] == [3, 1]
    (once,), _ = sorted_out(kinds.lines(first, second, first, second))
    assert len(once.turns) == 2


def test_a_torn_last_line_is_named_and_a_broken_one_between_keeps_its_chat_out() -> None:
    data = kinds.lines(*kinds.CLAUDE_CODE[:6])
    (chat,), (torn,) = sorted_out(data[:-20])
    assert len(chat.turns) == 3
    assert "cut off" in torn.reason
    whole = kinds.lines(kinds.CLAUDE_CODE[1])
    again = kinds.lines(kinds.CLAUDE_CODE[2])
    other = kinds.lines(kinds.CLAUDE_CODE[1] | {"sessionId": "k-9", "uuid": "y1"})
    (kept,), (out,) = sorted_out(whole + b'{"type": nope}\n' + again + other)
    assert (kept.id, out.id, out.where) == ("k-9", "k-1", "lines[1]")
    assert "not whole" in out.reason


def test_codex() -> None:
    chat = only("codex")
    assert (chat.id, chat.metadata["model"]) == ("x-1", "gpt-5-codex")
    assert [turn.role for turn in chat.turns] == [
        *("developer", "user", "assistant", "assistant", "tool", "assistant", "system"),
    ]
    assert [turn.content for turn in chat.turns] == [
        *("Rules.", "List them.", "**Listing**", 'shell({"cmd":"ls"})', "a b", "a and b"),
        "So far: a and b.",
    ]
    assert chat.turns[1].created == datetime(2026, 4, 1, 9, 0, 3, tzinfo=UTC)
    assert chat.metadata["codex"]["other_lines"] == {"event_msg.token_count": 1, "event_msg": 1}
    old = [
        {"id": "x-0", "timestamp": "2025-06-01T00:00:00Z", "instructions": None, "git": {}},
        {"record_type": "state"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
    ]
    (before,), _ = sorted_out(kinds.lines(*old))
    assert (before.id, before.turns[0].content) == ("x-0", "a")
    events = [kinds.CODEX[0], kinds.CODEX[4]]
    assert sorted_out(kinds.lines(*events))[0][0].turns[0].content == "List them."


def test_a_forked_codex_session_is_one_and_two_are_two() -> None:
    other = {**kinds.CODEX[0], "payload": {"id": "x-2"}}
    fork = {**kinds.CODEX[0], "payload": {"id": "x-1", "forked_from_id": "x-2"}}
    said = kinds.CODEX[3]
    assert len(sorted_out(kinds.lines(fork, other, said))[0]) == 1
    assert len(sorted_out(kinds.lines(kinds.CODEX[0], said, other, said))[0]) == 2


def test_chats_with_an_empty_id_are_not_one() -> None:
    said = [[{"role": "user", "content": text}] for text in "ab"]
    chats, _ = sorted_out({"history": [{"id": "", "name": "", "messages": one} for one in said]})
    assert len({one.id for one in chats}) == 2
    _, problems = sorted_out([kinds.NATIVE, kinds.NATIVE | {"session_id": ""}])
    assert [one.where for one in problems] == ["sessions[1].session_id"]


def test_sharegpt() -> None:
    chat = only("sharegpt")
    assert [turn.role for turn in chat.turns] == [
        "system",
        "user",
        "assistant",
        "assistant",
        "tool",
    ]
    assert chat.turns[-1].parent == chat.turns[-2].id
    nameless = {"conversations": [{"from": "human", "value": "a"}]}
    (one,), _ = sorted_out([nameless])
    assert one.id.startswith("sha256-")


def test_openai() -> None:
    chat = only("openai")
    developer, asked, call, result, answer = chat.turns
    assert (developer.role, asked.author) == ("developer", "Ann")
    assert asked.blocks[0]["url"] == "https://pic.example/1.png"
    assert (call.content, call.blocks[0]["name"]) == ('see({"n": 1})', "see")
    assert (result.role, result.blocks[0]["id"]) == ("tool", "t")
    assert (answer.content, kinds_of(answer)) == ("A cat.", ["reasoning"])
    assert len({one.id for one in sorted_out(kinds.FILES["openai"][0])[0]}) == 2


def test_a_picture_written_out_is_in_the_raw_item_only() -> None:
    data = {"url": "data:image/png;base64," + "A" * 10_000}
    content = [{"type": "image_url", "image_url": data}]
    (chat,), _ = sorted_out([{"messages": [{"role": "user", "content": content}]}])
    (turn,) = chat.turns
    assert len(told(turn.blocks)) < 200
    assert (turn.raw or {})["content"] == content


def test_what_the_manifest_names_and_the_archive_lacks_is_told() -> None:
    named = {"files": [{"path": f"conversations-00{at}.json"} for at in range(3)]}
    whole = {f"conversations-00{at}.json": kinds.FILES["chatgpt"][0] for at in range(3)}
    about = {"export_manifest.json": json.dumps(named).encode()}
    assert not sorted_out(zipped(about | whole))[1]
    del whole["conversations-001.json"]
    chats, (problem,) = sorted_out(zipped(about | whole))
    assert (len(chats), problem.where) == (2, "conversations-001.json")


@pytest.mark.parametrize("name", list(FORMATS))
@pytest.mark.parametrize(
    "moment", [None, 0, -5, 1e11, 1e300, "1066-10-14", "9999-12-31T23:59:59Z", [], True, "soon"]
)
def test_times_of_any_kind_are_a_time_or_none(name: str, moment: Any) -> None:
    keys = "create_time created_at timestamp createdAt createTime time update_time updated_at"

    def with_times(value: Any) -> Any:
        if isinstance(value, list):
            return [with_times(one) for one in value]
        if isinstance(value, dict):
            return {k: moment if k in keys.split() else with_times(v) for k, v in value.items()}
        return value

    source = [json.loads(line) for line in kinds.FILES[name][-1].splitlines()]
    chats, problems = sorted_out(kinds.lines(*with_times(source)))
    assert chats or problems
    for chat in chats:
        times = [chat.created, *(turn.created for turn in chat.turns)]
        first = 1 if name == "native" else 1970  # ours is complete: what it says, it was told
        assert all(one is None or first <= one.year < 9999 for one in times)
