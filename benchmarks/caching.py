"""Caching: a page that is kept against one that is read and opened; and the check at a start."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from tests.servers import valkey

from .site import person, site
from .table import ROUNDS, Row, interleaved, timed

TITLE = "Opened pages of 50 messages, kept and not; the start-up check at 1,000,000 messages"
PAGE, PAGES, TIMES = 50, 20, 3
OTHERS = 900  # of the 1,000 that the file tier holds
MESSAGES = 1_000_000


def rows() -> list[Row]:
    """Return the table's rows."""
    # A socket's path may have 107 characters only.
    with (
        tempfile.TemporaryDirectory(prefix="chathistory-", dir="/tmp") as folder,
        valkey(Path(folder)) as url,
        site() as home,
    ):
        return [*_pages(home, url), _start()]


def _pages(home: Path, url: str) -> list[Row]:
    from chathistory.api.sessions import _newest  # needs the site

    chats = _chats()
    found = []
    for kind, html in (("JSON", False), ("rendered", True)):
        name = "newest-html" if html else "newest"

        def make(chat: Any, html: bool = html) -> tuple[Any, bool]:
            return _newest(chat, html=html)

        for tier, hit, miss in (("memory", 0.5, 1.5), ("file", 1, 5), ("Redis", 1, 5)):
            with _tier(tier, home, url):
                calls = (_reader(name, make, tier), _filler(make), make)
                kept, filled, opened = interleaved(*[_measure(chats, call) for call in calls])
            found.append(Row(f"{kind}: kept in {tier} / opened", kept, "ms", hit, opened))
            found.append(Row(f"{kind}: put into {tier} / opened", filled, "ms", miss, opened))
    return found


def _chats() -> list[Any]:
    from chathistory.actions import exchange  # needs the site
    from chathistory.formats.base import Transcript, Turn
    from chathistory.models import Session

    from .sharegpt import texts

    said = texts()
    transcripts = [
        Transcript(
            "bench",
            str(number),
            workflow="tutor",
            turns=[
                Turn(str(n), str(n - 1) if n else None, "user", text)
                for n, text in enumerate(islice(said, PAGE))
            ],
        )
        for number in range(PAGES)
    ]
    owner = person("reader")
    exchange.import_transcripts(owner, transcripts)
    return list(Session.objects.filter(account__user=owner).select_related("account"))


@contextmanager
def _tier(tier: str, home: Path, url: str) -> Iterator[None]:
    from django.core.cache import caches as django_caches  # needs the site
    from django.test.utils import override_settings

    from project import environ

    alias = {"memory": "", "file": "chat_file", "Redis": "chat_redis"}[tier]
    caches = {"default": environ.cache(""), **environ.page_caches(url, home / "cache")}
    with override_settings(CACHES=caches, CHATHISTORY_CACHE=alias):
        if tier == "file":  # as it is after a while: each time it looks how full it is
            for number in range(OTHERS):
                django_caches["chat_file"].set(f"other{number}", os.urandom(20_000))
        yield


def _reader(name: str, make: Callable[[Any], Any], tier: str) -> Callable[[Any], Any]:
    """Return how a page that is kept is read; from a shared tier, each time as if elsewhere."""
    from chathistory import cache  # needs the site

    opened: list[Any] = []
    cache.DEADLINE = 5  # what is slow here is measured, not given up

    def open_it(chat: Any) -> Any:
        opened.append(chat)
        return make(chat)

    def read(chat: Any) -> Any:
        if tier != "memory":
            cache.forget()
        known = len(opened)
        page = cache.page(chat, name, lambda: open_it(chat))
        assert len(opened) == known or known < PAGES, "it was not kept"
        return page

    cache.forget()
    return read


def _filler(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return how a page is read that nobody has kept: each time something has been said."""
    from chathistory import cache  # needs the site

    changes = count(1)

    def read(chat: Any) -> Any:
        then, chat.changed = chat.changed, chat.changed + next(changes)
        page = cache.page(chat, "branch-50", lambda: make(chat))
        chat.changed = then
        return page

    return read


def _measure(chats: list[Any], read: Callable[[Any], Any]) -> Callable[[], float]:
    def call(chat: Any) -> Callable[[], Any]:
        return lambda: read(chat)

    calls = [call(chat) for chat in chats]
    for one in calls:
        assert one(), "a page is empty"
    return lambda: median(timed(calls * TIMES))


def _start() -> Row:
    """Return how long the start of a site waits for its check, with a million messages."""
    from django.db import connections  # needs the site

    from chathistory import health, keyring
    from chathistory.actions import exchange
    from chathistory.models import Message

    from .append import _messages
    from .sharegpt import endless

    owner = person("owner")
    exchange.import_transcripts(owner, _messages(endless(), MESSAGES - Message.objects.count()))
    assert Message.objects.count() >= MESSAGES
    times = []
    for _ in range(ROUNDS):
        keyring.forget()
        connections.close_all()
        began = perf_counter()
        report = health.quick()
        times.append(perf_counter() - began)
        assert report.ready, report.errors
        assert not report.errors, report.errors
    return Row("start-up check, 1,000,000 messages", median(times), "s", 2)
