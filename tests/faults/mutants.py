"""Damage to JSON that is still JSON: what a fuzzer that only turns bytes over rarely reaches."""

from __future__ import annotations

import json
import random
from typing import Any

_ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 2**31, 2**63, 10**30, 1e300, 253402300800, 1e11, "", "\0", "\ud800"),
    *("x" * 300, "9999-12-31T23:59:59Z", "1066-01-01", [], {}, [[]], [None], {"": None}, "user"),
    *('<details type="reasoning">', "</details>", "<p>", "&#x110000;", "data:,", ["type"]),
)
_WORDS = (
    *("type", "text", "content", "role", "id", "parent", "children", "message", "messages"),
    *("mapping", "uuid", "parentUuid", "sessionId", "timestamp", "payload", "conversations"),
)


def mutant(data: bytes, dice: random.Random) -> bytes:
    """Return `data` with a few of its values changed; with its bytes, where it is no JSON."""
    try:
        lines = [json.loads(line) for line in _lines(data)]
    except (ValueError, RecursionError):
        return _torn(data, dice)
    for _ in range(dice.randint(1, 4)):
        found = _changed(lines, dice)
        lines = found if isinstance(found, list) else [found]
    made = b"\n".join(
        json.dumps(line, ensure_ascii=dice.random() < 0.9).encode("utf-8", "replace")
        for line in lines
    )
    return _torn(made, dice) if dice.random() < 0.1 else made


def _lines(data: bytes) -> list[bytes]:
    lines = data.splitlines()
    return [data] if not lines or not lines[0].rstrip().endswith(b"}") else lines


def _torn(data: bytes, dice: random.Random) -> bytes:
    torn = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        start = dice.randrange(len(torn) + 1)
        new = dice.choice((b"", b"null", b'"', b"[", b"}", b"\xff", b"1e999", b"NaN", b"\\u", b","))
        torn[start : start + dice.choice((0, 1, 1, 40))] = new
    return bytes(torn)


def _changed(root: Any, dice: random.Random) -> Any:
    """Change one place in a value: drop it, name it, repeat it, or put another there."""
    places = _places(root)
    if not places:
        return dice.choice(_ODD)
    holder, key = dice.choice(places)
    kind = dice.randrange(6)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[dice.choice(_WORDS)] = _copy(holder[key])
    elif kind == 2 and isinstance(holder, list):
        holder.insert(key, _copy(holder[key]))
    elif kind == 3:
        there, where = dice.choice(places)
        holder[key] = _copy(there[where])
    elif kind == 4:
        holder[key] = [_copy(holder[key])] if dice.random() < 0.5 else {"text": _copy(holder[key])}
    else:
        holder[key] = _copy(dice.choice(_ODD))
    return root


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _places(root: Any) -> list[tuple[Any, Any]]:
    places: list[tuple[Any, Any]] = []
    waiting = [root] if isinstance(root, list | dict) else []
    while waiting and len(places) < 5_000:
        value = waiting.pop()
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in list(inside):
            places.append((value, key))
            if isinstance(inner, list | dict):
                waiting.append(inner)
    return places
