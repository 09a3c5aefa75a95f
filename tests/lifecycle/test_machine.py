"""The state machine of sessions: a short form of `python -m tests.lifecycle.machine`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from chathistory.actions import retention
from tests.lifecycle import life

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(600)]


def test_it_lives_as_the_model_says() -> None:
    life.live(10, derandomize=True)


def test_the_founding_documents_bug_is_found(monkeypatch: Any) -> None:
    """Its sketch asks "more than an hour?" first, and only else "more than thirty days?"."""
    real = retention.due

    def planted(verb: str, now: datetime, *more: Any) -> Any:
        found = real(verb, now, *more)
        if verb == "archive":
            return [rows.filter(last_activity__gte=now - timedelta(hours=1)) for rows in found]
        return found

    monkeypatch.setattr(retention, "due", planted)
    with pytest.raises(AssertionError):
        life.live(30, shrink=False, derandomize=True)
