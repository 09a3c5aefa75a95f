"""Fifty hostile archives and ten benign ones, each uploaded and imported by a job.

    python -m tests.faults.archives [KIND] [SECONDS]

In a site of its own, whose jobs are worked on here. Told of each: the outcome, seconds, megabytes
by which this process grew, and what was opened for writing outside the folder of jobs' files. Exit
status 0 only if all hostile ones are refused within 2 s (or SECONDS) and 64 MB, the others come in,
and nothing was written elsewhere but in the database.
"""

from __future__ import annotations

import gc
import io
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.faults import own

GROWTH = 64  # MB


class Watch:
    """What is opened for writing, made, moved or linked outside the folder of jobs' files.

    The site's lock, which is empty, is opened by every transaction.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._lock = str(folder / "tmp"), str(folder / "maintenance")
        self.outside: list[str] = []
        self.is_on = False
        sys.addaudithook(self._hear)

    def __enter__(self) -> None:
        self.is_on = True

    def __exit__(self, *_problem: object) -> None:
        self.is_on = False

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        if event == "open":
            path, _mode, flags = given
            if not isinstance(path, str) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event in ("os.mkdir", "os.rename", "os.symlink", "os.link", "shutil.copyfile"):
            path = given[1] if event != "os.mkdir" else given[0]
        else:
            return
        if str(path) != self._lock and not str(path).startswith(self.folder):
            self.outside.append(f"{event} {path}")


class Growth:
    """By how many megabytes the process is larger at most than at the beginning."""

    def __init__(self) -> None:
        gc.collect()
        self.first = self.most = _resident()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Growth:
        self._thread.start()
        return self

    def __exit__(self, *_problem: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.002):
            self.most = max(self.most, _resident())

    @property
    def megabytes(self) -> float:
        """The growth."""
        return (self.most - self.first) / 1e6


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(only: str = "", seconds: str = "2") -> bool:
    """Import them all; tell whether everything is as it should be."""
    from tests.formats.hostile import BENIGN, HOSTILE

    cases = [(f"{k} {n}", m, None) for k, five in HOSTILE.items() for n, m in enumerate(five)]
    cases += [(name, make, count) for name, (make, count) in BENIGN.items()]
    with own.database("archives") as home:
        watch = Watch(home)
        _import(watch, cases[-5][1]())  # what is imported and cached once
        found = [
            _case(watch, name, make(), count, float(seconds))
            for name, make, count in cases
            if name.startswith(only)
        ]
    print(f"{sum(found)} of {len(found)} as they should be")
    return all(found)


def _case(watch: Watch, name: str, data: bytes, count: int | None, most: float) -> bool:
    watch.outside, began = [], time.perf_counter()
    with Growth() as growth:
        state, said = _import(watch, data)
    seconds = time.perf_counter() - began
    as_said = state == "failed" if count is None else (state, said) == ("done", str(count))
    bounded = count is not None or (seconds < most and growth.megabytes < GROWTH)
    good = as_said and bounded and not watch.outside
    told = f"{state:6} {seconds:5.2f} s {growth.megabytes:5.1f} MB {len(watch.outside)} outside"
    print(f"{'ok ' if good else 'BAD'} {name:26} {told}  {said[:110]}", flush=True)
    for path in watch.outside:
        print(f"    {path}")
    return good


def _import(watch: Watch, data: bytes) -> tuple[str, str]:
    """Take an archive in as the API takes a large one in; return the job's state and result."""
    from django.contrib.auth.models import User

    from chathistory import ids, spool
    from chathistory.actions import jobs, transfers, working
    from chathistory.models import Job

    user = User.objects.create_user(f"owner {time.perf_counter_ns()}")
    with watch:
        writer = spool.Writer(ids.new_id())
        source = io.BytesIO(data)
        while piece := source.read(1 << 16):
            writer.write(piece)
        writer.finish()

    class Upload:
        uuid, key, name = writer.uuid, writer.raw_key, "export.zip"

    uuid = transfers.take_in(user, Upload()).uuid
    with watch:
        working.perform(uuid)
    job = Job.objects.select_related("account").get(uuid=uuid)
    outcome = jobs.outcome_of(job)
    result = outcome.get("result")
    said = str(result["sessions_new"]) if result else str(outcome["error"]["detail"])
    return str(job.state), said


if __name__ == "__main__":
    sys.exit(0 if main(*sys.argv[1:3]) else 1)
