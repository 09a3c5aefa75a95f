"""Hints to workers that there is something to do.

The rows say what there is to do, so a hint may get lost: whoever writes a row never waits for
the broker longer than half a second, and after a failure not at all for a while.
"""

from __future__ import annotations

import logging
import time
from threading import Lock

from celery import current_app
from kombu.exceptions import ChannelError, KombuError

logger = logging.getLogger(__name__)

#: Seconds without an attempt after one that failed.
PAUSE = 10.0
_QUICK = {"socket_timeout": 0.3, "socket_connect_timeout": 0.3, "max_retries": 0}
_lock = Lock()
_quiet_until = 0.0


def send(task: str) -> bool:
    """Send a task by its name; return whether the broker took it. Raises nothing."""
    if time.monotonic() < _quiet_until:
        return False
    try:
        # Its own connection: one kept open would be tried, and waited for, by all threads.
        with current_app.connection_for_write(
            connect_timeout=_QUICK["socket_timeout"], transport_options=_QUICK
        ) as link:
            current_app.send_task(task, connection=link, retry=False, ignore_result=True)
    except (KombuError, ChannelError, OSError, ValueError) as error:
        # ValueError: a broker's file that is being written.
        _be_quiet(error)
        return False
    return True


def _be_quiet(error: Exception) -> None:
    global _quiet_until
    with _lock:
        _quiet_until = time.monotonic() + PAUSE
    logger.warning("The broker cannot be reached: %s.", type(error).__name__)
