"""Words become forms, forms become tokens, and every text is found by its own words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chathistory.exceptions import InvalidQuery
from chathistory.search.matcher import Matcher, snippet
from chathistory.search.query import parse
from chathistory.search.tokens import Keyed, all_forms, fold, forms, pairs, query_forms, words
from chathistory.search.tree import Term

TEXTS = st.text(max_size=60) | st.text("aB1_ -'é™中国ßİ½\u0301\u0e33ﬁー", max_size=30)
KEYED = Keyed(b"k" * 32)


@given(TEXTS)
def test_a_text_is_found_by_each_of_its_words(text):
    have = all_forms(text)
    for word in words(text):
        assert query_forms(word) <= have


@given(TEXTS, st.data())
def test_a_text_holds_every_run_of_its_words_as_a_phrase(text, data):
    there = words(text)
    start = data.draw(st.integers(0, len(there)))
    run = there[start : data.draw(st.integers(start, len(there)))]
    try:
        term = parse('"' + " ".join(run) + '"')
    except InvalidQuery:
        assert not any(map(query_forms, run))
    else:
        assert isinstance(term, Term)
        assert Matcher(term).holds(text)
        assert pairs(term.words) <= all_forms(text)


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ("of the", 1),
        ("about other", 1),
        ("above others", 0),
        ("of the of", 2),
        ("of the of the", 2),
        ("of \u0301 the", 1),
        ("of 中国 the", 0),
        ("of", 0),
        ("", 0),
    ],
)
def test_two_short_words_in_a_row_make_a_pair(said, count):
    assert len(pairs(words(said))) == count


def test_pairs_know_no_case_and_no_accents():
    assert pairs(["Tu", "es"]) == pairs(["tú", "ES"]) == pairs(["tu\u0301", "e\u0301s"])
    assert pairs(["of", "the"]) != pairs(["the", "of"])


def test_how_words_were_met_before_changes_nothing():
    long = "e" + 40 * "\u0301"
    assert pairs(["the", long]) == pairs(["the", "e"])
    first = pairs(["of", "the"])
    pairs([f"w{n}" for n in range(100_001)])
    assert pairs(["of", "the"]) == first


@given(TEXTS, TEXTS)
def test_highlights_stay_inside_the_snippet_and_on_words(text, query):
    try:
        matcher = Matcher(parse(query))
    except InvalidQuery:
        return
    spans = list(matcher.spans(text))
    assert all(0 <= a < b <= len(text) for a, b in spans)
    shown, marks = snippet(text, spans)
    assert all(0 <= a < b <= len(shown) for a, b in marks)
    pieces = [shown[a:b] for a, b in marks]
    assert pieces == [text[a:b] for a, b in spans][: len(pieces)]


@given(st.text("abcXYZ_019 .-\n", max_size=80))
def test_the_fast_way_for_ascii_is_the_same_as_the_slow(text):
    assert words(text) == re.findall(r"\w+", text)
    assert {w.lower() for w in words(text)} == {fold(w) for w in words(text)}


@given(TEXTS)
def test_tokens_of_a_text_are_distinct_and_keyed(text):
    tokens = sorted(KEYED.of_text(text).split())
    assert tokens == sorted(set(tokens)) == KEYED.tokens(all_forms(text))
    assert all(re.fullmatch("[0-9a-f]{12}", token) for token in tokens)
    assert not set(tokens) & set(Keyed(b"o" * 32).of_text(text).split())
    assert sorted(KEYED.of_text(text).split()) == tokens


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("Fox", {"fox"}),
        ("FOX", {"fox"}),
        ("Café", {"cafe"}),
        ("cafe\u0301", {"cafe"}),
        ("parseHTTPHeader", {"parsehttpheader", "parse", "http", "header"}),
        ("snake_case", {"snake_case", "snake", "case"}),
        ("中国人", {"中", "国", "人", "中国", "国人"}),
        ("C3PO", {"c3po"}),
        ("日本go", {"日", "本", "日本", "go"}),
        ("Straße", {"strasse"}),
        ("\u0301", set()),
    ],
)
def test_forms(word, found):
    assert forms(word) >= found
    assert len(forms(word)) <= len(found) + 3


def test_an_endless_word_counts_by_its_beginning_and_makes_few_tokens():
    assert forms("x" * 100_000) == query_forms("x" * 300)
    assert len(forms("aB" * 100_000)) < 200


def test_the_cache_of_words_forgets_and_still_says_the_same():
    keyed = Keyed(b"c" * 32)
    first = set(keyed.of_text("one two three").split())
    for n in range(60):
        Keyed(bytes([n]) * 32).of_text(" ".join(f"w{n}x{m}" for m in range(4_000)))
    assert set(keyed.of_text("one two three").split()) == first
