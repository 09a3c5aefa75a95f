"""What workers do: each task is one verb, and may run twice."""

from __future__ import annotations

from celery import shared_task

from chathistory.actions import jobs, working


@shared_task(name=jobs.TASK)
def run() -> None:
    """Work on the job that waits longest."""
    working.perform_next()


@shared_task(name="chathistory.beat")
def beat(kind: str) -> None:
    """Run a job of the system's own."""
    jobs.beat(kind)


@shared_task(name="chathistory.sweep")
def sweep() -> None:
    """Tell workers again about jobs that nobody works on."""
    jobs.sweep()
