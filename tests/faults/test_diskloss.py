"""A lost disk; ``python -m tests.faults.diskloss`` is the long form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import diskloss


@pytest.mark.timeout(300)
def test_what_was_shipped_comes_back(tmp_path: Path) -> None:
    told = diskloss.lose(tmp_path / "home", seconds=5, ship=1)
    assert 0 < told["back"] <= told["acknowledged"] + 1
