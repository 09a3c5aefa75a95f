"""Each kind of database is known by its tables and columns, and comes in whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.stores import samples
from tests.stores.samples import AGENTS, LANGCHAIN, LEGACY, LLAMA, LLM, chat, chats, human, made

WHEN = datetime(2026, 11, 23, 5, 54, 37, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "sessions", "messages"),
    [
        ("llm/logs.db", 3, 11),
        ("foreign_db/openai_agents_sqlitesession.db", 6, 52),
        ("foreign_db/llama_index_memory.db", 6, 40),
        ("foreign_db/langchain_message_store.db", 6, 40),
    ],
)
def test_real_databases_come_in_whole(name: str, sessions: int, messages: int) -> None:
    found, problems = chats(samples.fixture(name))
    assert not problems
    assert (len(found), sum(len(one.turns) for one in found)) == (sessions, messages)


def test_what_llama_index_has_archived_says_so() -> None:
    found, _problems = chats(samples.fixture("foreign_db/llama_index_memory.db"))
    away = [turn for one in found for turn in one.turns if turn.metadata.get("status")]
    assert [turn.metadata for turn in away] == [{"status": "archived"}] * 2


def test_agents_items_become_messages_with_their_roles(tmp_path: Path) -> None:
    items = [
        {"role": "user", "content": "What is the weather?"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Ask the tool."}]},
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": '{"in":"Oslo"}'},
        {"type": "function_call_output", "call_id": "c", "output": "rain"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "It rains."}]},
    ]
    rows = [(n, "s", json.dumps(item), "2026-11-23 05:54:37") for n, item in enumerate(items, 1)]
    sessions = [("s", "2026-11-23 05:54:37", None)]
    found = chat(made(tmp_path / "a.db", AGENTS, agent_sessions=sessions, agent_messages=rows))
    assert (found.origin, found.id, found.created) == ("openai-agents", "s", WHEN)
    assert [(turn.role, turn.content) for turn in found.turns] == [
        ("user", "What is the weather?"),
        ("assistant", "Ask the tool."),
        ("assistant", 'weather({"in":"Oslo"})'),
        ("tool", "rain"),
        ("assistant", "It rains."),
    ]
    assert [turn.raw for turn in found.turns] == items
    assert [turn.parent for turn in found.turns] == [None, *(one.id for one in found.turns[:-1])]
    assert found.turns[2].author == "weather"
    assert [turn.blocks for turn in found.turns[1:4]] == [
        [{"type": "reasoning", "text": "Ask the tool."}],
        [{"type": "tool_call", "id": "c", "name": "weather", "arguments": '{"in":"Oslo"}'}],
        [{"type": "tool_result", "id": "c", "output": "rain"}],
    ]
    assert [turn.metadata for turn in found.turns] == [
        *({}, *[{"content_from": "blocks"}] * 3, {}),
    ]
    assert {turn.created for turn in found.turns} == {WHEN}


def test_llama_index_is_in_the_order_of_its_times(tmp_path: Path) -> None:
    def data(text: str) -> str:
        return json.dumps({"role": "user", "blocks": [{"block_type": "text", "text": text}]})

    rows = [
        (1, "k", 2_000_000_000_000_000_000, "user", "active", data("later")),
        (2, "k", 1_000_000_000_000_000_000, "chatbot", "active", data("sooner")),
    ]
    found = chat(made(tmp_path / "a.db", LLAMA, llama_index_memory=rows))
    said = [(turn.role, turn.content, turn.created) for turn in found.turns]
    assert said[0] == ("assistant", "sooner", datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC))
    assert said[1][1] == "later"


def test_langchain_keeps_model_tokens_and_tools(tmp_path: Path) -> None:
    answer = {
        "type": "AIMessageChunk",
        "data": {
            "content": [{"type": "text", "text": "Here."}],
            "name": "helper",
            "response_metadata": {"model_name": "gpt-9"},
            "usage_metadata": {"output_tokens": 7},
            "tool_calls": [{"name": "find", "args": {"q": 1}, "id": "c"}],
        },
    }
    rows = [(1, "s", human("Find it.")), (2, "s", json.dumps(answer))]
    asked, said = chat(made(tmp_path / "a.db", LANGCHAIN, message_store=rows)).turns
    assert (asked.role, asked.content, said.role, said.content) == (
        *("user", "Find it."),
        *("assistant", "Here."),
    )
    assert (said.author, said.metadata, said.tokens) == ("helper", {"model": "gpt-9"}, 7)
    call = {"type": "tool_call", "id": "c", "name": "find", "arguments": {"q": 1}}
    assert said.blocks == [call]
    assert said.raw == answer


def llm_rows() -> dict[str, samples.Rows]:
    told = json.dumps({"text_ref": [{"fragment": 1}, {"literal": " and more"}]})
    return {
        "threads": [
            ("t1", "First", "b2", None, "2026-11-23 05:54:37+00:00"),
            ("t2", None, "c2", "t1", "2026-11-23 05:54:37+00:00"),
        ],
        "turns": [
            ("u1", "t1", "b1", "b2", "m", "m-1", None, 3, 4, 5, "2026-11-23T05:54:37+00:00"),
            ("u2", "t2", "c1", "c2", "m", None, None, None, None, None, None),
        ],
        "messages": [
            *(("b2", "b1", "assistant", None), ("b1", "root", "user", None)),
            *(("root", None, "system", None), ("c1", "b2", "user", None)),
            ("c2", "c1", "assistant", None),
        ],
        "parts": [
            (1, "root", 0, "text", None, "Be brief.", None),
            (2, "b1", 0, "text", None, None, told),
            (3, "b2", 1, "text", None, "Yes.", None),
            (4, "b2", 0, "reasoning", None, "Hm.", None),
            (5, "c1", 0, "tool_result", "clock", "noon", json.dumps({"tool_call_id": "x"})),
            (6, "c2", 0, "text", None, "Noon.", None),
        ],
        "fragments": [(1, "h", "a fragment")],
        "attachments": [("a", "image/png", "/photos/cat.png", None, b"\x89PNG")],
        "part_attachments": [(2, "a", 0)],
    }


def test_a_thread_is_all_that_stands_above_its_tips(tmp_path: Path) -> None:
    (first, fork), problems = chats(made(tmp_path / "logs.db", LLM, **llm_rows()))
    assert not problems
    assert [turn.id for turn in first.turns] == ["root", "b1", "b2"]
    assert [turn.id for turn in fork.turns] == ["root", "b1", "b2", "c1", "c2"]
    assert [turn.parent for turn in fork.turns] == [None, "root", "b1", "b2", "c1"]
    assert (first.title, first.head, fork.title) == ("First", "b2", None)
    assert fork.metadata == {"forked_from": "t1"}
    system, asked, answer = first.turns
    assert (system.content, asked.content, answer.content) == (
        *("Be brief.", "a fragment and more"),
        "Yes.",
    )
    assert asked.metadata == {"attachments": ["/photos/cat.png"]}
    assert answer.blocks == [{"type": "reasoning", "text": "Hm."}]
    assert asked.blocks == [{"type": "attachment", "kind": "file", "name": "/photos/cat.png"}]
    assert (answer.metadata["model"], answer.tokens, answer.created) == ("m-1", 4, WHEN)
    assert {system.created, asked.created} == {WHEN}
    assert (fork.turns[3].content, fork.turns[3].blocks[0]["name"]) == ("noon", "clock")
    assert fork.turns[3].blocks[0]["id"] == "x"


def test_what_llm_kept_before_it_had_threads(tmp_path: Path) -> None:
    def response(key: str, prompt: str | None, in_: str | None, at: int, **more: object) -> tuple:
        row = {"model": "m", "prompt": prompt, "system": "Be brief.", "response": f"to {key}"}
        row |= {"conversation_id": in_, "datetime_utc": f"2026-11-23T05:54:{at:02}"} | more
        names = ("model", "prompt", "system", "prompt_json", "options_json", "response")
        names += ("response_json", "conversation_id", "duration_ms", "datetime_utc")
        return (key, *(row.get(name) for name in (*names, "input_tokens", "output_tokens")))

    path = made(
        tmp_path / "logs.db",
        LEGACY,
        conversations=[("c", "Named", "m")],
        responses=[
            response("r2", None, "c", 40),
            response("r1", "Hello?", "c", 37, response_json='{"id": 1}', output_tokens=9),
            response("alone", "Only once.", None, 37),
        ],
        fragments=[(1, "h", "a fragment")],
        prompt_fragments=[("r1", 1, 0)],
        tool_calls=[(1, "r1", None, "clock", "{}", "x")],
        tool_results=[(1, "r2", None, "clock", "noon", "x")],
    )
    (talk, alone), problems = chats(path)
    assert not problems
    assert (talk.id, talk.title, talk.origin, alone.id) == ("c", "Named", "llm", "alone")
    assert [(turn.role, turn.content) for turn in talk.turns] == [
        ("system", "Be brief."),
        ("user", "a fragment\nHello?"),
        ("assistant", "to r1"),
        ("tool", "noon"),
        ("assistant", "to r2"),
    ]
    answer = talk.turns[2]
    assert (answer.raw, answer.tokens, answer.created) == ({"response_json": {"id": 1}}, 9, WHEN)
    assert answer.blocks == [{"type": "tool_call", "id": "x", "name": "clock", "arguments": {}}]


def test_tables_may_have_any_name_and_several_kinds_be_in_one_file(tmp_path: Path) -> None:
    schema = LANGCHAIN.replace("message_store", '"my ""own"" table"') + ";" + LLAMA
    path = made(tmp_path / "chats.txt", schema)
    made(path, "", **{'"my ""own"" table"': [(1, "s", human("hello"))]})
    data = json.dumps({"blocks": [{"block_type": "text", "text": "there"}]})
    made(path, "", llama_index_memory=[(1, "k", 1, "user", "active", data)])
    found, problems = chats(path)
    assert not problems
    assert [one.origin for one in found] == ["llama-index", "langchain"]
    assert [one.turns[0].content for one in found] == ["there", "hello"]
