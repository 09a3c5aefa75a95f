"""The life of a session as data: which state may follow which.

The lifecycle verbs consult this table; no other code compares states to decide a move. A purged
session has no row, so that state has no name here.
"""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class State(TextChoices):
    """Where a session is in its life."""

    ACTIVE = "active", _("active")
    IDLE = "idle", _("idle")
    ARCHIVED = "archived", _("archived")
    DELETED = "deleted", _("in the trash")


#: Those that are neither in the trash nor gone.
LIVE = (State.ACTIVE, State.IDLE, State.ARCHIVED)

#: verb -> {state before: state after}
TRANSITIONS: dict[str, dict[str, str]] = {
    "idle": {State.ACTIVE: State.IDLE},
    "archive": {State.ACTIVE: State.ARCHIVED, State.IDLE: State.ARCHIVED},
    "wake": {State.IDLE: State.ACTIVE, State.ARCHIVED: State.ACTIVE},
    "delete": dict.fromkeys(LIVE, State.DELETED),
    "restore": {State.DELETED: State.ACTIVE},
}


def after(verb: str, state: str) -> str | None:
    """Return the state that ``verb`` leads to from ``state``, or None if it may not."""
    return TRANSITIONS[verb].get(state)


def before(verb: str) -> list[str]:
    """Return the states that ``verb`` may start from."""
    return list(TRANSITIONS[verb])
