"""A table's rows, its rounds, and how they are printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from time import perf_counter
from typing import Any

ROUNDS = 5


@dataclass(slots=True)
class Row:
    """One measured thing; ``bar`` bounds the ratio where there is one, else our own figure."""

    name: str
    ours: float
    unit: str
    bar: float
    reference: float | None = None
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        """Return ours as a multiple of the reference."""
        return None if self.reference is None else self.ours / self.reference

    @property
    def met(self) -> bool:
        """Tell whether the bar is met."""
        figure = self.ours if self.ratio is None else self.ratio
        return figure >= self.bar if self.at_least else figure <= self.bar

    def as_json(self) -> dict[str, Any]:
        """Return the row as `build/bench.json` holds it."""
        fields = asdict(self)
        del fields["at_least"]
        return fields | {"ratio": self.ratio, "met": self.met}


def timed(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Call one after the other; return the milliseconds of each."""
    found = []
    for call in calls:
        start = perf_counter()
        call()
        found.append((perf_counter() - start) * 1000)
    return found


def interleaved(*measures: Callable[[], float]) -> list[float]:
    """Take each measure once a round, in turn; return the medians of the rounds."""
    rounds = [[measure() for measure in measures] for _ in range(ROUNDS)]
    return [median(column) for column in zip(*rounds, strict=True)]


def percentile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that ``part`` of all are not above."""
    return sorted(values)[max(0, -(-len(values) * int(part * 100) // 100) - 1)]


HEAD = f"{'':<58}{'ours':>12}{'reference':>12}  {'unit':<8}{'ratio':>7}{'bar':>10}"


def line(row: dict[str, Any]) -> str:
    """Return a row as text."""
    reference = "" if row["reference"] is None else f"{row['reference']:,.3f}"
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    verdict = "" if row["met"] else "  NOT MET"
    return (
        f"{row['name']:<58}{row['ours']:>12,.3f}{reference:>12}  {row['unit']:<8}"
        f"{ratio:>7}{row['bar']:>10,g}{verdict}"
    )
