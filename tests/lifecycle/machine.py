"""Lets chance live the life of sessions for at least so many steps: see life.py.

    python -m tests.lifecycle.machine [STEPS]

10,000 unless another number is given, in a database of its own (DATABASE_URL, else SQLite).
Prints how far it is; ends with an error, and the shortest way to it, where life.py is broken.
"""

from __future__ import annotations

import sys

from tests.faults import own


def main(wanted: int) -> None:
    """Take at least ``wanted`` steps."""
    with own.database("machine"):
        from tests.lifecycle.life import Life, live  # needs the site

        while Life.steps < wanted:
            live(20)
            print(f"{Life.steps:,} of {wanted:,} steps are clean", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
