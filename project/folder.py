"""Celery's broker in a folder, for one machine: kombu's, with messages that appear whole.

Kombu's own creates a file and then fills it; a worker that finds it empty dies of it.
"""

from __future__ import annotations

import time
from pathlib import Path
from queue import Empty
from typing import Any
from uuid import uuid4

from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    """Writes beside and renames; passes over what a power cut left empty."""

    def _put(self, queue: str, payload: Any, **_kwargs: Any) -> None:  # type: ignore[override]
        name = f"{time.time_ns()}_{uuid4()}.{queue}.msg"
        folder = Path(self.data_folder_out)
        draft = folder / f".{name}"  # no queue's name begins so
        draft.write_text(dumps(payload), encoding="utf-8")
        draft.replace(folder / name)

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        try:
            return super()._get(queue)
        except ValueError:
            raise Empty from None

    def _queue_bind(self, exchange: str, *names: Any) -> None:
        try:
            super()._queue_bind(exchange, *names)
        except ValueError:
            (self.control_folder / f"{exchange}.exchange").unlink(missing_ok=True)
            super()._queue_bind(exchange, *names)

    def get_table(self, exchange: str) -> Any:
        """Return which queues an exchange leads to: none while the first is being bound."""
        try:
            return super().get_table(exchange)
        except ValueError:
            return []


class Transport(filesystem.Transport):
    """Named by `broker_transport`."""

    Channel = Channel
