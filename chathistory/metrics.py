"""Where what happens is counted. Nothing collects the counts yet; their names stand here."""

from __future__ import annotations

from typing import Literal

#: A page found or not found, by ``tier``: ``memory`` or ``shared``; and a shared tier that
#: failed, or is left alone since it did.
Counter = Literal["cache.hit", "cache.miss", "cache.failed", "cache.skipped"]


def count(name: Counter, **labels: str) -> None:
    """Count one event under its labels."""
