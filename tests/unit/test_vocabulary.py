"""Words in memory: counted, found by their beginning, guessed, packed and merged."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chathistory.search import vocabulary
from chathistory.search.vocabulary import Words, key, made, unpack

WORD = st.text("abé中zß_1", min_size=1, max_size=4)
COUNTS = st.dictionaries(WORD, st.integers(0, 9), max_size=12)


def words_of(*steps: dict[str, int], merged: bool = False) -> Words:
    found = made(sorted(steps[0].items(), key=lambda one: key(one[0]))) if steps else Words()
    for step in steps[1:]:
        found = found.grown({key(word): count for word, count in step.items()})
    return found.merged() if merged else found


@given(steps=st.lists(COUNTS, min_size=1, max_size=4), merged=st.booleans(), begins=WORD)
def test_it_counts_what_a_dictionary_counts(steps, merged, begins):
    expected: Counter[str] = Counter()
    for step in steps:
        for word, count in step.items():
            expected[word] += count
    found = words_of(*steps, merged=merged)
    assert len(found) == len(expected)
    assert {word: found.count(word) for word in expected} == dict(expected)
    assert found.count("nowhere") is None
    wanted = {word: count for word, count in expected.items() if word.startswith(begins)}
    assert found.beginning(begins) == wanted
    assert found.beginning("") == dict(expected)
    again = unpack(found.merged().pack())
    assert [one for some in again.chunks() for one in some] == sorted(
        expected.items(), key=lambda one: key(one[0])
    )


def test_what_is_added_leaves_the_words_before_as_they_were():
    before = words_of({"a": 1})
    after = before.grown({b"a": 1, b"b": 1})
    assert (before.count("a"), before.count("b")) == (1, None)
    assert (after.count("a"), after.count("b")) == (2, 1)
    assert before.merged() is before


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("zbera", ["zebra"]),  # swapped
        ("zebr", ["zebra"]),  # one less
        ("zebraa", ["zebra", "zebras"]),
        ("recpies", ["recipes"]),
        ("fxo", ["fox"]),
        ("ox", []),  # too short to be guessed
        ("foy", ["fox", "boy"]),  # the same beginning first
        ("hte", ["the"]),
        ("elefants", []),
        ("中国", []),
        ("", []),
    ],
)
def test_it_guesses_what_was_meant(word, expected):
    known = {"zebra": 5, "zebras": 1, "fox": 1, "boy": 9, "the": 99, "recipes": 2, "中国人": 3}
    for found in (words_of(known), words_of({"cat": 1}, known)):
        assert found.near(word, 2) == expected


def test_of_equals_the_commonest_comes_first():
    assert words_of({"cart": 1, "card": 7, "care": 3}).near("carz", 3) == ["card", "care", "cart"]


def test_it_is_full_beyond_its_bound(monkeypatch):
    found = words_of({"a" * 50: 1})
    assert not found.is_full
    monkeypatch.setattr(vocabulary, "MOST", 50)
    assert found.is_full
