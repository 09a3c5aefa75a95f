"""Times of any source as aware UTC datetimes.

Epochs are seconds (ChatGPT writes floats, some exports the same number as text), stamps are
ISO 8601. A time nobody can mean, or that a time zone could push past year 9999, is None.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 1, 1, tzinfo=UTC)


def from_epoch(value: Any) -> datetime | None:
    """Seconds since 1970 (number or text), or an ISO stamp; None if before 1970 or not a time."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    moment: datetime | None = None
    try:
        moment = datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        moment = from_iso(value) if isinstance(value, str) else None
    return moment if moment is not None and _FIRST <= moment < _LAST else None


def from_iso(text: str) -> datetime | None:
    """An ISO 8601 stamp, taken as UTC when it names no zone; None if it is none or in 9999."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment < _LAST else None


def is_iso(text: str) -> bool:
    """Tell whether a text is an ISO 8601 stamp, of whatever year."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def to_iso(moment: datetime | None) -> str | None:
    """`2025-01-14T10:30:00Z`, with microseconds where there are any."""
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
