"""An import that is killed and begun again; ``python -m tests.faults.imports`` is the long form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(180)
def test_a_killed_import_begun_again_ends_as_one_undisturbed() -> None:
    command = [sys.executable, "-m", "tests.faults.imports", "2", "60"]
    ran = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=170, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 kills; the same in the end: True; finds the same: True" in ran.stdout
