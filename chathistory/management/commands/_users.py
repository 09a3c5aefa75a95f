"""Finding the user that a command names."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError


def user_named(name: str) -> Any:
    """Return the user of this name. Raises CommandError."""
    if not name:
        raise CommandError("Whose? The user's name is empty.")
    model = get_user_model()
    try:
        return model._default_manager.get(**{model.USERNAME_FIELD: name})
    except model.DoesNotExist:
        raise CommandError(f"There is no user {name!r}.") from None
