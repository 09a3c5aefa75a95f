"""The shipper: a process of its own that seals what changed, every few seconds."""

from __future__ import annotations

import logging
import signal
import threading
import time

from django.db import DatabaseError, close_old_connections

from chathistory.actions import backup
from chathistory.conf import settings
from chathistory.exceptions import ChatHistoryError, Conflict

_log = logging.getLogger(__name__)


def run() -> None:
    """Ship until this process is told to end."""
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    ship(stop)


def ship(stop: threading.Event) -> None:
    """Make a segment every ``SHIP_SECONDS`` until ``stop``; what fails is told and tried again."""
    while not stop.is_set():
        begun = time.monotonic()
        _segment()
        stop.wait(max(0.0, begun + settings.SHIP_SECONDS - time.monotonic()))


def _segment() -> None:
    try:
        backup.incremental()
    except Conflict:
        _log.info("Another process is making a backup.")
    except (ChatHistoryError, DatabaseError) as error:
        _log.error("Nothing could be shipped: %s", error)
    finally:
        close_old_connections()
