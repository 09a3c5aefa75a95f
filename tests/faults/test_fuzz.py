"""The short form of fuzzing: damage of every kind is an answer, whatever reads it."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys

import pytest

from chathistory.formats import FORMATS
from tests.faults import fuzz
from tests.faults.mutants import mutant

READERS = [*FORMATS, "any"]


@pytest.mark.parametrize("reader", READERS)
def test_every_seed_is_read(reader: str) -> None:
    for data in fuzz.seeds(reader):
        tally = fuzz.Tally()
        fuzz.run(reader, data, tally)
        assert tally.chats
        assert not tally.refusals


@pytest.mark.parametrize("reader", READERS)
def test_mutants_are_chats_problems_or_refusals(reader: str) -> None:
    tally, dice = fuzz.Tally(), random.Random(reader)
    pool = [data for data in fuzz.seeds(reader) if len(data) < 8_000]
    for _ in range(300):
        data = mutant(dice.choice(pool), dice)
        fuzz.run(reader, data, tally)
        pool.append(data)
    assert tally.executions == 300
    assert tally.chats
    assert tally.problems + tally.refusals


def test_the_harness_runs_guided_where_it_can() -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris has no wheel for this Python: the short form above ran without it")
    ran = subprocess.run(
        [sys.executable, "-m", "tests.faults.fuzz", "sharegpt", "300"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "sharegpt: 300 executions" in ran.stdout
