"""Whatever is typed into the box, the answer is an answer or InvalidQuery."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chathistory.exceptions import Invalid, InvalidQuery
from chathistory.search.find import search
from tests.search import hostile

HOSTILE = [
    *('"', '""', '" "', 'a"', '"a', "-", "--", "-a", "- a", '-"a b"', "a -", "(", ")", "*", "a*"),
    *("AND", "a AND", "a OR", "NOT a", "NEAR(a b)", "t:a", "rowid:1", "{t}:a", "^a", "a + b"),
    *("'; DROP TABLE chathistory_message; --", "%", "a%", "\\", "%s", "{}", "\x00", "a\x00b"),
    *(
        "\ud800",
        "a\udfff",
        "\u202e\u200d",
        "\u0301",
        "a \u0301",
        "-\u0301 a",
        '"\u0301"',
        "_",
        "__",
    ),
    *("\u0301\u0301 \u0301", "ー", "々", "ﾞ", "中_", "_中", "½", "①", "ﷺ", "\U0001f389", "\u00ad"),
    *("a " * 499, "-b " * 300 + "a", '"' + "a " * 490 + '"', "中" * 999, "x" * 1_000, "\ufeff"),
    *(" OR ".join(f"w{n}" for n in range(150)), " OR ".join("ab" * 120), "a* " * 300),
    *("(a OR (b " * 10 + "c" + "))" * 10, "-(" * 20 + "a" + ")" * 20 + " b", "role:user " * 80),
    *("a OR role:user " * 30, "(a -b) OR " * 60 + "c", "tag:x OR " * 90 + "a", "meta:a=b " * 90),
    *(" ".join(f"w{n}" for n in range(200)), " ".join(f"-w{n}" for n in range(190)) + " fox"),
    *("x" * 1_001, "", " ", "\n\t", "\x1c", "a\x1cb", "\u2028", "foo:", ":", "http://a.b/c?d=e#f"),
]


def hits(user, query: str, **more) -> int:
    """Return how many there are; none where the query was refused as it should be."""
    try:
        return len(search(user, query, **more).hits)
    except InvalidQuery as error:
        refused = error
    assert 0 <= refused.position <= len(query)
    assert refused.field == "q"
    return 0


@pytest.mark.parametrize("sort", ["newest", "oldest", "relevance"])
@pytest.mark.parametrize("query", HOSTILE, ids=lambda query: ascii(query)[:24])
def test_it_answers_or_says_where_the_query_is_wrong(alice, talk, query, sort):
    talk("a fox, the chat's only text 中国")
    assert hits(alice, query, sort=sort) <= 1
    assert hits(alice, query, sort=sort, group="session", facets=True) <= 1


@pytest.mark.parametrize("query", ["\u0301", "_\u0301", '"\u0301"', "-\u0301 \u0301"])
def test_what_folds_to_nothing_does_not_find_everything(alice, talk, query):
    talk("a fox")
    assert hits(alice, query) == 0


PIECES = st.lists(st.sampled_from(hostile.PIECES), max_size=9).map(" ".join)


@pytest.mark.django_db
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=st.text(max_size=30) | st.text('a"-fox ( )*:中\u0301_', max_size=20) | PIECES)
def test_any_text_at_all_is_answered_or_refused(alice, query):
    assert hits(alice, query) == 0
    assert hits(alice, query, typing=True) == 0


@pytest.mark.parametrize("query", [None, 5, b"fox", ["fox"]])
def test_what_is_no_text_is_refused(alice, query):
    with pytest.raises(InvalidQuery):
        search(alice, query)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        *[({"limit": limit}, "limit") for limit in (0, -1, 101, 10**9)],
        *[({"sort": sort}, "sort") for sort in ("", "best", None)],
        *[({"cursor": bad}, "cursor") for bad in ("", "x", "-1", "f" * 40, "é", "0 OR 1")],
    ],
    ids=str,
)
def test_bad_arguments_are_refused(alice, more, field):
    with pytest.raises(Invalid) as refused:
        search(alice, "fox", **more)
    assert refused.value.field == field
