"""The life of a session as data: which state may follow which.

The lifecycle verbs consult this table; no other code compares states to decide a move.
"""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class State(TextChoices):
    """Where a session is in its life."""

    ACTIVE = "active", _("active")
    DELETED = "deleted", _("in the trash")


#: verb -> {state before: state after}
TRANSITIONS: dict[str, dict[str, str]] = {
    "delete": {State.ACTIVE: State.DELETED},
    "restore": {State.DELETED: State.ACTIVE},
}


def after(verb: str, state: str) -> str | None:
    """Return the state that ``verb`` leads to from ``state``, or None if it may not."""
    return TRANSITIONS[verb].get(state)
