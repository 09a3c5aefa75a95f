"""Database files in the shapes of other programs, made here."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from chathistory.formats import FormatError, Problem, Transcript
from chathistory.stores import reading
from tests.formats.samples import FIXTURES

AGENTS = """
CREATE TABLE agent_sessions (session_id TEXT PRIMARY KEY, created_at TIMESTAMP,
 updated_at TIMESTAMP);
CREATE TABLE agent_messages (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL,
 message_data TEXT NOT NULL, created_at TIMESTAMP)
"""
LANGCHAIN = "CREATE TABLE message_store (id INTEGER PRIMARY KEY, session_id TEXT, message TEXT)"
LLAMA = """
CREATE TABLE llama_index_memory (id INTEGER NOT NULL PRIMARY KEY, key VARCHAR, timestamp BIGINT,
 role VARCHAR, status VARCHAR, data JSON)
"""
LLM = """
CREATE TABLE threads (id TEXT PRIMARY KEY, name TEXT, tip_message_hash TEXT, forked_from TEXT,
 datetime_utc TEXT);
CREATE TABLE turns (id TEXT PRIMARY KEY, thread_id TEXT, parent_message_hash TEXT,
 tip_message_hash TEXT, model TEXT, resolved_model TEXT, options_json TEXT, input_tokens INTEGER,
 output_tokens INTEGER, duration_ms INTEGER, datetime_utc TEXT);
CREATE TABLE messages (hash TEXT PRIMARY KEY, parent_hash TEXT, role TEXT,
 provider_metadata TEXT);
CREATE TABLE parts (id INTEGER PRIMARY KEY, message_hash TEXT, position INTEGER, type TEXT,
 tool_name TEXT, text TEXT, payload TEXT);
CREATE TABLE part_attachments (part_id INTEGER, attachment_id TEXT, "order" INTEGER);
CREATE TABLE attachments (id TEXT PRIMARY KEY, type TEXT, path TEXT, url TEXT, content BLOB);
CREATE TABLE fragments (id INTEGER PRIMARY KEY, hash TEXT, content TEXT)
"""
LEGACY = """
CREATE TABLE conversations (id TEXT PRIMARY KEY, name TEXT, model TEXT);
CREATE TABLE responses (id TEXT PRIMARY KEY, model TEXT, prompt TEXT, system TEXT,
 prompt_json TEXT, options_json TEXT, response TEXT, response_json TEXT, conversation_id TEXT,
 duration_ms INTEGER, datetime_utc TEXT, input_tokens INTEGER, output_tokens INTEGER);
CREATE TABLE fragments (id INTEGER PRIMARY KEY, hash TEXT, content TEXT);
CREATE TABLE prompt_fragments (response_id TEXT, fragment_id INTEGER, "order" INTEGER);
CREATE TABLE tool_calls (id INTEGER PRIMARY KEY, response_id TEXT, tool_id INTEGER, name TEXT,
 arguments TEXT, tool_call_id TEXT);
CREATE TABLE tool_results (id INTEGER PRIMARY KEY, response_id TEXT, tool_id INTEGER, name TEXT,
 output TEXT, tool_call_id TEXT)
"""
Rows = Iterable[tuple[Any, ...]]


def made(path: Path, schema: str, **tables: Rows) -> Path:
    """Make a database of this schema with these rows."""
    link = sqlite3.connect(path)
    link.executescript(schema)
    for table, rows in tables.items():
        for row in rows:
            marks = ", ".join("?" * len(row))
            link.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608
    link.commit()
    link.close()
    return path


def human(text: str) -> str:
    """Return a LangChain message."""
    return json.dumps({"type": "human", "data": {"content": text}})


def chats(path: Path) -> tuple[list[Transcript], list[Problem]]:
    """Read a whole database: the chats, and the problems."""
    found = list(reading.read(path))
    good = [one for one in found if isinstance(one, Transcript)]
    return good, [one for one in found if isinstance(one, Problem)]


def chat(path: Path) -> Transcript:
    """Return the one chat of a database that has no problems."""
    (found,), problems = chats(path)
    assert not problems
    return found


def refusal(path: Path) -> str:
    """Return why a database is refused as a whole."""
    with pytest.raises(FormatError) as caught:
        chats(path)
    return str(caught.value)


def fixture(name: str) -> Path:
    """Return a real database; the test is skipped, saying so, where the folder is not there."""
    if not FIXTURES.is_dir():
        pytest.skip("no folder shared/fixtures beside the project: real exports are kept there")
    return FIXTURES / name
