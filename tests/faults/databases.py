"""Databases with bytes changed, cut off or taken out: told or refused, never without an end.

    python -m tests.faults.databases [COUNT] [SEED]

1,000 unless another number is given, of every kind that is read. Exit status 0 only if none takes
more than 5 seconds or brings its reader down.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from chathistory.formats.base import FormatError, Problem
from chathistory.stores import reading
from tests.stores import samples

SECONDS = 5
_BROUGHT_DOWN = "came to no end"


def main(count: int = 1_000, seed: int = 1) -> bool:
    """Harm and read; tell whether each came to an end of its own."""
    dice, outcomes, slowest = random.Random(seed), Counter[str](), 0.0
    with tempfile.TemporaryDirectory(prefix="chathistory-databases-") as folder:
        sound = _sound(Path(folder))
        path = Path(folder) / "harmed.db"
        for _ in range(count):
            path.write_bytes(_harmed(bytearray(dice.choice(sound)), dice))
            began = time.perf_counter()
            outcomes[_outcome(path)] += 1
            slowest = max(slowest, time.perf_counter() - began)
    print(f"{dict(outcomes)}, the slowest in {slowest:.2f} s")
    return not outcomes[_BROUGHT_DOWN] and slowest < SECONDS


def _sound(folder: Path) -> list[bytes]:
    from tests.stores.test_kinds import llm_rows

    said = [(n, f"s{n % 5}", samples.human(f"message {n} " * 9)) for n in range(1, 90)]
    items = [(n, f"s{n % 5}", json.dumps({"role": "user", "content": "x" * n}), None)
             for n in range(1, 90)]  # fmt: skip
    kept = [(n, "k", n, "user", "active", json.dumps({"content": "x" * n})) for n in range(1, 90)]
    made = (
        samples.made(folder / "1.db", samples.LANGCHAIN, message_store=said),
        samples.made(folder / "2.db", samples.AGENTS, agent_messages=items),
        samples.made(folder / "3.db", samples.LLAMA, llama_index_memory=kept),
        samples.made(folder / "4.db", samples.LLM, **llm_rows()),
    )
    return [path.read_bytes() for path in made]


def _harmed(data: bytearray, dice: random.Random) -> bytes:
    if dice.random() < 0.2:
        del data[dice.randrange(len(data)) :]
    for _ in range(dice.choice((1, 2, 5, 20, 200))):
        if data:
            at = dice.randrange(min(len(data), dice.choice((4_096, len(data)))))
            width = dice.choice((1, 1, 2, 4))
            noise = (dice.choice((0, 127, 255, dice.randrange(256))) for _ in range(width))
            data[at : at + width] = bytes(noise)
    return bytes(data)


def _outcome(path: Path) -> str:
    try:
        found = list(reading.read(path))
    except FormatError as error:
        return _BROUGHT_DOWN if _BROUGHT_DOWN in str(error) else "refused"
    return "told" if any(isinstance(one, Problem) for one in found) else "read"


if __name__ == "__main__":
    sys.exit(0 if main(*map(int, sys.argv[1:3])) else 1)
