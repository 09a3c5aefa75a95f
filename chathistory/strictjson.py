"""JSON that can be written again, with nothing to choose from. It needs no more than Python has."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NoReturn


def _refuse_constant(name: str) -> NoReturn:
    """Raise ValueError for NaN and the infinities."""
    raise ValueError(f"holds {name}, which is not JSON")


def _finite(number: str) -> float:
    """Return a number. Raises ValueError for one so large that only infinity is left of it."""
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"holds {number[:30]}, which is too large a number to keep")
    return value


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object. Raises ValueError where a name stands in it twice: one would be lost."""
    made = dict(pairs)
    if len(made) < len(pairs):
        counted = Counter(name for name, _value in pairs)
        twice = next(name for name, count in counted.items() if count > 1)
        raise ValueError(f"holds the name {twice[:60]!r} twice in one object")
    return made


#: Raises ValueError for NaN, for infinities, and for a name that stands twice in one object.
DECODER = json.JSONDecoder(
    strict=False,
    parse_constant=_refuse_constant,
    parse_float=_finite,
    object_pairs_hook=unique,
)
