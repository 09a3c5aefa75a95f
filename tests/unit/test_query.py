"""The query language: what is read, and where a query that cannot be read is wrong."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chathistory.exceptions import InvalidQuery
from chathistory.search.query import HELP, MAX_DEPTH, MAX_LENGTH, parse
from chathistory.search.tree import And, Filter, Node, Not, Or, Term, all_of, any_of, leaves, negate
from tests.search import hostile

ID = str(UUID(int=7))


def word(text: str) -> Term:
    return Term((text,))


@pytest.mark.parametrize(
    ("query", "tree"),
    [
        ("fox", word("fox")),
        ("quick  fox\n", And((word("quick"), word("fox")))),
        ('"quick fox"', Term(("quick", "fox"), phrase=True)),
        ("quick -fox", And((word("quick"), Not(word("fox"))))),
        ('a -"b c"', And((word("a"), Not(Term(("b", "c"), phrase=True))))),
        ("foo-bar", Term(("foo", "bar"), phrase=True)),
        ("don't", Term(("don", "t"), phrase=True)),
        ('a"b"c', And((word("a"), Term(("b",), phrase=True), word("c")))),
        ("AND NOT", And((word("AND"), word("NOT")))),
        ('or "OR"', And((word("or"), Term(("OR",), phrase=True)))),
        ("a OR b", Or((word("a"), word("b")))),
        ("a OR b OR c", Or((word("a"), word("b"), word("c")))),
        ("a OR b c", And((Or((word("a"), word("b"))), word("c")))),
        ("c a OR b", And((word("c"), Or((word("a"), word("b")))))),
        ("(a c) OR b", Or((And((word("a"), word("c"))), word("b")))),
        ("((a)) (b c)", And((word("a"), word("b"), word("c")))),
        ("a -(b OR c)", And((word("a"), Not(Or((word("b"), word("c"))))))),
        ("-(-a)", word("a")),
        ("a OR -b c", And((Or((word("a"), Not(word("b")))), word("c")))),
        ("f(x) y)", And((Term(("f", "x"), phrase=True), word("y")))),
        ("(f(x) OR y)", Or((Term(("f", "x"), phrase=True), word("y")))),
        ("yea*", Term(("yea",), prefix=True)),
        ("foo-ba*", Term(("foo", "ba"), phrase=True, prefix=True)),
        ("中*", word("中")),
        ("role:user", Filter("role", "user")),
        ("Role:USER", Filter("role", "user")),
        ('tag:"my  work"', Filter("tag", "my work")),
        ("tag:C++", Filter("tag", "C++")),
        ("-tag:x y", And((Not(Filter("tag", "x")), word("y")))),
        ("workflow:tutor", Filter("workflow", "tutor")),
        ("state:archived", Filter("state", "archived")),
        *((f"{name}:2026-02-28", Filter(name, "2026-02-28")) for name in ("before", "after", "on")),
        ("on:2026-02", Filter("on", "2026-02")),
        ("on:2026", Filter("on", "2026")),
        ("in:title fox", And((Filter("in", "title"), word("fox")))),
        ("is:pinned", Filter("is", "pinned")),
        ("has:code OR has:link", Or((Filter("has", "code"), Filter("has", "link")))),
        (f"session:{ID}", Filter("session", ID)),
        ("meta:project=apollo", Filter("meta", "apollo", "project")),
        ('meta:"a key"="a=b c"', Filter("meta", "a=b c", "a key")),
        ("meta:k=a=b", Filter("meta", "a=b", "k")),
        ("http://a.b", Term(("http", "a", "b"), phrase=True)),
        ("colour:red", Term(("colour", "red"), phrase=True)),
    ],
)
def test_queries_that_can_be_read(query: str, tree: Node) -> None:
    assert parse(query) == tree
    assert parse(str(tree)) == tree


@pytest.mark.parametrize(
    ("query", "position"),
    [
        *(("", 0), ("  ", 0), ('"', 0), ('fox "quick', 4), ("fox -", 4), ("fox !!! dog", 4)),
        *(("-fox", 0), ('fox ""', 4), ("a\0", 1), ("ab\ud800", 2), ("fox - dog", 4)),
        *(("x" * (MAX_LENGTH + 1), MAX_LENGTH), ("\u0301", 0), ("*", 0)),
        *((" x" * (MAX_LENGTH + 1), MAX_LENGTH * 2), ("x" + " " * 2 * MAX_LENGTH, MAX_LENGTH * 2)),
        *(("OR", 0), ("OR a", 0), ("a OR", 2), ("a OR OR b", 2), ("(a OR) b", 3), ("a OR -", 5)),
        *(("a OR -b", 5), ("-a -b", 0), ("-a OR -b", 0), ("x (a OR b", 2), ("(((", 0), ("a ()", 2)),
        *(("(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1), MAX_DEPTH), ("-(a b)", 0)),
        *(("a role:", 2), ("a role: user", 2), ("role:king", 5), ("a tag:()", 2), ('tag:" "', 0)),
        *(("state:deleted", 6), ("is:red", 3), ("has:bread", 4), ("in:body", 3), ("session:7", 8)),
        *((f"{name}:soon", len(name) + 1) for name in ("before", "after", "on")),
        *((f"a on:{bad}", 5) for bad in ("2026-13", "2026-02-30", "26-01-01", "0000", "٢٠٢٦")),
        *(("meta:", 0), ("meta:k", 0), ("meta:k=", 0), ("meta:=v", 0), ("a meta:k= v", 2)),
        *(("in:title", 0), ("a -in:title", 2), ("a in:title OR b", 2), ("a -(b in:title)", 2)),
    ],
)
def test_a_query_that_cannot_be_read_says_where(query: str, position: int) -> None:
    with pytest.raises(InvalidQuery) as refused:
        parse(query)
    assert refused.value.position == position


@pytest.mark.parametrize("query", [None, 5, b"fox", ["fox"]])
def test_what_is_no_text_is_refused(query: object) -> None:
    with pytest.raises(InvalidQuery):
        parse(query)  # type: ignore[arg-type]


@pytest.mark.parametrize("query", [example for example, _what in HELP])
def test_everything_that_the_help_shows_can_be_typed(query: str) -> None:
    assert parse(query)


@pytest.mark.parametrize("width", [1, 19])
def test_parentheses_within_each_other_are_few_enough_to_walk(width: int) -> None:
    deep = "x"
    for level in range(MAX_DEPTH - 1):
        deep = f"(a{level} {deep})" if level % 2 else f"(b{level} OR {deep})"
    tree = parse(f"{deep} {'-' * width}y")
    assert parse(str(tree)) == tree
    assert hash(tree) == hash(parse(str(tree)))


WORDS = st.sampled_from(["fox", "Löwe", "中国", "foo_bar", "x1", "or", "AND", "e\u0301"])
TERMS = st.builds(word, WORDS) | st.builds(
    lambda words: Term(tuple(words), phrase=True), st.lists(WORDS, min_size=1, max_size=3)
)
PREFIXES = st.builds(lambda begun: Term((begun,), prefix=True), st.sampled_from(["fo", "é", "a_b"]))
VALUES = st.sampled_from(["work", "C++", "two words", "a(b", "a=b", "ü", "-", "*", ":", "(", "OR"])
FILTERS = (
    st.builds(Filter, st.sampled_from(["tag", "workflow"]), VALUES)
    | st.builds(lambda key, value: Filter("meta", value, key.replace("=", "")), VALUES, VALUES)
    | st.sampled_from([Filter("role", "tool"), Filter("on", "2026-11"), Filter("is", "shared")])
)
TREES = st.recursive(
    TERMS | PREFIXES | FILTERS,
    lambda inner: (
        st.builds(negate, inner)
        | st.builds(all_of, st.lists(inner, min_size=1, max_size=4))
        | st.builds(any_of, st.lists(inner, min_size=1, max_size=4))
    ),
    max_leaves=12,
)


@given(TREES)
def test_a_tree_is_read_from_its_own_text(tree: Node) -> None:
    anchored = all_of([word("anchor"), tree])
    assert parse(str(anchored)) == anchored


@given(st.text(max_size=80) | st.lists(st.sampled_from(hostile.PIECES), max_size=40).map("".join))
def test_any_text_is_read_or_refused_and_every_term_has_a_word(query: str) -> None:
    tree = hostile.read(query)
    terms = [leaf for leaf, _out in leaves(tree) if isinstance(leaf, Term)] if tree else []
    assert all(term.words and all(term.words) for term in terms)


def test_thousands_of_hostile_queries_are_read_or_refused() -> None:
    read, refused = hostile.attack(5_000, seed=1)
    assert read > 500
    assert refused > 500
