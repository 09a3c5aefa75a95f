"""The database is lost while 50 messages a second are said: what was shipped comes back.

    python -m tests.faults.diskloss [SECONDS] [SHIP_SECONDS]

A site is served, its shipper runs, and a writer appends for so many seconds (30). Then all is
killed and the database deleted with its log. Everything that was acknowledged longer ago than
SHIP_SECONDS (10) and a second must be there after ``migrate`` and ``chat_restore``. Exit status 0
only if it is.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.founding.site import ROOT, Site

WRITES = 50  # a second
SESSIONS = 5
_WRITE = """
import sys, time
from django.contrib.auth.models import User
from chathistory.actions import messages, sessions
user = User.objects.get(username="bernard")
mine = [sessions.create(user, "tutor", title=f"Number {n}") for n in range(SESSIONS)]
due, number = time.time(), 0
while True:
    said = messages.append(mine[number % SESSIONS], user, "user", f"This is number {number}.")
    print(said.uuid, time.time(), flush=True)
    due, number = due + 1 / WRITES, number + 1
    time.sleep(max(0, due - time.time()))
"""
_READ = """
import json
from chathistory.models import Message
from chathistory.search.find import search
from django.contrib.auth.models import User
user = User.objects.get(username="bernard")
found = [str(one) for one in Message.objects.values_list("uuid", flat=True)]
print(json.dumps({"found": found, "searched": len(search(user, "number", limit=100).hits)}))
"""


def main(seconds: float, ship: float) -> None:
    """Lose it, and print what came back."""
    with tempfile.TemporaryDirectory(prefix="chathistory-diskloss-") as folder:
        print(json.dumps(lose(Path(folder), seconds, ship)))


def lose(home: Path, seconds: float, ship: float) -> dict[str, Any]:
    """Return what was acknowledged, what of it is back, and how old the newest that is."""
    site = Site(home)
    site.environment["CHATHISTORY_SHIP_SECONDS"] = str(ship)
    site.prepare()
    site.manage("chat_backup", "--full")
    said, lost_at = _live(site, seconds)
    for name in ("db.sqlite3", "db.sqlite3-wal", "db.sqlite3-shm"):
        (home / name).unlink(missing_ok=True)
    site.manage("migrate", "--verbosity", "0")
    site.manage("chat_restore", "--yes")
    found = json.loads(site.manage("shell", "--no-imports", "-c", _READ))
    back, due = set(found["found"]), lost_at - ship - 1
    missing = [uuid for uuid, at in said.items() if at < due and uuid not in back]
    assert not missing, f"{len(missing)} that were due are missing"
    assert found["searched"] == min(100, len(back)), found["searched"]
    newest = max((at for uuid, at in said.items() if uuid in back), default=0.0)
    told = {"acknowledged": len(said), "back": len(back), "ship_seconds": ship}
    return told | {"newest_back_is_older_by": round(lost_at - newest, 2)}


def _live(site: Site, seconds: float) -> tuple[dict[str, float], float]:
    """Write and ship, then kill both; return what was acknowledged when, and when it ended."""
    code = _WRITE.replace("SESSIONS", str(SESSIONS)).replace("WRITES", str(WRITES))
    with (site.home / "written").open("w+") as out:
        started = [
            _start(site, ["chat_backup", "--ship"]),
            _start(site, ["shell", "--no-imports", "-c", code], stdout=out),
        ]
        try:
            while not (site.home / "written").stat().st_size:
                assert all(one.poll() is None for one in started), "one of them has ended"
                time.sleep(0.1)
            time.sleep(seconds)
            lost_at = time.time()
        finally:
            for one in started:
                one.send_signal(signal.SIGKILL)
                one.wait()
        out.seek(0)
        lines = [line.split() for line in out if line.endswith("\n")]
    return {uuid: float(at) for uuid, at in lines}, lost_at


def _start(site: Site, command: list[str], stdout: Any = None) -> subprocess.Popen[bytes]:
    run = [sys.executable, "manage.py", *command]
    return subprocess.Popen(run, cwd=ROOT, env=site.environment, stdout=stdout)


if __name__ == "__main__":
    given = [float(one) for one in sys.argv[1:]]
    main(*(given + [30, 10][len(given) :]))
