"""What each writer keeps, says and leaves out."""

from __future__ import annotations

import csv
import io
import json
from html import escape

import pytest

from chathistory import commonmark
from chathistory.exceptions import Invalid
from chathistory.formats import Transcript
from chathistory.formats.writers import WRITERS, chosen, content_type_of, pdf
from tests.formats.samples import chat, sorted_out
from tests.formats.written import branching, said, session, written

SHOWN = ("markdown", "text", "html", "openai")


def test_an_unknown_format_lists_the_known() -> None:
    with pytest.raises(
        Invalid, match="json, jsonl, openai, markdown, text, html, pdf, csv"
    ) as said:
        chosen("docx")
    assert said.value.field == "format"


@pytest.mark.parametrize("form", WRITERS)
def test_each_has_a_suffix_and_a_type_that_is_found_again(form: str) -> None:
    writer = WRITERS[form]
    assert content_type_of(f"chats.{writer.suffix}").partition(";")[0]
    assert writer.content_type.startswith("text/") == ("charset" in writer.content_type)


@pytest.mark.parametrize("form", [form for form in WRITERS if form != "pdf"])
def test_a_session_without_a_message_is_written(form: str) -> None:
    assert written(form, session())


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_what_is_complete_reads_back_the_same(form: str) -> None:
    chats, problems = sorted_out(written(form, branching(), session("One\u2028line", "Ω")))
    assert problems == []
    assert [len(one.turns) for one in chats] == [5, 2]
    assert [turn.parent for turn in chats[0].turns] == [None, "m-0", "m-0", "m-2", "m-3"]
    assert chats[1].turns[0].content == "One\u2028line"


def test_json_lines_are_a_session_each() -> None:
    lines = written("jsonl", branching(), session("a\nb")).splitlines()
    assert [len(json.loads(line)["messages"]) for line in lines] == [5, 1]


@pytest.mark.parametrize("form", SHOWN)
def test_the_branch_shown_is_there_and_no_other(form: str) -> None:
    text = written(form, branching()).decode()
    assert text.index("What?") < text.index("The second answer.") < text.index("Below it.")
    assert "The first answer." not in text
    assert ("1 message stands on other branches" in text) == (form != "openai")


@pytest.mark.parametrize("form", ["markdown", "text", "html"])
def test_what_people_read_has_title_time_speaker_model_and_files(form: str) -> None:
    files = {"model": "gpt-4o", "attachments": ["plan.pdf", {"name": "sums.csv"}]}
    one = said("assistant", "Hello.", author="Ada", metadata=files, status="failed")
    text = written(form, session("Hi", one, title="Of *herons*")).decode().replace("\\", "")
    for wanted in ("Of *herons*", "2025-01-14 10:30 UTC", "Ada", "gpt-4o", "plan.pdf, sums.csv"):
        assert wanted in text
    assert "did not come to its end" in text


@pytest.mark.parametrize("form", [*SHOWN, "csv", "chatgpt"])
def test_a_damaged_message_says_so(form: str) -> None:
    text = written(form, session("Hi", said("assistant", "", damaged=True))).decode()
    assert "This message cannot be read" in text


def test_openais_lines_are_messages_with_what_tools_were_called_with() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    asked = said("assistant", "", raw={"tool_calls": [call], "secret": 1})
    answered = said("tool", "42", raw={"tool_call_id": "c1"}, author="f")
    (line,) = written("openai", session("6*7?", asked, answered)).splitlines()
    assert json.loads(line) == {
        "messages": [
            {"role": "user", "content": "6*7?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "42", "name": "f", "tool_call_id": "c1"},
        ]
    }


def test_the_table_has_every_message_and_its_place() -> None:
    rows = list(csv.DictReader(io.StringIO(written("csv", branching()).decode())))
    assert [(row["seq"], row["parent_id"]) for row in rows] == [
        ("1", ""),
        ("2", "m-0"),
        ("3", "m-0"),
        ("4", "m-2"),
        ("5", "m-3"),
    ]
    assert rows[1]["content"] == "The first answer."
    assert rows[1]["author"] == "Ada"
    assert rows[3]["deleted_at"]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\n=1", " =1", "\u200b=1", "＝1", "\ufeff@a"]
)
def test_no_cell_begins_like_a_formula(text: str) -> None:
    (row,) = csv.DictReader(io.StringIO(written("csv", session(text, title=text)).decode()))
    assert row["content"].startswith("'")
    assert row["title"].startswith("'")


@pytest.mark.parametrize("text", ["5 > 3", "a=1", "", "x-y", "“=”"])
def test_other_cells_are_as_they_were(text: str) -> None:
    (row,) = csv.DictReader(io.StringIO(written("csv", session(text)).decode()))
    assert row["content"] == text


def test_chatgpts_shape_reads_back_the_same() -> None:
    about = {"model": "gpt-4o", "attachments": ["a.txt"], "hidden": True, "recipient": "python"}
    given = branching()
    given["messages"][1] |= {"metadata": about, "role": "developer"}
    given["metadata"] = {"model": "gpt-4o"}
    found: Transcript = chat(written("chatgpt", given))
    assert (found.title, found.id, found.head) == ("A title", given["session_id"], "m-4")
    assert found.created is not None
    assert found.created.microsecond == 250_000
    turns = {turn.id: turn for turn in found.turns}
    assert {key: turn.parent for key, turn in turns.items()} == {
        "m-0": None,
        "m-1": "m-0",
        "m-2": "m-0",
        "m-4": "m-2",
    }
    for message in given["messages"]:
        if turn := turns.get(message["id"]):
            assert (turn.role, turn.content) == (message["role"], message["content"])
            assert (turn.author, turn.created) == (message["author"], found.created)
    assert turns["m-1"].metadata == about
    assert found.metadata["model"] == "gpt-4o"


def test_what_came_from_chatgpt_goes_out_as_it_was_unless_it_was_changed() -> None:
    raw = {
        "id": "x",
        "author": {"role": "assistant", "name": None, "metadata": {}},
        "content": {"content_type": "thoughts", "thoughts": [{"summary": "S", "content": "C"}]},
        "weight": 0.0,
    }
    same = said("assistant", "S\n\nC", raw=raw)
    changed = said("assistant", "Something else", raw=raw)
    (found,) = json.loads(written("chatgpt", session(same, changed)))
    assert found["mapping"]["m-0"]["message"] == raw
    parts = {"content_type": "text", "parts": ["Something else"]}
    assert found["mapping"]["m-1"]["message"] == raw | {"content": parts}


def test_children_stand_where_their_parents_list_them() -> None:
    (found,) = json.loads(written("chatgpt", branching()))
    nodes = found["mapping"]
    assert nodes["m-0"]["children"] == ["m-1", "m-2"]
    for key, node in nodes.items():
        assert node["parent"] is None or key in nodes[node["parent"]]["children"]
    assert found["current_node"] == "m-4"


def test_a_fence_that_was_never_closed_swallows_nothing() -> None:
    text = written("markdown", session("```python\nprint(1)", "Next")).decode()
    assert "print(1)\n```\n" in text


@pytest.mark.parametrize(
    "text",
    [
        "`<b>` and ``a`b``",
        "```html\n<script>\n```",
        "    <script>\n    x",
        "a < b && b > c",
        "a[0]: x",
    ],
)
def test_markdown_that_does_nothing_stays_as_it_was(text: str) -> None:
    assert text in written("markdown", session(text)).decode()


def _of(piece: str, size: int = 300_000) -> str:
    return piece * (size // len(piece))


ODD = {
    "images": _of("!["),
    "images in brackets": _of("![["),
    "brackets": _of("["),
    "emphasis and brackets": _of("*["),
    "CDATA": _of("<![CDATA["),
    "lines of a deep quotation": ">" * 40 + _of("a\n"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_too_odd_to_be_laid_out_is_shown_as_it_is_written(kind: str) -> None:
    shown = written("html", session(ODD[kind])).decode()
    assert f"<pre>{escape(ODD[kind], quote=False).strip()}" in shown
    assert "strong(" not in pdf.body(ODD[kind])


@pytest.mark.parametrize(
    "piece",
    ["a\n", "- a\n", "> a\n", "[a](https://example.org) ", "a [0, 1) b\n\n", "*a* `b` **c** "],
)
def test_what_is_long_only_is_laid_out(piece: str) -> None:
    assert commonmark.parse(commonmark.parser(), _of(piece, 100_000))


QUADRATIC = {
    "ends of labels": "<a " + _of("x\n]:"),
    "ends of labels in one line": "<a " + _of("x]:"),
    "definitions": _of("[a]: b\n", 200_000) + _of("[a]", 100_000),
    "open definitions": _of("[a]: "),
    "images": _of("!["),
    "runs of backticks": "<a " + "".join("e" + "`" * length for length in range(1, 770)),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", QUADRATIC)
def test_hostile_markdown_takes_work_as_it_is_long(kind: str) -> None:
    assert len(written("markdown", session(QUADRATIC[kind]))) >= len(QUADRATIC[kind])


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("language", "piece"), [("java", "a "), ("java", "a<"), ("perl", "s{"), ("C#", "a\n")]
)
def test_code_too_long_for_colors_is_plain(language: str, piece: str) -> None:
    page = written("html", session(f"```{language}\n{_of(piece)}\n```")).decode()
    assert f"<code>{escape(_of(piece))}" in page
    few = written("html", session(f"```{language}\n{_of(piece, 200)}\n```")).decode()
    assert "<span" in few.partition("<article")[2]


def test_a_table_wider_than_a_page_is_set_as_it_is_written() -> None:
    for columns, is_table in [(100, True), (101, False), (100_000, False)]:
        found = pdf.body("|a" * columns + "\n" + "|-" * columns)
        assert ("table(" in found) == is_table
        assert found.count("a") >= columns
