"""Columns of sealed bytes: they can be stored and tested for NULL, and nothing else."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import FieldError
from django.db import models
from django.db.models.lookups import Lookup, Transform


class SealedField(models.BinaryField):  # type: ignore[type-arg]
    """A sealed record (see crypto.py). Refuses every look-up and ordering but ``isnull``."""

    def get_lookup(self, lookup_name: str) -> type[Lookup[Any]] | None:
        """Return the look-up, which can only be ``isnull``."""
        if lookup_name != "isnull":
            raise FieldError(f"{self.name} is sealed: it cannot be searched by {lookup_name!r}.")
        return super().get_lookup(lookup_name)

    def get_transform(self, lookup_name: str) -> type[Transform] | None:
        """Refuse every transform."""
        raise FieldError(f"{self.name} is sealed: it has no {lookup_name!r}.")

    def from_db_value(self, value: Any, *_args: object) -> bytes | None:
        """Return plain bytes on every database; what else SQLite was made to hold opens nowhere."""
        if value is None or isinstance(value, bytes):
            return value
        return bytes(value) if isinstance(value, memoryview) else str(value).encode()


class MasterSealedField(SealedField):
    """An account key wrapped under a master key (see master.py)."""
