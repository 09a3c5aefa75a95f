"""Work as a job gives it to its function, without the job."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chathistory.models import Account


@dataclass
class Asked:
    """Notes each step; ``patience`` is how many it takes before it is stopped."""

    account: Account
    arguments: dict[str, Any] = field(default_factory=dict)
    patience: int | None = None
    steps: list[tuple[int, int | None]] = field(default_factory=list)

    def step(self, done: int, total: int | None = None) -> None:
        """Note how far the work is."""
        self.steps.append((done, total))
        if self.patience is not None and len(self.steps) >= self.patience:
            raise InterruptedError
