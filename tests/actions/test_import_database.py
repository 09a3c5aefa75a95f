"""Chats in another program's database come in, once, and nothing else of it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from chathistory import represent
from chathistory.actions import accounts, databases, exchange
from chathistory.exceptions import Invalid
from chathistory.models import Message, Session
from tests.stores.samples import AGENTS, LANGCHAIN, LLAMA, fixture, human, made


@pytest.fixture
def store(tmp_path: Path) -> Path:
    rows = [(n, f"chat {n % 2}", human(f"message {n}")) for n in range(1, 8)]
    return made(tmp_path / "history.txt", LANGCHAIN, message_store=rows)


def counted(report: exchange.Report) -> tuple[int, int, int, int]:
    found = report.as_dict()
    names = ("sessions_new", "sessions_extended", "sessions_unchanged", "messages_added")
    return tuple(found[name] for name in names)  # type: ignore[return-value]


def test_happy_every_chat_comes_in_under_its_owner(alice, store):
    said: list[tuple[int, int | None]] = []
    report = databases.import_database(alice, store, step=lambda *args: said.append(args))
    assert counted(report) == (2, 0, 0, 7)
    assert said == [(1, None), (2, None)]
    rows = Session.objects.mine(alice).order_by("pk")
    assert [one.message_count for one in rows] == [4, 3]
    assert represent.session_json(rows[0], owned=True)["workflow_type"] == "imported"


def test_happy_a_real_database_of_each_kind(alice):
    for name, chats, messages in (
        ("llm/logs.db", 3, 11),
        ("foreign_db/openai_agents_sqlitesession.db", 6, 52),
        ("foreign_db/llama_index_memory.db", 6, 40),
        ("foreign_db/langchain_message_store.db", 6, 40),
    ):
        path = fixture(name)
        report = databases.import_database(alice, path)
        assert counted(report) == (chats, 0, 0, messages)
        assert counted(databases.import_database(alice, path)) == (0, 0, chats, 0)


def agents(*said: str) -> list[tuple[Any, ...]]:
    items = [json.dumps({"role": "user", "content": text}) for text in said]
    return [(n, "default", item, "2026-11-23 05:54:37") for n, item in enumerate(items, 1)]


def llama(*said: str) -> list[tuple[Any, ...]]:
    items = [json.dumps({"content": text}) for text in said]
    return [(n, "default", n, "user", "active", item) for n, item in enumerate(items, 1)]


def langchain(*said: str) -> list[tuple[Any, ...]]:
    return [(n, "default", human(text)) for n, text in enumerate(said, 1)]


KINDS = [
    (AGENTS, "agent_messages", agents),
    (LLAMA, "llama_index_memory", llama),
    (LANGCHAIN, "message_store", langchain),
]


@pytest.mark.parametrize(("schema", "table", "rows"), KINDS)
def test_chats_of_one_name_in_other_databases_are_not_one(alice, tmp_path, schema, table, rows):
    def take(name: str, *said: str) -> tuple[int, int, int, int]:
        path = made(tmp_path / name, schema, **{table: rows(*said)})
        return counted(databases.import_database(alice, path))

    assert take("a.db", "q1", "a1") == (1, 0, 0, 2)
    assert take("b.db", "p1", "a1") == (1, 0, 0, 2)
    assert take("c.db", "q1", "a1", "q2") == (0, 1, 0, 1)
    assert take("d.db", "q1", "other", "q2") == (0, 1, 0, 2)
    assert Message.objects.count() == 7


def test_chats_of_one_name_in_two_tables_are_not_one(alice, tmp_path):
    both = LANGCHAIN + ";" + LANGCHAIN.replace("message_store", "another")
    rows = langchain("q1", "a1")
    path = made(tmp_path / "a.db", both, message_store=rows, another=rows)
    assert counted(databases.import_database(alice, path)) == (2, 0, 0, 4)
    assert counted(databases.import_database(alice, path)) == (0, 0, 2, 0)


def test_stranger_sees_nothing_of_it(alice, charlie, store):
    databases.import_database(alice, store)
    assert not Session.objects.visible_to(charlie, "read").exists()
    assert counted(databases.import_database(charlie, store)) == (2, 0, 0, 7)


def test_malformed_the_whole_is_refused_with_a_reason(alice, tmp_path):
    path = made(tmp_path / "a.db", "CREATE TABLE t (a)")
    with pytest.raises(Invalid, match="no chats of a known kind") as caught:
        databases.import_database(alice, path)
    assert caught.value.data["field"] == "file"
    assert not Session.objects.exists()


def test_malformed_a_chat_that_is_wrong_stays_out_as_a_whole(alice, tmp_path):
    rows = [(1, "good", human("a")), (2, "bad", human("b")), (3, "bad", "{")]
    path = made(tmp_path / "a.db", LANGCHAIN, message_store=rows)
    report = databases.import_database(alice, path).as_dict()
    (good, bad) = report["sessions"]
    assert (good["outcome"], bad["outcome"]) == ("new", "failed")
    assert bad["where"] == "message_store[3].message"
    assert bad["reason"].startswith("is not JSON")
    assert Message.objects.count() == 1


def test_repeated_adds_only_what_is_new(alice, store):
    databases.import_database(alice, store)
    assert counted(databases.import_database(alice, store)) == (0, 0, 2, 0)
    made(store, "", message_store=[(9, "chat 1", human("one more")), (10, "new", human("x"))])
    dry = databases.import_database(alice, store, dry_run=True)
    assert counted(dry) == (1, 1, 1, 2)
    assert Message.objects.count() == 7
    assert counted(databases.import_database(alice, store)) == (1, 1, 1, 2)
    assert counted(databases.import_database(alice, store, copy=True)) == (3, 0, 0, 9)


@pytest.mark.django_db(transaction=True)
def test_concurrent_imports_make_each_chat_once(alice, store, together):
    accounts.of(alice)
    results = together(*[lambda: databases.import_database(alice, store)] * 3)
    assert all(isinstance(one, exchange.Report) for one in results)
    assert (Session.objects.count(), Message.objects.count()) == (2, 7)


def test_the_command_knows_a_database_by_what_is_in_it(alice, store):
    out = io.StringIO()
    call_command("chat_import", str(store), "--user", "alice", stdout=out)
    assert "added 7 messages; sessions: 2 new" in out.getvalue()
    store.write_bytes(store.read_bytes()[:60])
    with pytest.raises(CommandError, match="not an SQLite database"):
        call_command("chat_import", str(store), "--user", "alice", stdout=out)


def test_a_file_is_never_read_as_a_database(alice, store):
    with store.open("rb") as file, pytest.raises(Invalid, match="chat_import FILE --user"):
        exchange.import_file(alice, file)
