"""`python -m benchmarks [NAME ...]`: run the tables, print them, write `build/bench.json`.

The exit status is 1 where a bar is not met or a table's own checks fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .table import HEAD, line

TABLES = (
    "append",
    "showing",
    "importing",
    "searching",
    "strangers",
    "known",
    "million",
    "keystrokes",
    "packing",
    "caching",
    "lifecycle",
    "backups",
)
RESULT = Path("build") / "bench.json"


def main(names: list[str]) -> int:
    """Run the tables named, or all, each in a process of its own."""
    if unknown := set(names) - set(TABLES):
        print(f"No such table: {', '.join(sorted(unknown))}. There are: {', '.join(TABLES)}.")
        return 2
    rows: list[dict[str, Any]] = []
    broken = []
    for name in names or TABLES:
        print(f"\n{import_module(f'benchmarks.{name}').TITLE}\n{HEAD}", flush=True)
        found = run(name)
        broken += [] if found else [name]
        rows += found
        print("\n".join(map(line, found)), flush=True)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=2) + "\n")
    missed = [row["name"] for row in rows if not row["met"]]
    for told in [*(f"{name}: the table broke off" for name in broken), *missed]:
        print(f"Not met: {told}", file=sys.stderr)
    return 1 if missed or broken else 0


def run(name: str) -> list[dict[str, Any]]:
    """Return one table's rows as JSON; none when it breaks off."""
    with TemporaryDirectory(prefix="chathistory-bench-") as folder:
        target = Path(folder) / "rows.json"
        code = (
            "import json, pathlib, sys, importlib;"
            "table = importlib.import_module('benchmarks.' + sys.argv[1]);"
            "pathlib.Path(sys.argv[2]).write_text(json.dumps([r.as_json() for r in table.rows()]))"
        )
        command = [sys.executable, "-c", code, name, str(target)]
        if subprocess.run(command).returncode or not target.exists():
            return []
        found: list[dict[str, Any]] = json.loads(target.read_text())
        return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
