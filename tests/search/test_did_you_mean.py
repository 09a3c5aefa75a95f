"""Where a word is met nowhere, another of the asker's own is suggested, never one of others'."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chathistory.actions import messages, sessions
from chathistory.models import Account, Message, Session, Vocabulary
from chathistory.search import learned
from chathistory.search.find import search


def meant(user, query: str, **more) -> str | None:
    return search(user, query, **more).did_you_mean


@pytest.fixture
def chat(talk):
    return talk(
        "A zebra crossing for the fox", "the quick brown fox", "Löwe", title="Recipes of bread"
    )


@pytest.mark.usefixtures("chat")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("zbera", "zebra"),
        ("Zbera", "zebra"),
        ("zebra", None),
        ("zbera fxo", "zebra fox"),
        ("fox zbera", "fox zebra"),
        ('"quick bronw"', '"quick brown"'),
        ("role:user  zbera   -lion", "role:user  zebra   -lion"),
        ("role:assistant zbera", None),  # it would find nothing
        ("zbera role:assistant OR role:user", "zebra role:assistant OR role:user"),
        ("zbera -zebra", None),
        ("(zbera OR nowhere) fox", None),
        ("(zbera OR xyz) fxo", None),
        ("(zbera OR lion) fox", None),
        ("zbera OR crosing", "zebra OR crossing"),
        ("quick-bronw", "quick-brown"),
        ("recpies", "recipes"),
        ("in:title recpies", "in:title recipes"),
        ("in:title zbera", None),
        ("lowee", "lowe"),
        ("fo", None),
        ("zbera*", None),
        ("crosing fo*", "crossing fo*"),
        ("tag:zbera", None),
        ("tag:zbera zbera", None),
        ("fox zebra", None),
        ("fox quick brown zebra", None),
        ("中国", None),
        ("😀zbera", None),  # nobody said that either
        ("→zbera", "→zebra"),
    ],
)
def test_it_stands_for_a_word_that_is_met_nowhere(alice, query, expected):
    assert meant(alice, query) == expected
    if expected:
        answer = search(alice, expected)
        assert answer.hits or answer.titles
        assert answer.did_you_mean is None


@pytest.mark.usefixtures("chat")
def test_a_word_that_would_be_a_filter_is_not_suggested(alice, talk):
    talk("tag the work")
    assert meant(alice, "tagg-the-work") == "tag-the-work"
    assert meant(alice, "tagg:work") is None


@pytest.mark.usefixtures("chat")
def test_filters_of_the_list_hold_for_it(alice):
    assert meant(alice, "zbera", narrow=lambda rows: rows.filter(workflow="translator")) is None
    assert meant(alice, "zbera", narrow=lambda rows: rows.filter(workflow="tutor")) == "zebra"
    assert meant(alice, "zbera", sort="relevance", group="session", facets=True) == "zebra"
    assert meant(alice, "zbera", typing=True) is None
    assert meant(alice, "zbera", cursor="1-" + 32 * "0") is None


def test_of_words_that_are_as_like_the_commonest_is_suggested(alice, talk):
    talk("card", "cart", "card")
    assert meant(alice, "carz") == "card"


def test_what_is_gone_is_not_suggested(alice, chat):
    assert meant(alice, "zbera") == "zebra"
    sessions.delete(chat, alice)
    assert meant(alice, "zbera") is None
    sessions.restore(chat, alice)
    said = Message.objects.select_related("session__account").get(seq=1)
    messages.edit(said, alice, "a lion")
    assert meant(alice, "zbera") is None
    assert meant(alice, "loin") == "lion"


def test_only_ones_own_words_are_suggested(alice, bob, charlie, nobody, chat, talk, invite):
    talk("a bird", user=charlie)
    talk("a bird", user=bob)
    invite(chat, bob)
    assert meant(alice, "zbera") == "zebra"
    for user in (bob, charlie, nobody):
        assert meant(user, "zbera") is None
    assert len(search(bob, "ze*").hits) == 1
    assert search(charlie, "ze*").hits == search(nobody, "ze*").hits == []
    assert meant(bob, "brid") == meant(charlie, "brid") == "bird"
    assert set(Vocabulary.objects.values_list("account__user__username", flat=True)) == {
        *("alice", "bob", "charlie")
    }


def test_what_others_say_decides_nothing(alice, bob, talk, invite):
    """Nor whether anything is suggested: their words are not even asked for."""
    invite(talk("shared"), bob)
    talk("zebra", user=bob)
    assert meant(bob, "zbera") == "zebra"
    talk("zbera")
    assert meant(bob, "zbera") == "zebra"


WORDS = [f"secret{letter * 3}" for letter in "abcdef"]
GRANTS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["charlie", "team"]),
        st.sampled_from(["read", "write"]),
        st.sampled_from([None, -60, 60]),
    ),
    max_size=5,
    unique_by=lambda grant: grant[:2],
)


@pytest.mark.django_db
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(grants=GRANTS, is_member=st.booleans(), owns=st.sets(st.sampled_from(WORDS)))
def test_nothing_that_one_has_not_said_is_suggested_whatever_the_grants(
    alice, charlie, talk, invite, grants, is_member, owns
):
    Session.objects.all().delete()
    Vocabulary.objects.all().delete()
    team, _ = Group.objects.get_or_create(name="team")
    charlie.groups.set([team] if is_member else [])
    chats = [talk(WORDS[n], f"{WORDS[n + 1]} {n}", title=WORDS[n + 2]) for n in range(4)]
    talk("of his own", *owns, user=charlie)
    for number, to, verb, seconds in grants:
        ends = None if seconds is None else timezone.now() + timedelta(seconds=seconds)
        invite(chats[number], team if to == "team" else charlie, verb, expires_at=ends)
    search(alice, "secret*")
    for word in WORDS:
        found = meant(charlie, word + "x")
        assert found is None or set(found.split()) <= owns
    account = Account.objects.get(user=charlie)
    known = learned.of(account)
    assert set(known.words.beginning("secret")) == owns


@pytest.mark.usefixtures("chat")
def test_what_it_finds_is_told_apart_from_what_was_asked(alice, charlie):
    answer = search(alice, "zbera", sort="relevance")
    assert (answer.hits, [hit.message.role for hit in answer.close]) == ([], ["user"])
    assert [answer.close[0].snippet[a:b] for a, b in answer.close[0].highlights] == ["zebra"]
    assert search(alice, "zebra").close == []
    assert search(alice, "in:title recpies").close == []
    assert search(charlie, "zbera").close == []
