"""Our ChatGPT-shaped export, judged by the schema inferred from 2,122 real conversations."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from chathistory.formats import Transcript, native
from chathistory.formats.chatgpt import read
from tests.formats.payloads import ALL
from tests.formats.samples import FIXTURES, fixture, forest, opened, sorted_out
from tests.formats.written import branching, said, session, written

SCHEMA = "polylogue/schemas/chatgpt/versions/v2/elements/session_document.schema.json.gz"
REAL = ("chatgpt-export",)


@cache
def validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(gzip.decompress(fixture(SCHEMA).read())))


def judged(*sessions: dict[str, Any]) -> list[Any]:
    """Return the conversations of an export, each of which fits the schema."""
    found = json.loads(written("chatgpt", *sessions))
    for one in found:
        errors = [f"{list(e.absolute_path)}: {e.message}" for e in validator().iter_errors(one)]
        assert errors == []
    return found


def told(transcript: Transcript) -> list[Any]:
    return [
        (t.id, t.parent, t.role, t.content, t.author, t.created, t.blocks, t.metadata, t.raw)
        for t in transcript.turns
    ]


def test_what_was_written_here_fits() -> None:
    about = {"model": "gpt-4o", "attachments": ["a.txt"], "hidden": True, "channel": "final"}
    tool = said("tool", "{}", author="browser", status="failed", metadata=about | {"status": "x"})
    empty = session(title="", created_at=None, updated_at=None)
    judged(branching(), session("Hi", tool, said("developer", "")), empty, session(*ALL))


@pytest.mark.parametrize("name", REAL)
def test_a_real_export_goes_out_as_it_came_in(name: str) -> None:
    chats, _problems = sorted_out(fixture(f"librechat/{name}.json"))
    found = judged(*(native.transcript_to_dict(chat) for chat in chats))
    assert chats
    for chat, one in zip(chats, found, strict=True):
        again = read(one, "")
        assert told(again) == told(chat)
        assert (again.head, again.created, again.updated) == (chat.head, chat.created, chat.updated)


def test_the_generated_samples_and_a_forest_go_out_as_they_came_in() -> None:
    fixture(SCHEMA)
    paths = sorted((FIXTURES / "polylogue/schemas/chatgpt/representatives").glob("sample-*.json"))
    files = [fixture(str(path)) for path in paths]
    for file in [*files, opened([forest()])]:
        chats, _problems = sorted_out(file)
        for chat in chats:
            (one,) = judged(native.transcript_to_dict(chat))
            assert told(read(one, "")) == told(chat)
