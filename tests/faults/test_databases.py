"""Harmed databases; ``python -m tests.faults.databases`` is the long form."""

from __future__ import annotations

from tests.faults import databases


def test_each_comes_to_an_end_of_its_own(capsys) -> None:
    databases.main(100, 7)
    said = capsys.readouterr().out
    assert "refused" in said
    assert "came to no end" not in said
