"""Hostile archives as uploads; ``python -m tests.faults.archives`` has all of them, and a clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["total", "links"])
def test_they_are_refused_in_little_memory_and_write_nothing(kind: str) -> None:
    command = [sys.executable, "-m", "tests.faults.archives", kind, "100"]
    ran = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "5 of 5 as they should be" in ran.stdout
