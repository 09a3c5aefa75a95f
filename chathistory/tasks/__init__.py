"""What workers do: each task is one verb, and may run twice."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from chathistory.actions import jobs, working


@shared_task(name=jobs.TASK)
def run(uuid: str) -> None:
    """Work on a job, if nobody does."""
    working.perform(UUID(uuid))


@shared_task(name="chathistory.beat")
def beat(kind: str) -> None:
    """Run a job of the system's own."""
    jobs.beat(kind)


@shared_task(name="chathistory.sweep")
def sweep() -> None:
    """Tell workers again about jobs that nobody works on."""
    jobs.sweep()
