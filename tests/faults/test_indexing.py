"""A short life with re-indexes and kills: rows and index are equal in the end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.faults.appenders import ROOT


@pytest.mark.timeout(300)
def test_a_short_life_with_kills_leaves_rows_and_index_equal():
    command = [sys.executable, "-m", "tests.faults.indexing", "300", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
