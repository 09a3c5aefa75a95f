"""The beat entries: made once, then the admin's."""

from __future__ import annotations

import json
from typing import Any

from django.apps import apps
from django.db import connections, router

from chathistory import registry

SWEEP = 20  # seconds


def seed(using: str, **_kwargs: Any) -> None:
    """Make the entries that are missing; those that are there may have been edited and stay."""
    if not apps.is_installed("django_celery_beat"):
        return
    from django_celery_beat.models import PeriodicTask  # only where it is installed

    link = connections[using]
    if router.db_for_write(PeriodicTask) != using:
        return
    if PeriodicTask._meta.db_table not in link.introspection.table_names():
        return  # its own migrations come later
    _make("chathistory: sweep", "chathistory.sweep", [], SWEEP, "Hand on jobs nobody works on")
    for one in registry.BEATS.values():
        name = f"chathistory: {one.kind}"
        _make(name, "chathistory.beat", [one.kind], one.every, one.description)


def _make(name: str, task: str, arguments: list[str], every: int, description: str) -> None:
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    if PeriodicTask.objects.filter(name=name).exists():
        return
    length = {"every": every, "period": IntervalSchedule.SECONDS}
    interval = IntervalSchedule.objects.filter(**length).first()
    PeriodicTask.objects.get_or_create(
        name=name,
        defaults={
            "task": task,
            "args": json.dumps(arguments),
            "interval": interval or IntervalSchedule.objects.create(**length),
            # Where no worker takes it before the next comes, one of them is enough.
            "expire_seconds": every,
            "description": description,
        },
    )
