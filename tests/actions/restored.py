"""What the tests of restores share: a clock, and what can be read."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from chathistory import records
from chathistory.actions import accounts, messages
from chathistory.models import Session

SECOND = timedelta(seconds=1)


def tick(clock: Any, seconds: float = 1) -> datetime:
    """Let time pass; return the moment in the middle of it, at which nothing was done."""
    clock.shift(seconds / 2)
    moment = timezone.now()
    clock.shift(seconds / 2)
    return moment


def texts(session: Session) -> list[str]:
    """Return what is shown of a session, from first to last."""
    rows = session.messages.filter(deleted_at=None).order_by("seq")
    return [records.open_body(row, session).content for row in rows]


def shown(user: User) -> dict[str, tuple[str, list[str]]]:
    """Return state and texts of a person's sessions by title."""
    rows = Session.objects.filter(account=accounts.of(user)).select_related("account")
    return {records.title_of(row): (row.state, texts(row)) for row in rows}


def say(session: Session, user: User, *said: str) -> None:
    """Add messages."""
    for content in said:
        messages.append(session, user, "user", content)
