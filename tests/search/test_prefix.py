"""The beginning of a word finds what opening every text would find, however it is looked for."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chathistory.actions import messages
from chathistory.exceptions import Conflict, InvalidQuery
from chathistory.models import Account, Session, Vocabulary
from chathistory.search import asked, learned, wanted
from chathistory.search.find import search
from chathistory.search.query import begun, parse
from tests.search import brute
from tests.search.test_exact import NUMBERS, paged, step

WORDS = ["zebra", "zen", "Zoo", "Löwe", "lower", "中国ze", "foo_zebra", "fooZen", "the", "v1.2"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)
VERBS = ["append", "append", "append", "edit", "branch", "bury", "trash", "restore", "rename"]
STEPS = st.lists(st.tuples(st.sampled_from(VERBS), NUMBERS, TEXTS), max_size=12)
QUERIES = [
    *("ze*", "z*", "zebra*", "lö*", "LOW*", "foo*", "v1*", "中国*", "x*", "foo_ze*", "nowhere*"),
    *("ze* the", "ze* lo*", "ze* OR the", "ze* OR x*", "x* OR y*", "(ze* the) OR lö*", "ze* -zen"),
    *("-ze* the", '"the"-ze*', "the-ze*", "ze* role:user", "ze* OR role:assistant", "-x* ze*"),
    *("in:title ze*", "in:title x*", "in:title ze* OR lo*"),
]


@pytest.fixture
def shared(alice, bob, talk, invite):
    """A session of Alice's that Bob may read, one that he may not, and one of his own."""
    invite(talk("the zebra", title="Zebras"), bob)
    talk("zenith", title="Zenith")
    talk("a zebu", title="Zebus", user=bob)


def titles(user, query: str) -> set:
    return {row.uuid for row in search(user, query).titles}


@pytest.mark.django_db
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, limit=st.integers(1, 5), most=st.sampled_from([0, 1, 2, 128]), at=NUMBERS)
def test_it_finds_what_a_scan_finds(alice, bob, talk, invite, steps, limit, most, at):
    Session.objects.all().delete()
    Vocabulary.objects.all().delete()
    invite(talk("the zebra", title="zebra"), bob)
    talk("zoo", title="zen")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wanted, "MOST", most)
        for number, (verb, which, text) in enumerate(steps):
            if number == at:
                search(alice, "ze*")  # the vocabulary goes on from here
            with suppress(Conflict):
                step(alice, verb, which, text)
        asked_for = [(user, query) for user in (alice, bob) for query in QUERIES]
        for user, query in asked_for:
            if "in:title" not in query:
                assert paged(user, query, limit) == brute.found(user, query), query
        told = [titles(user, query) for user, query in asked_for]
        patch.setattr(wanted, "MOST", 0)
        assert [titles(user, query) for user, query in asked_for] == told


@pytest.mark.usefixtures("shared")
def test_titles_are_found_as_when_each_is_opened(alice, bob, monkeypatch):
    queries = [query for query in QUERIES if "in:title" in query] + ["in:title zeb*", "in:title z*"]
    by_words = {(who.pk, one): titles(who, one) for who in (alice, bob) for one in queries}
    assert len(by_words[alice.pk, "in:title ze*"]) == len(by_words[bob.pk, "in:title ze*"]) == 2
    monkeypatch.setattr(wanted, "MOST", 0)
    assert {(w.pk, one): titles(w, one) for w in (alice, bob) for one in queries} == by_words


@pytest.mark.usefixtures("shared")
def test_only_what_the_index_finds_is_opened(alice, talk, monkeypatch):
    for number in range(50):
        talk(f"nothing {number}")
    opened = []
    read = asked.Asked._open

    def counted(self, candidate, held):
        opened.append(candidate)
        return read(self, candidate, held)

    monkeypatch.setattr(asked.Asked, "_open", counted)
    assert len(search(alice, "ze*").hits) == 2
    assert len(opened) == 2
    assert search(alice, "nowhere*").hits == []
    assert len(opened) == 2


@pytest.mark.usefixtures("shared")
def test_an_incomplete_vocabulary_is_not_believed(alice, talk, monkeypatch):
    monkeypatch.setattr(learned, "STEP", 1)
    for number in range(5):
        talk(f"zebra {number}", f"zenith {number}")
    for _ in range(4):
        assert paged(alice, "ze*", 3) == brute.found(alice, "ze*")
        assert paged(alice, "zebra* 4", 3) == brute.found(alice, "zebra* 4")
    account = Account.objects.get(user=alice)
    assert not learned.of(account).is_complete(account)


@pytest.mark.usefixtures("shared")
def test_a_vocabulary_that_is_full_is_not_believed(alice, monkeypatch):
    monkeypatch.setattr("chathistory.search.vocabulary.MOST", 0)
    search(alice, "ze*")
    messages.append(Session.objects.filter(account__user=alice)[0], alice, "user", "zeppelin")
    assert paged(alice, "zep*", 3) == brute.found(alice, "zep*") != []


def test_many_beginnings_in_one_query_have_one_bound(alice, talk, monkeypatch):
    talk(*(f"zebra{number} the" for number in range(20)))
    monkeypatch.setattr(wanted, "_ALL", 25)
    for query in ("zebra* " * 9, "zebra* OR the", " OR ".join(["zebra*", "ze*", "z*", "the"])):
        assert paged(alice, query, 7) == brute.found(alice, query)


# While it is typed


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        *(("ze", "ze*"), ("lion ze", "lion ze*"), ("lion OR ze", "lion OR ze*"), ("a-ze", "a-ze*")),
        *(("(lion ze", None), ('"lion ze"', '"lion ze"'), ("lion -ze", "lion -ze"), ("z", "z")),
        *(("ze ", "ze "), ("tag:ze", "tag:ze"), ("ze role:user", "ze role:user"), ("中国", "中国")),
        *(
            ("zebra)", "zebra)"),
            ("lion OR", None),
            ('"lion ze', None),
            ("lö", "lö*"),
            ("ze*", "ze*"),
        ),
        *(("ze tag:ze", "ze tag:ze"), ("on:2026", "on:2026"), ("a" * 1_000, "a" * 1_000)),
    ],
)
def test_the_last_word_may_be_only_begun(typed, means):
    if means is None:
        with pytest.raises(InvalidQuery):
            begun(typed)
    else:
        assert begun(typed) == parse(means)


@pytest.mark.usefixtures("shared")
def test_what_is_typed_finds_what_begins_so(alice, bob, charlie):
    for user in (alice, bob, charlie):
        for typed in ("ze", "zeb", "zebr", "the ze"):
            answer = search(user, typed, typing=True)
            assert [hit.message.uuid for hit in answer.hits] == brute.found(user, typed + "*")
            assert answer.complete
    assert len(search(alice, "zebr", typing=True).titles) == 1
    assert search(alice, "zebr").hits == []


@pytest.mark.usefixtures("shared")
def test_where_many_words_begin_so_the_commonest_do_and_it_says_so(alice, talk, monkeypatch):
    talk("zebra", "zebra", "zoo", "zinc zone", title="Something")
    monkeypatch.setattr(wanted, "MOST", 2)
    answer = search(alice, "ze", typing=True, facets=True, group="session")
    assert {hit.snippet for hit in answer.hits} <= {"zebra", "zenith", "the zebra"}
    answer = search(alice, "xx OR zo", typing=True)
    assert answer.complete
    monkeypatch.setattr(wanted, "MOST", 1)
    answer = search(alice, "ze", typing=True, facets=True, group="session")
    assert {hit.snippet for hit in answer.hits} == {"zebra", "the zebra"}
    assert (answer.complete, answer.counted, answer.facets.complete) == (False, False, False)
    answer = search(alice, "ze*")
    assert answer.complete
    assert len(answer.hits) == 4
