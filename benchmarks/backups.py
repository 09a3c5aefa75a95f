"""Backups: made beside an appender, shipped, and restored, with a million messages stored."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, median
from time import perf_counter, sleep
from typing import Any

from .append import _messages
from .lifecycle import appender
from .site import person, site
from .table import ROUNDS, Row, percentile

TITLE = "Backup and restore, 1,000,000 messages of 10 people"
MESSAGES, PEOPLE = 1_000_000, 10
CHANGED = 1_000
_PART = 6.0  # seconds of a measured part


def rows() -> list[Row]:
    """Return the table's rows."""
    from .sharegpt import endless

    with site() as home:
        from chathistory.actions import backup  # needs the site

        said = endless()
        _fill(said, 1, 2)
        backup.full()
        found = list(_restores("100,000"))
        _fill(said, 0, 1)
        _fill(said, 2, PEOPLE)
        backup.incremental()  # as every few minutes: a full backup closes the chain before it
        found += [*_full(home), _segment(), *_shipping(home)]
        return [*found, *_restores("1,000,000"), _whole()]


def _fill(said: Iterator[Any], first: int, end: int) -> None:
    from chathistory.actions import exchange  # needs the site

    for number in range(first, end):
        part = _messages(said, MESSAGES // PEOPLE)
        exchange.import_transcripts(person(f"person {number}"), part)


def _full(home: Path) -> Iterator[Row]:
    """Measure a full backup, and what it costs somebody who goes on writing."""
    from chathistory.actions import backup  # needs the site

    with appender(home) as appends:
        idle = perf_counter()
        sleep(_PART)
        begun = perf_counter()
        made = backup.full()
        ended = perf_counter()
    assert made.counts["message"] >= MESSAGES
    alone = [ms for at, ms in appends if idle <= at < begun]
    beside = [ms for at, ms in appends if begun <= at <= ended]
    yield Row("full backup, 1,000,000 messages", ended - begun, "s", 60)
    yield Row("half of the appends beside it / alone", median(beside), "ms", 1.3, median(alone))
    yield Row("99 of 100 appends beside it", percentile(beside, 0.99), "ms", 100)


def _segment() -> Row:
    """Measure a segment of 1,000 changed messages."""
    from chathistory.actions import backup, messages  # needs the site
    from chathistory.models import Session

    owner = person("person 0")
    mine = list(Session.objects.filter(account__user=owner)[:10])
    backup.incremental()  # what was written beside the full backup
    times = []
    for _ in range(ROUNDS):
        for number in range(CHANGED):
            messages.append(mine[number % 10], owner, "user", "What has changed since?")
        begun = perf_counter()
        made = backup.incremental()
        times.append(perf_counter() - begun)
        assert made is not None
        assert made.counts["message"] == CHANGED, made.counts
    return Row("incremental backup, 1,000 changed messages", median(times), "s", 2)


def _shipping(home: Path) -> Iterator[Row]:
    """Measure appends with a segment every second, and with none."""
    from django.db import connections  # needs the site
    from django.test.utils import override_settings

    from chathistory import shipper

    def ship() -> None:
        shipper.ship(stop)
        connections.close_all()

    parts: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    with override_settings(CHATHISTORY_SHIP_SECONDS=1), appender(home) as appends:
        for _ in range(ROUNDS):
            for is_shipped, times in parts.items():
                stop = threading.Event()
                thread = threading.Thread(target=ship) if is_shipped else None
                if thread:
                    thread.start()
                begun = perf_counter()
                sleep(_PART)
                times.append((begun, perf_counter()))
                stop.set()
                if thread:
                    thread.join()
    means = {
        is_shipped: median(
            fmean(ms for at, ms in appends if begun <= at <= ended) for begun, ended in times
        )
        for is_shipped, times in parts.items()
    }
    yield Row("append, a segment every second / none", means[True], "ms", 1.05, means[False])


def _restores(told: str) -> Iterator[Row]:
    """Measure bringing back one session, and one person's chats."""
    from django.utils import timezone  # needs the site

    from chathistory.actions import restore, sessions
    from chathistory.models import Session

    owner = person("person 1")
    lost = list(Session.objects.filter(account__user=owner)[:ROUNDS])
    moment, times = timezone.now(), []
    for session in lost:
        sessions.delete(session, owner)
        begun = perf_counter()
        report = restore.session(owner, session.uuid, moment)
        times.append(perf_counter() - begun)
        assert report["sessions_recovered"] == 1, report
    yield Row(f"one session of {told} restored", median(times), "s", 2)
    for session in lost:
        sessions.delete(Session.objects.get(pk=session.pk), owner)
    begun = perf_counter()
    report = restore.account(owner, moment)
    ended = perf_counter()
    assert report["sessions_recovered"] == len(lost), report
    yield Row(f"100,000 messages of one person, of {told}, restored", ended - begun, "s", 15)


def _whole() -> Row:
    """Measure bringing back everything, with its index and its proof."""
    from django.utils import timezone  # needs the site

    from chathistory.actions import restore
    from chathistory.search.find import search

    moment = timezone.now()
    begun = perf_counter()
    report = restore.system(moment)
    ended = perf_counter()
    assert not report["errors"], report["errors"][:3]
    assert report["messages_recovered"] >= MESSAGES
    assert search(person("person 2"), "python").hits
    return Row("1,000,000 messages restored, proved and searchable", ended - begun, "s", 180)
