"""A database that anyone may have made: it is read, or refused with a reason, and nothing else."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from chathistory.formats import FormatError, Malformed
from chathistory.stores import reading
from chathistory.stores.database import MAX_CELL, Database
from chathistory.stores.shape import Refused
from tests.stores.samples import AGENTS, LANGCHAIN, LLM, chats, human, made, refusal
from tests.stores.test_kinds import llm_rows

DEEP = "[" * 100_000 + "]" * 100_000
BOMB = """
CREATE VIEW message_store AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n)
 SELECT id, 's' AS session_id, zeroblob(1000000000) AS message FROM n
"""
COMPUTED = """
CREATE TABLE message_store (id INTEGER PRIMARY KEY, session_id TEXT,
 message TEXT GENERATED ALWAYS AS (hex(zeroblob(100))) VIRTUAL);
INSERT INTO message_store (session_id) VALUES ('s')
"""
SHADOWED = """
CREATE TABLE message_store (rowid TEXT, id INTEGER, session_id TEXT, message TEXT)
"""
WITHOUT = """
CREATE TABLE message_store (id INTEGER PRIMARY KEY, session_id TEXT, message TEXT) WITHOUT ROWID
"""
TRIGGERED = """
CREATE TABLE message_store (id INTEGER PRIMARY KEY, session_id TEXT, message TEXT);
CREATE TABLE seen (n);
CREATE TRIGGER t AFTER INSERT ON message_store BEGIN INSERT INTO seen VALUES (new.id); END;
CREATE VIEW v AS SELECT * FROM message_store;
CREATE VIRTUAL TABLE f USING fts5(x, content='message_store')
"""
UNKNOWN = "holds no chats of a known kind"


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("CREATE TABLE t (a)", UNKNOWN),
        (BOMB, UNKNOWN),
        (COMPUTED, UNKNOWN),
        (SHADOWED, UNKNOWN),
        (WITHOUT, "cannot be read"),
        ("CREATE VIRTUAL TABLE message_store USING fts5(id, session_id, message)", UNKNOWN),
        ("CREATE VIRTUAL TABLE message_store USING dbstat", UNKNOWN),
    ],
    ids=["other", "view", "generated", "rowid", "without-rowid", "fts5", "dbstat"],
)
def test_only_tables_that_are_just_tables_are_read(tmp_path: Path, schema: str, why: str) -> None:
    try:
        path = made(tmp_path / "a.db", schema)
    except sqlite3.OperationalError as error:
        pytest.skip(f"this SQLite cannot make it: {error}")
    assert why in refusal(path)


def test_what_stands_beside_the_chats_is_left_alone(tmp_path: Path) -> None:
    path = made(tmp_path / "a.db", TRIGGERED, message_store=[(1, "s", human("hello"))])
    before = path.read_bytes()
    (found,), problems = chats(path)
    assert not problems
    assert found.turns[0].content == "hello"
    assert path.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.db"]


CELLS = {
    "blob": b"\xff\xfe",
    "number": 5,
    "null": None,
    "no JSON": "{",
    "no object": "[]",
    "NaN": '{"type": "human", "data": {"content": NaN}}',
    "infinity": '{"type": "human", "data": {"content": "a", "n": 1e999}}',
    "twice": '{"type": "human", "data": {"content": "a", "content": "b"}}',
    "deep": DEEP,
    "no role": '{"type": "martian", "data": {}}',
    "no type": "{}",
}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_wrong_cell_keeps_its_chat_out_and_no_other(tmp_path: Path, cell: object) -> None:
    rows = [(1, "good", human("a")), (2, "bad", human("b")), (3, "bad", cell)]
    found, problems = chats(made(tmp_path / "a.db", LANGCHAIN, message_store=rows))
    assert [one.id for one in found] == ["good"]
    assert [(one.id, one.where.split(".")[0]) for one in problems] == [("bad", "message_store[3]")]
    assert problems[0].reason


def test_text_that_is_not_utf8_keeps_its_chat_out(tmp_path: Path) -> None:
    path = made(tmp_path / "a.db", LANGCHAIN, message_store=[(1, "good", human("a"))])
    link = sqlite3.connect(path)
    link.execute("INSERT INTO message_store VALUES (2, 'bad', CAST(x'7bff7d' AS TEXT))")
    link.commit()
    link.close()
    found, (problem,) = chats(path)
    assert [one.id for one in found] == ["good"]
    assert "UTF-8" in problem.reason


@pytest.mark.parametrize("session", [b"\xff", 1.5, None], ids=["blob", "float", "null"])
def test_a_session_without_a_proper_id_is_named(tmp_path: Path, session: object) -> None:
    schema = "CREATE TABLE m (id INTEGER PRIMARY KEY, session_id, message TEXT)"
    rows = [(1, "good", human("a")), (2, session, human("b"))]
    found, (problem,) = chats(made(tmp_path / "a.db", schema, m=rows))
    assert [one.id for one in found] == ["good"]
    assert problem.where == f"m[session_id={session!r}]"


def test_a_cell_that_is_huge_is_never_held(tmp_path: Path) -> None:
    path = made(tmp_path / "a.db", LANGCHAIN, message_store=[(1, "good", human("a"))])
    link = sqlite3.connect(path)
    link.execute("INSERT INTO message_store VALUES (2, 'bad', zeroblob(?))", [MAX_CELL + 1])
    link.commit()
    link.close()
    found, (problem,) = chats(path)
    assert [one.id for one in found] == ["good"]
    assert (problem.where, problem.reason) == (
        *("message_store[2]",),
        "cannot be read (string or blob too big)",
    )


def twisted(name: str) -> dict[str, list[tuple[object, ...]]]:
    tables = {table: list(rows) for table, rows in llm_rows().items()}
    if name == "circle":
        tables["messages"][2] = ("root", "b2", "system", None)
    elif name == "orphan":
        tables["messages"][2] = ("root", "gone", "system", None)
    elif name == "no tip":
        tables["threads"][0] = ("t1", "First", "gone", None, None)
    elif name == "no fragment":
        tables["fragments"].clear()
    elif name == "bad payload":
        tables["parts"][0] = (1, "root", 0, "text", None, None, '{"text_ref": [5]}')
    return tables


@pytest.mark.parametrize(
    ("name", "chats_read"),
    [("circle", 2), ("orphan", 2), ("no tip", 1), ("no fragment", 0), ("bad payload", 0)],
)
def test_a_twisted_tree_is_told_or_kept_out(tmp_path: Path, name: str, chats_read: int) -> None:
    found, problems = chats(made(tmp_path / "logs.db", LLM, **twisted(name)))
    assert (len(found), len(problems)) == (chats_read, 2 - chats_read)
    if name == "orphan":
        assert found[0].turns[0].metadata["orphan_of"] == "gone"


def big(path: Path) -> bytes:
    rows = [(n, f"s{n % 9}", human(f"message {n} " * 40)) for n in range(1, 400)]
    return made(path, LANGCHAIN, message_store=rows).read_bytes()


def damaged() -> list[tuple[str, Callable[[bytearray], None]]]:
    def cut(data: bytearray) -> None:
        del data[len(data) // 2 :]

    def stub(data: bytearray) -> None:
        del data[60:]

    def head(data: bytearray) -> None:
        data[16:24] = b"\xff" * 8

    def schema(data: bytearray) -> None:
        data[100:200] = random.Random(1).randbytes(100)

    def loops(data: bytearray) -> None:
        size = int.from_bytes(data[16:18], "big")
        for start in range(size, len(data), size):
            data[start + 8 : start + 12] = (2).to_bytes(4, "big")

    def noise(data: bytearray) -> None:
        dice = random.Random(7)
        for _ in range(500):
            data[dice.randrange(100, len(data))] = dice.randrange(256)

    return [(one.__name__, one) for one in (cut, stub, head, schema, loops, noise)]


@pytest.mark.parametrize(("name", "harm"), damaged())
def test_a_damaged_file_is_told_and_nothing_is_half_a_chat(
    tmp_path: Path, name: str, harm: Callable[[bytearray], None]
) -> None:
    path = tmp_path / "a.db"
    data = bytearray(big(path))
    whole = {one.id: len(one.turns) for one in chats(path)[0]}
    harm(data)
    path.write_bytes(data)
    try:
        found, problems = chats(path)
    except FormatError:
        return
    assert problems or name == "noise"
    assert all(len(one.turns) <= whole.get(one.id, 1_000) for one in found)


def test_a_schema_whose_errors_are_no_text_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "a.db", "CREATE TABLE mine (a); CREATE INDEX i ON mine (a)")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"mine (a)", b"\xe4\xff\xc2e (a)"))
    assert "cannot be read" in refusal(path)


def test_a_file_left_in_the_middle_of_a_change_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "a.db", LANGCHAIN, message_store=[(1, "s", human("a"))])
    (tmp_path / "a.db-journal").write_bytes(b"x")
    assert "in the middle of a change" in refusal(path)


def logged(folder: Path) -> tuple[Path, sqlite3.Connection]:
    path = folder / "a.db"
    link = sqlite3.connect(path, isolation_level=None)
    link.execute("PRAGMA journal_mode = WAL")
    link.executescript(LANGCHAIN)
    link.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for n in range(20):
        link.execute("INSERT INTO message_store VALUES (?, 's', ?)", (n, human(f"number {n}")))
    link.execute("BEGIN")
    link.execute("INSERT INTO message_store VALUES (99, 's', 'not yet')")
    return path, link


def test_what_is_committed_in_a_log_counts_and_nothing_is_written(tmp_path: Path) -> None:
    path, link = logged(tmp_path)
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    (found,), problems = chats(path)
    assert not problems
    assert [turn.content for turn in found.turns] == [f"number {n}" for n in range(20)]
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before
    link.close()


@pytest.mark.parametrize("at", [0, 8, 12, 24, 40, 60, 4_000, -10])
def test_a_damaged_log_ends_where_it_is_damaged(tmp_path: Path, at: int) -> None:
    path, link = logged(tmp_path)
    log = path.with_name("a.db-wal")
    data = bytearray(log.read_bytes())
    link.close()
    data[at] ^= 0xFF
    log.write_bytes(data)
    try:
        found, problems = chats(path)
    except FormatError:
        return
    assert not problems
    assert [t.content for one in found for t in one.turns] == [
        f"number {n}" for n in range(sum(len(one.turns) for one in found))
    ]


def test_no_statement_but_reading_is_allowed(tmp_path: Path) -> None:
    path = made(tmp_path / "a.db", AGENTS + f";{LANGCHAIN}")
    database = Database(path, 60)
    link = database._link
    for sql in (
        *("ATTACH ':memory:' AS x", "PRAGMA journal_mode", "SELECT load_extension('x')"),
        *("SELECT zeroblob(9)", "INSERT INTO message_store VALUES (1, 's', 'm')", "VACUUM"),
        *("CREATE TABLE x (a)", "SELECT * FROM agent_messages", "DROP TABLE message_store"),
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    ):
        with pytest.raises(sqlite3.DatabaseError):
            link.execute(sql).fetchall()


def test_reading_ends_when_its_time_is_up(tmp_path: Path) -> None:
    rows = [(n, f"s{n}", human("a")) for n in range(1, 3_000)]
    path = made(tmp_path / "a.db", LANGCHAIN, message_store=rows)
    with pytest.raises(Refused, match="too long"):
        list(Database(path, -1).rows("message_store", "id"))


class Talk:
    """A child that says what it likes."""

    def __init__(self, *frames: bytes) -> None:
        self._data = b"".join(len(one).to_bytes(8, "big") + one for one in frames)

    def read(self, size: int) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        return data


@pytest.mark.parametrize(
    "frames",
    [
        (),
        (b"{",),
        (b"[]",),
        (b'{"where": "x", "chat": {"session_id": "s", "messages": []}, "origin": "native"}',),
        (("[" * 100_000).encode(),),
        (json.dumps({"refused": "so it is"}).encode(),),
    ],
)
def test_a_child_that_does_not_keep_to_the_shape_is_not_believed(frames: tuple[bytes]) -> None:
    with pytest.raises(FormatError):
        list(reading._told(Talk(*frames)))  # type: ignore[arg-type]


def test_a_child_that_gives_what_is_no_chat_gives_a_problem() -> None:
    frames = (b'{"where": "x", "chat": {"session_id": "s"}, "origin": "llm"}', b'{"end": 1}')
    (problem,) = reading._told(Talk(*frames))  # type: ignore[arg-type]
    assert not isinstance(problem, Malformed)
    assert (problem.where, problem.id) == ("x.messages", None)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"{}")
    assert not reading.is_database(path)
    assert "not an SQLite database" in refusal(path)
    assert "No such file" in refusal(tmp_path / "gone.db")
