"""Words planted in everything a person writes are nowhere in the files, the tables or the logs."""

from __future__ import annotations

import base64
import logging
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from chathistory.actions import exchange, jobs, messages, reply, sessions
from chathistory.exceptions import ChatHistoryError, Invalid
from chathistory.models import Message, Session
from chathistory.search.find import search
from tests.formats.samples import conversation, opened

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PLACES = (
    *("title", "tag", "metadata", "body", "code", "file", "query"),
    *("edit", "fork", "raw", "block", "author", "secret", "refused"),
)
CANARIES = {place: f"canary{place}xqzj{at:02}" for at, place in enumerate(PLACES)}
MAGIC = re.compile(rb"\x28\xb5\x2f\xfd|\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")


def disguises(word: str) -> dict[str, bytes]:
    """Return a word as it may be found in a file; of base64 what no neighbour changes."""
    raw = word.encode()
    found = {"raw": raw, "upper": raw.upper(), "hex": raw.hex().encode()}
    found |= {"UTF-16LE": word.encode("utf-16-le"), "UTF-16BE": word.encode("utf-16-be")}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw)
        found[f"base64 {shift}"] = coded[4 if shift else 0 : -4]
    return found


def layers(data: bytes) -> Iterator[bytes]:
    """Yield the data and whatever in it inflates."""
    yield data
    for match in MAGIC.finditer(data):
        rest = data[match.start() : match.start() + 1_000_000]
        try:
            if rest[:4] == b"\x28\xb5\x2f\xfd":
                yield zstd.ZstdDecompressor().decompress(rest, 1_000_000)
            else:
                yield zlib.decompressobj(47).decompress(rest, 1_000_000)
        except (zlib.error, zstd.ZstdError, EOFError):
            continue


def sightings(data: bytes) -> list[tuple[str, str]]:
    """Return which canaries are in the data and how."""
    return [
        (place, how)
        for layer in layers(data)
        for place, word in CANARIES.items()
        for how, form in disguises(word).items()
        if form in layer
    ]


def live(alice, bob, invite) -> None:
    """Write a canary everywhere a person can write."""
    c = CANARIES
    session = sessions.create(alice, "tutor", title=c["title"], metadata={c["metadata"]: 1})
    invite(session, bob, "read", "write")
    body = f"{c['body']} {'long enough to be packed ' * 20}\n```python\n{c['code']} = 1\n```"
    said = messages.append(
        *(session, alice, "user", body),
        raw={"x": c["raw"]},
        blocks=[{"x": c["block"]}],
    )
    messages.append(session, bob, "user", c["author"])
    messages.edit(said, alice, c["edit"] + body)
    messages.branch(said, alice, c["secret"])
    sessions.tag(session, alice, [c["tag"]])
    sessions.rename(session, alice, c["title"] + " again")
    copy = sessions.fork(Session.objects.select_related("account").get(), alice)
    messages.append(copy, alice, "assistant", c["fork"])
    messages.delete(said, alice)
    for query in (c["query"], f'"{c["query"]} {c["body"]}"', c["body"], f"{c['body']} -{c['tag']}"):
        search(alice, query)
        search(bob, query, sort="relevance")
    chat = [conversation({c["file"]: None})]
    jobs.run(
        *(copy.account, "import", {"file": c["file"] + ".json"}),
        lambda: exchange.import_file(alice, opened(chat), name=c["file"]).as_dict(),
    )
    with pytest.raises(Invalid):
        jobs.run(
            *(copy.account, "import", {"file": c["file"]}),
            lambda: exchange.import_file(alice, opened(c["refused"]), name=c["refused"]),
        )
    list(reply.ask(copy, alice, c["query"])[1])
    for bad in (f'"{c["refused"]}', f"-{c['refused']}"):
        with pytest.raises(ChatHistoryError):
            search(alice, bad)


def test_the_search_for_canaries_sees_through_every_disguise():
    word = CANARIES["body"]
    for shift in range(4):
        text = ("x" * shift + word + "yy").encode()
        for seen in (text, base64.b64encode(text), text.decode().encode("utf-16-le"), text.upper()):
            assert sightings(b"..." + seen + b"...")
    for packed in (zlib.compress(word.encode() * 9), zstd.compress(word.encode() * 9)):
        assert not re.search(word.encode() * 2, packed)
        assert sightings(b"..." + packed + b"...")
    assert not sightings(b"nothing to see")


@pytest.mark.django_db(transaction=True)
def test_they_are_nowhere_in_the_files_the_tables_or_the_logs(alice, bob, invite, caplog):
    caplog.set_level(logging.DEBUG)
    live(alice, bob, invite)
    assert Message.objects.count() > 5
    with connection.cursor() as cursor:
        # FTS5 itself cannot be read through; its shadow tables can.
        virtual = {"chathistory_fts", "chathistory_fts_title"}
        for table in set(connection.introspection.table_names(cursor)) - virtual:
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608  (names from the database)
            for row in cursor.fetchall():
                for value in row:
                    data = bytes(value) if isinstance(value, bytes | memoryview) else str(value)
                    data = data if isinstance(data, bytes) else data.encode("utf-8", "replace")
                    assert not sightings(data), table
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA wal_checkpoint")
    files = [path for path in Path(settings.CHATHISTORY_HOME).rglob("*") if path.is_file()]
    assert connection.vendor != "sqlite" or any("test.sqlite3" in path.name for path in files)
    for path in files:
        assert not sightings(path.read_bytes()), path
    assert not sightings(caplog.text.encode("utf-8", "replace"))
    assert not sightings(repr([vars(record) for record in caplog.records]).encode())
