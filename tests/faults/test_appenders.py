"""Eight processes append to one session: what was acknowledged is what is there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.faults import appenders


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_eight_processes_were_acknowledged_is_what_is_there(database):
    url = os.environ.get("TEST_DATABASE_URL", "") if database == "postgresql" else ""
    if database == "postgresql" and not url:
        pytest.skip("no TEST_DATABASE_URL: run by `make test`, or under tests/servers.py")
    command = [sys.executable, "-m", "tests.faults.appenders", "25", url]
    ran = subprocess.run(
        command, cwd=appenders.ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("25 acknowledged") == appenders.PROCESSES
    assert "200 rows" in ran.stdout
    assert "locked" not in ran.stdout + ran.stderr
