"""A few kills of web and workers: what was acknowledged is there, and each job's effect once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.faults import kills


@pytest.mark.timeout(300)
@pytest.mark.parametrize("broker", ["filesystem", "redis"])
def test_a_few_kills_lose_nothing_and_double_nothing(broker):
    command = [sys.executable, "-m", "tests.faults.kills", "6", "--broker", broker, "--every", "1"]
    ran = subprocess.run(
        command, cwd=kills.ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "6 kills" in ran.stdout
    assert ": False" not in ran.stdout
