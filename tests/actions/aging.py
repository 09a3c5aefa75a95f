"""Time that passes, and what the site does by itself then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from chathistory import records
from chathistory.actions import lifecycle

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def later(clock: Any, time: timedelta) -> None:
    """Let time pass."""
    clock.move_to(timezone.now() + time, tick=False)


def run() -> dict[str, Any]:
    """Let the site do what is due; return what it kept of the run, and the run's id."""
    job = lifecycle.run()
    result: dict[str, Any] = records.open_job(job, "result")["result"]
    return result | {"run": job.uuid}


def previewed() -> dict[str, str]:
    """Return what a run would do, by session."""
    return {str(session.uuid): verb for verb, session in lifecycle.preview()}
