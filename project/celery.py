"""The site's Celery app: `celery -A project worker` and `celery -A project beat`."""

from __future__ import annotations

import os
import signal
from typing import Any

from celery import Celery
from celery.exceptions import WorkerTerminate
from celery.signals import worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")

app = Celery("chathistory")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_ready.connect
def stop_at_once(**_kwargs: Any) -> None:
    """On QUIT let a running job be handed back and end: Celery's own way fails its task."""
    signal.signal(signal.SIGQUIT, _stop)


def _stop(*_signal: Any) -> None:
    raise WorkerTerminate(0)
