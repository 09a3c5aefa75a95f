"""Preparing beside the writer gives what preparing in place gives, whatever happens beside."""

from __future__ import annotations

import os
import signal
from dataclasses import asdict
from datetime import UTC, datetime

import pytest

from chathistory.actions.pipeline import Draft
from chathistory.actions.preparing import Preparer
from chathistory.records import Body
from chathistory.search.tokens import Keyed

KEYED = Keyed(b"k" * 32)


def drafts() -> list[Draft]:
    gone = Draft("user", Body("taken back"), deleted_at=datetime(2026, 1, 1, tzinfo=UTC))
    said = ["short", "a longer text of many words " * 20, "日本語 naïve fooBar"]
    return [*(Draft("user", Body(text, metadata={"n": 1})) for text in said), gone]


def prepared(some: list[Draft]) -> list[tuple[object, ...]]:
    return [(d.codec, d.packed, set(d.index.split()), d.tokens) for d in some]


@pytest.fixture
def expected() -> list[tuple[object, ...]]:
    here = drafts()
    Preparer(KEYED).now(here)
    assert here[1].codec == 1
    assert here[3].index == ""
    return prepared(here)


def test_another_process_prepares_the_same(expected: list[tuple[object, ...]]) -> None:
    some = drafts()
    before = [asdict(draft.body) for draft in some]
    with Preparer(KEYED) as preparer:
        preparer.go_beside()
        finish = preparer.begin(some)
        assert prepared(some) != expected
        finish()
    assert prepared(some) == expected
    assert [asdict(draft.body) for draft in some] == before


def test_a_killed_process_costs_nothing_but_time(expected: list[tuple[object, ...]]) -> None:
    first, second = drafts(), drafts()
    with Preparer(KEYED) as preparer:
        preparer.go_beside()
        preparer.begin(first)()
        assert preparer._child is not None
        os.kill(preparer._child.pid, signal.SIGKILL)
        preparer.begin(second)()
    assert prepared(second) == expected
