"""The same durable append in plain ``sqlite3``: what our own is measured against.

Same pragmas, one IMMEDIATE transaction each, the same rows written (message, session, account,
two journal rows), the same columns sealed by AES-GCM, bodies deflated, keyed tokens in the same
contentless FTS5, and an index for everything that has to be unique or in order. Imports nothing
of ours: no gate, no limits, no ORM, no answer that a caller could use.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import time
import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SCHEMA = """
CREATE TABLE account (
  id integer PRIMARY KEY, uuid char(32) NOT NULL UNIQUE, seq bigint NOT NULL, at datetime NOT NULL);
CREATE TABLE session (
  id integer PRIMARY KEY, uuid char(32) NOT NULL UNIQUE, account_id bigint NOT NULL,
  changed bigint NOT NULL, pinned bool NOT NULL, version integer NOT NULL, title blob, preview blob,
  last_seq integer NOT NULL, head_seq integer, message_count integer NOT NULL,
  total_tokens bigint NOT NULL, created_at datetime NOT NULL, updated_at datetime NOT NULL,
  last_activity datetime NOT NULL);
CREATE INDEX session_shown ON session (account_id, pinned, last_activity, id);
CREATE INDEX session_updated ON session (account_id, updated_at, id);
CREATE INDEX session_changed ON session (account_id, changed);
CREATE TABLE message (
  id integer PRIMARY KEY, uuid char(32) NOT NULL UNIQUE, account_id bigint NOT NULL,
  session_id bigint NOT NULL, changed bigint NOT NULL, seq integer NOT NULL, parent_seq integer,
  role varchar(16) NOT NULL, status varchar(16) NOT NULL, body blob NOT NULL,
  revision integer NOT NULL, tokens integer NOT NULL, length integer NOT NULL,
  place bigint NOT NULL, indexed smallint NOT NULL, created_at datetime NOT NULL,
  UNIQUE (session_id, seq));
CREATE INDEX message_place ON message (place);
CREATE INDEX message_changed ON message (account_id, changed);
CREATE TABLE change (
  id integer PRIMARY KEY, account_id bigint NOT NULL, seq bigint NOT NULL, at datetime NOT NULL,
  actor_id bigint, op varchar(32) NOT NULL, operation char(32) NOT NULL, tab varchar(16) NOT NULL,
  row char(32) NOT NULL, session char(32), before blob, UNIQUE (account_id, seq));
CREATE VIRTUAL TABLE fts USING fts5(
  t, content='', detail=none, columnsize=0, tokenize='ascii');
"""
PRAGMAS = """
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
PRAGMA secure_delete=ON;
PRAGMA temp_store=MEMORY;
PRAGMA cache_size=-16384;
PRAGMA mmap_size=268435456;
"""
LOCK = "UPDATE account SET at = max(at, ?) WHERE id = ? RETURNING seq"
READ = (
    "SELECT uuid, last_seq, head_seq, last_activity, title FROM session"
    " WHERE id = ? AND account_id = ?"
)
PLACE = "SELECT max(place) FROM message WHERE place >= ? AND place < ?"
MESSAGE = (
    "INSERT INTO message (uuid, account_id, session_id, changed, seq, parent_seq, role, status,"
    " body, revision, tokens, length, place, indexed, created_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, 'complete', ?, 1, ?, ?, ?, 1, ?)"
)
CHANGE = (
    "INSERT INTO change (account_id, seq, at, actor_id, op, operation, tab, row, session, before)"
    " VALUES (?, ?, ?, ?, 'message.append', ?, ?, ?, ?, ?)"
)
INDEX = "INSERT INTO fts(rowid, t) VALUES (?, ?)"
TOUCH = (
    "UPDATE session SET last_seq = ?, head_seq = ?, message_count = message_count + 1,"
    " total_tokens = total_tokens + ?, last_activity = ?, updated_at = ?, preview = ?, changed = ?,"
    " version = version + 1 WHERE id = ?"
)
TIE_BITS = 20
_WORD = re.compile(r"\w+")
_CACHED_WORDS = 200_000


class Reference:
    """One file, one account, one key. Sessions are 1 to ``sessions``."""

    def __init__(self, path: Path, sessions: int) -> None:
        """Make the file with empty sessions."""
        self._link = sqlite3.connect(path, isolation_level=None, timeout=30)
        self._link.executescript(PRAGMAS)
        self._link.executescript(SCHEMA)
        self._aead = AESGCM(os.urandom(32))
        self._search_key = os.urandom(32)
        self._known: dict[str, str] = {}
        now, account = _now(), _new_id()
        self._link.execute("BEGIN IMMEDIATE")
        self._link.execute("INSERT INTO account VALUES (1, ?, 0, ?)", (account, now))
        for number in range(1, sessions + 1):
            uuid = _new_id()
            title = self._seal(b"A title of fifty characters at most, or so.", uuid, 1)
            self._link.execute(
                "INSERT INTO session VALUES (?, ?, 1, 0, 0, 1, ?, NULL, 0, NULL, 0, 0, ?, ?, ?)",
                (number, uuid, title, now, now, now),
            )
        self._link.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._link.close()

    def fill(self, said: Iterable[tuple[int, str, str]], batch: int = 500) -> None:
        """Append ``(session, role, content)`` rows, many to a transaction."""
        pending: list[tuple[int, str, str]] = []
        for row in said:
            pending.append(row)
            if len(pending) == batch:
                self._store(pending)
                pending = []
        if pending:
            self._store(pending)

    def append(self, session: int, role: str, content: str) -> int:
        """Append one message durably; return its seq."""
        return self._store([(session, role, content)])

    def _store(self, said: Sequence[tuple[int, str, str]]) -> int:
        ready = [(s, role, c, _pack(c), self._tokens(c), _new_id()) for s, role, c in said]
        run = self._link.execute
        run("BEGIN IMMEDIATE")
        seq = 0
        for session, role, content, packed, tokens, uuid in ready:
            seq = self._insert(session, role, content, packed, tokens, uuid)
        run("COMMIT")
        return seq

    def _insert(
        self, session: int, role: str, content: str, packed: bytes, tokens: str, uuid: str
    ) -> int:
        run, now = self._link.execute, _now()
        ((number,),) = run(LOCK, (now, 1)).fetchall()
        ((sid, last, head, active, title),) = run(READ, (session, 1)).fetchall()
        seq, size, operation = last + 1, (len(content.encode()) + 3) // 4, _new_id()
        start = int(time.time() * 1000) << TIE_BITS
        taken = run(PLACE, (start, start + (1 << TIE_BITS))).fetchone()[0]
        place = start if taken is None else taken + 1
        body = self._seal(packed, uuid, 1)
        row = (uuid, 1, session, number + 1, seq, head, role, body, size, len(content), place, now)
        run(MESSAGE, row)
        run(INDEX, (place, tokens))
        before = {"head_seq": head, "last_seq": last, "state": "active", "last_activity": active}
        before["title"] = self._open(title, sid, 1)
        sealed = self._seal(json.dumps(before).encode(), sid, number + 2)
        preview = self._seal(" ".join(content[:160].split()).encode(), sid, seq)
        run(TOUCH, (seq, seq, size, now, now, preview, number + 2, session))
        changes = [("message", uuid, None), ("session", sid, sealed)]
        self._link.executemany(
            CHANGE,
            [
                (1, number + n, now, 1, operation, table, row, sid, image)
                for n, (table, row, image) in enumerate(changes, 1)
            ],
        )
        run("UPDATE account SET seq = ? WHERE id = 1", (number + 2,))
        return int(seq)

    def _seal(self, text: bytes, row: str, revision: int) -> bytes:
        nonce = os.urandom(12)
        header = b"\1\0" + (1).to_bytes(4, "big") + nonce
        bound = header + row.encode() + revision.to_bytes(8, "big")
        return header + self._aead.encrypt(nonce, text, bound)

    def _open(self, record: bytes, row: str, revision: int) -> str:
        header = record[:18]
        bound = header + row.encode() + revision.to_bytes(8, "big")
        return self._aead.decrypt(header[6:], record[18:], bound).decode()

    def _tokens(self, content: str) -> str:
        known, found = self._known, set()
        for word in set(_WORD.findall(content)):
            token = known.get(word)
            if token is None:
                if len(known) >= _CACHED_WORDS:
                    known.clear()
                text = word.lower().encode()
                digest = hashlib.blake2b(text, digest_size=6, key=self._search_key)
                token = known[word] = digest.hexdigest()
            found.add(token)
        return " ".join(sorted(found))


def _pack(content: str) -> bytes:
    raw = content.encode()
    packed = zlib.compress(raw, 6) if len(raw) >= 128 else raw
    return min(packed, raw, key=len)


def _new_id() -> str:
    """Return a UUIDv7: ordered by time like ours, so that its index grows at the end."""
    stamp = int(time.time() * 1000).to_bytes(6, "big")
    return (stamp + b"\x70" + os.urandom(9)).hex()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
