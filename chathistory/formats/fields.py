"""Taking typed fields out of JSON objects that anyone may have written."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from chathistory.formats.base import Malformed
from chathistory.formats.times import from_iso, is_iso

T = TypeVar("T")
_NAMES = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


class Fields:
    """An object and its path in the file; what is taken leaves `rest`."""

    def __init__(self, value: Any, path: str) -> None:
        """Malformed if `value` is not an object."""
        if not isinstance(value, dict):
            raise Malformed(path, "is not an object")
        self.path = path
        self.rest: dict[str, Any] = dict(value)

    def take(self, key: str, kind: type[T]) -> T | None:
        """Return the field, None if it is absent or null; Malformed if it is another kind."""
        value = self.rest.pop(key, None)
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise Malformed(f"{self.path}.{key}", f"is not {_NAMES[kind]}")
        return value

    def need(self, key: str, kind: type[T]) -> T:
        """Return the field; Malformed if it is absent, null or another kind."""
        value = self.take(key, kind)
        if value is None:
            raise Malformed(f"{self.path}.{key}", "is missing")
        return value

    def number(self, key: str, low: int, high: int) -> int | None:
        """Return a whole number, None if it is absent; Malformed outside `low` to `high`."""
        value = self.take(key, int)
        if value is not None and not low <= value <= high:
            raise Malformed(f"{self.path}.{key}", f"is not a whole number from {low:,} to {high:,}")
        return value

    def items(self, key: str, kind: type[T]) -> list[T]:
        """Return a list whose every entry is of `kind`; empty if the field is absent."""
        values = self.take(key, list) or []
        for index, value in enumerate(values):
            if not isinstance(value, kind):
                raise Malformed(f"{self.path}.{key}[{index}]", f"is not {_NAMES[kind]}")
        return values

    def moment(self, key: str) -> datetime | None:
        """Return an ISO 8601 time in UTC; Malformed if the text is no time.

        One too early or too late to be kept is None, and its text stays in the rest.
        """
        text = self.take(key, str)
        moment = from_iso(text) if text else None
        if text and moment is None:
            if not is_iso(text):
                raise Malformed(f"{self.path}.{key}", "is not a time (ISO 8601)")
            self.rest[key] = text
        return moment
