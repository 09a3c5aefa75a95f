"""The query language: what is read, and where a query that cannot be read is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chathistory.exceptions import InvalidQuery
from chathistory.search.query import MAX_LENGTH, Term, parse


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("fox", [Term(("fox",))]),
        ("quick  fox\n", [Term(("quick",)), Term(("fox",))]),
        ('"quick fox"', [Term(("quick", "fox"), phrase=True)]),
        ("quick -fox", [Term(("quick",)), Term(("fox",), negated=True)]),
        ('a -"b c"', [Term(("a",)), Term(("b", "c"), phrase=True, negated=True)]),
        ("foo-bar", [Term(("foo", "bar"), phrase=True)]),
        ("don't", [Term(("don", "t"), phrase=True)]),
        ('a"b"c', [Term(("a",)), Term(("b",), phrase=True), Term(("c",))]),
        ("OR AND NOT", [Term(("OR",)), Term(("AND",)), Term(("NOT",))]),
    ],
)
def test_queries_that_can_be_read(query, terms):
    assert list(parse(query)) == terms


@pytest.mark.parametrize(
    ("query", "position"),
    [
        *(("", 0), ("  ", 0), ('"', 0), ('fox "quick', 4), ("fox -", 4), ("fox !!! dog", 4)),
        *(("-fox", 0), ('fox ""', 4), ("a\0", 1), ("ab\ud800", 2), ("fox - dog", 4)),
        *(("x" * (MAX_LENGTH + 1), MAX_LENGTH), ("\u0301", 0)),
    ],
)
def test_a_query_that_cannot_be_read_says_where(query, position):
    with pytest.raises(InvalidQuery) as refused:
        parse(query)
    assert refused.value.position == position


@given(st.text(max_size=80) | st.text('"- aé中\u0301', max_size=40))
def test_any_text_is_read_or_refused_and_every_term_has_a_word(query):
    terms, refused = (), None
    try:
        terms = parse(query)
    except InvalidQuery as error:
        refused = error
    assert refused is None or 0 <= refused.position <= len(query)
    assert refused or not all(term.negated for term in terms)
    assert all(term.words and all(term.words) for term in terms)
    assert all(word in query for term in terms for word in term.words)
