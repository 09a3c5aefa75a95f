"""The beat entries: each made once, then the admin's to edit, rename and delete."""

from __future__ import annotations

import json
from typing import Any

from django.apps import apps
from django.db import connections, router

from chathistory import registry
from chathistory.models import Seeded

SWEEP = 20  # seconds


def seed(using: str, **_kwargs: Any) -> None:
    """Make the entries that were never made."""
    if not apps.is_installed("django_celery_beat"):
        return
    from django_celery_beat.models import PeriodicTask  # only where it is installed

    link = connections[using]
    if router.db_for_write(PeriodicTask) != using:
        return
    needed = {model._meta.db_table for model in (PeriodicTask, Seeded)}
    if not needed <= set(link.introspection.table_names()):
        return  # their migrations come later
    made = set(Seeded.objects.values_list("name", flat=True))
    if "sweep" not in made:
        _make("sweep", "chathistory.sweep", [], SWEEP, "Hand on jobs nobody works on")
    for one in registry.BEATS.values():
        if one.kind not in made:
            _make(one.kind, "chathistory.beat", [one.kind], one.every, one.description)


def _make(name: str, task: str, arguments: list[str], every: int, description: str) -> None:
    from django_celery_beat.models import PeriodicTask

    what = {"task": task, "args": json.dumps(arguments)}
    # Older releases made entries without a note of it.
    if not PeriodicTask.objects.filter(**what).exists():
        _store(f"chathistory: {name}", what, every, description)
    Seeded.objects.get_or_create(name=name)


def _store(name: str, what: dict[str, str], every: int, description: str) -> None:
    from django_celery_beat.models import IntervalSchedule, PeriodicTask

    length = {"every": every, "period": IntervalSchedule.SECONDS}
    interval = IntervalSchedule.objects.filter(**length).first()
    PeriodicTask.objects.get_or_create(
        name=name,
        defaults=what
        | {
            "interval": interval or IntervalSchedule.objects.create(**length),
            # Where no worker takes it before the next comes, one of them is enough.
            "expire_seconds": every,
            "description": description,
        },
    )
