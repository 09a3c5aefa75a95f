"""Import: how fast real conversations come in, and how much memory that takes."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from .site import person, site
from .table import Row

TITLE = "Import of 129,071 messages into one account"
RUNS = 3


def rows() -> list[Row]:
    """Return the table's rows."""
    runs = []
    for _ in range(RUNS):
        with TemporaryDirectory(prefix="chathistory-bench-") as home:
            runs.append(run(Path(home)))
    return [
        Row("import messages/s", median(r["rate"] for r in runs), "msg/s", 5_000, at_least=True),
        Row("import peak memory", max(r["peak"] for r in runs), "MB", 400),
    ]


def run(home: Path) -> dict[str, Any]:
    """Import into ``home`` in a process of its own; return its rate, peak memory and counts."""
    command = [sys.executable, "-m", "benchmarks.importing", str(home)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(home: Path) -> dict[str, Any]:
    """Import everything for one owner; from the first read to the last commit."""
    with site(home):
        from chathistory.actions import exchange  # needs the site
        from chathistory.models import Message

        from .sharegpt import transcripts

        owner = person("owner")
        start = perf_counter()
        report = exchange.import_transcripts(owner, transcripts())
        seconds = perf_counter() - start
        messages = sum(outcome.messages for outcome in report.outcomes)
        failed = report.count("failed")
        assert messages == Message.objects.count(), "the report and the rows differ"
        assert not failed, f"{failed} conversations failed"
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = sum(resource.getrusage(one).ru_maxrss for one in who) / 1024
    return {"rate": messages / seconds, "peak": peak, "messages": messages, "seconds": seconds}


if __name__ == "__main__":
    json.dump(measure(Path(sys.argv[1])), sys.stdout)
