"""Packing: how small 10,000 archived sessions get, how fast, and whether nobody notices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from time import perf_counter
from typing import Any

from .site import person, site
from .table import Row

TITLE = "Packing of 10,000 archived sessions"
SESSIONS = 10_000
WORDS = ("the", "a", "you", "how", "python")


@dataclass
class _Work:
    """What a job's function is given."""

    account: Any
    arguments: dict[str, Any]

    def step(self, done: int, total: int | None = None) -> None:
        """Go on."""


def rows() -> list[Row]:
    """Return the table's rows."""
    with site():
        from chathistory.actions import accounts, exchange, packing  # needs the site

        from .sharegpt import transcripts

        owner = person("owner")
        exchange.import_transcripts(owner, islice(transcripts(), SESSIONS))
        _archive()
        before, size = list(_told(owner)), _content()
        start = perf_counter()
        found = packing.compress(_Work(accounts.of(owner), {}))
        rate = found["packed"] / (perf_counter() - start)
        assert not found["damaged"], found
        assert list(_told(owner)) == before, "somebody reads something else"
        return [
            Row("sealed bytes of packed bodies / UTF-8 bytes", _sealed(), "B", 0.37, size),
            Row("packing messages/s", rate, "msg/s", 3_000, at_least=True),
        ]


def _archive() -> None:
    from django.utils import timezone  # needs the site

    from chathistory.models import Session
    from chathistory.states import State

    done = Session.objects.update(state=State.ARCHIVED, archived_at=timezone.now())
    assert done == SESSIONS, done


def _content() -> int:
    """Return the bytes of all texts as UTF-8."""
    from chathistory import records  # needs the site
    from chathistory.models import Message

    rows = Message.objects.select_related("session__account").iterator()
    return sum(len(records.open_body(row, row.session).content.encode()) for row in rows)


def _sealed() -> int:
    """Return the bytes of all records of bodies; nothing may be left outside of a block."""
    from django.db.models import Sum  # needs the site
    from django.db.models.functions import Length

    from chathistory.models import Block, Message

    assert not Message.objects.filter(block=None).exists()
    sizes = [model.objects.aggregate(size=Sum(Length("body"))) for model in (Block, Message)]
    return sum(one["size"] for one in sizes)


def _told(owner: Any) -> Iterator[bytes]:
    """Yield digests of all that readers get: every message read, exported, and searched."""
    from chathistory import represent  # needs the site
    from chathistory.actions import exporting
    from chathistory.models import Session

    sessions = Session.objects.order_by("pk").select_related("account__user")
    for exported in exporting.export_sessions(owner, sessions.iterator()):
        yield _digest(list(exported["messages"]))
    for session in sessions.iterator():
        yield _digest(represent.messages_json(session, session.messages.order_by("seq")))
    for word in WORDS:
        yield from _hits(owner, word)


def _hits(owner: Any, word: str) -> Iterator[bytes]:
    """Yield digests of everything a search finds, page by page."""
    from chathistory.search import find  # needs the site

    answer = find.search(owner, word, limit=find.MAX_LIMIT)
    while True:
        yield _digest([[str(hit.message.uuid), hit.snippet] for hit in answer.hits])
        if answer.cursor is None:
            return
        answer = find.search(owner, word, limit=find.MAX_LIMIT, cursor=answer.cursor)


def _digest(value: Any) -> bytes:
    return sha256(json.dumps(value, sort_keys=True).encode()).digest()
