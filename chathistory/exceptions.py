"""What can go wrong, by family. A class's docstring is its default message.

Only ``api/errors.py`` knows the HTTP status of each family.
"""

from __future__ import annotations

from typing import Any


class ChatHistoryError(Exception):
    """The request could not be carried out."""

    code = "error"

    def __init__(self, message: str | None = None, **data: Any) -> None:
        super().__init__(message or type(self).__doc__)
        self.data = data


class NotAllowed(ChatHistoryError):
    """You may see this, but not do that with it."""

    code = "not_allowed"


class NotFound(ChatHistoryError):
    """There is nothing here that you may see."""

    code = "not_found"


class Invalid(ChatHistoryError):
    """The value cannot be used."""

    code = "invalid"

    def __init__(self, message: str | None = None, *, field: str = "", **data: Any) -> None:
        super().__init__(message, field=field, **data)
        self.field = field


class InvalidQuery(Invalid):
    """The search query cannot be read."""

    code = "invalid_query"

    def __init__(self, message: str | None = None, *, position: int = 0) -> None:
        super().__init__(message, field="q", position=position)
        self.position = position


class Conflict(ChatHistoryError):
    """Something else already has this id, or has changed meanwhile."""

    code = "conflict"


class Stale(Conflict):
    """It has changed since you read it."""

    code = "stale"


class LimitExceeded(ChatHistoryError):
    """A limit was exceeded."""

    code = "limit_exceeded"

    def __init__(self, what: str, limit: int, given: int, *, field: str = "") -> None:
        message = f"{what}: at most {limit:,}, given {given:,}."
        super().__init__(message, what=what, limit=limit, given=given, field=field)


class TooMany(LimitExceeded):
    """There are too many of these for now."""


class Unavailable(ChatHistoryError):
    """This cannot be served just now; try again."""

    code = "unavailable"


class Maintenance(Unavailable):
    """The site is being restored; try again in a minute."""

    code = "maintenance"


class MasterKeyError(Unavailable):
    """The master key that seals this data is missing or wrong."""

    code = "master_key"


class Damaged(ChatHistoryError):
    """The stored record does not open: it was changed, moved or put back."""

    code = "damaged"
