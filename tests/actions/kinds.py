"""Kinds of jobs that tests make up, and a look at what became of a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chathistory import records, registry
from chathistory.models import Job


def register(
    monkeypatch: pytest.MonkeyPatch,
    function: Callable[[Any], Any],
    name: str = "made.up",
    **more: Any,
) -> str:
    """Register a kind for one test; return its name."""
    kind = {"public": True, "takes": frozenset()} | more
    monkeypatch.setitem(registry.KINDS, name, registry.Kind(name, function, **kind))
    return name


def ended(job: Job) -> tuple[str, Any]:
    """Return a job's state, and its result or the code of its error."""
    row = Job.objects.select_related("account").get(pk=job.pk)
    outcome = records.open_job(row, "result") or {}
    return row.state, outcome["error"]["code"] if "error" in outcome else outcome.get("result")
