"""A disk that is full anywhere; ``python -m tests.faults.fulldisk`` goes through it in pages."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.founding.site import ROOT


@pytest.mark.timeout(300)
def test_whatever_is_listed_is_whole() -> None:
    run = [sys.executable, "-m", "tests.faults.fulldisk", "49152"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "all that is listed is whole" in done.stdout
