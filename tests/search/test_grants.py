"""Nobody finds what he may not read, and one person's tokens say nothing of another's."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from chathistory import keyring
from chathistory.actions import accounts, messages, sessions
from chathistory.search.find import search
from chathistory.search.tokens import all_forms
from tests.search import brute

pytestmark = pytest.mark.usefixtures("backend")


def found(user, query: str = "zebra") -> set:
    answer = search(user, query)
    return {hit.session.uuid for hit in answer.hits} | {row.uuid for row in answer.titles}


def test_bob_finds_what_is_shared_with_him_and_his_own(alice, bob, charlie, talk, invite):
    shared, private = talk("zebra one"), talk("zebra two")
    own = talk("zebra three", user=bob)
    invite(shared, bob)
    assert found(bob) == {shared.uuid, own.uuid}
    assert found(alice) == {shared.uuid, private.uuid}
    assert found(charlie) == set()


def test_nobody_finds_nothing(nobody, talk):
    talk("zebra")
    assert found(nobody) == set()


def test_a_grant_that_has_run_out_finds_nothing(bob, talk, invite):
    invite(talk("zebra"), bob, expires_at=timezone.now() - timedelta(seconds=1))
    assert found(bob) == set()


@pytest.mark.parametrize("verb", ["write", "edit", "delete", "share", "export"])
def test_a_grant_without_reading_finds_nothing(bob, talk, invite, verb):
    invite(talk("zebra"), bob, verb)
    assert found(bob) == set()


def test_a_group_finds_what_is_shared_with_it(bob, charlie, talk, invite):
    team = Group.objects.create(name="team")
    bob.groups.add(team)
    session = talk("zebra")
    invite(session, team)
    assert found(bob) == {session.uuid}
    assert found(charlie) == set()


def test_the_trash_is_not_searched_by_anybody(alice, bob, talk, invite):
    session = talk("zebra")
    invite(session, bob)
    sessions.delete(session, alice)
    assert found(alice) == found(bob) == set()
    sessions.restore(session, alice)
    assert found(alice) == found(bob) == {session.uuid}


def test_a_filter_narrows_and_never_widens(alice, bob, talk, invite):
    shared, private = talk("zebra"), talk("zebra", workflow="translator")
    invite(shared, bob)
    everything = search(bob, "zebra", narrow=lambda rows: rows.filter(pk__gt=0))
    assert {hit.session.uuid for hit in everything.hits} == {shared.uuid}
    other = search(alice, "zebra", narrow=lambda rows: rows.filter(workflow="translator"))
    assert {hit.session.uuid for hit in other.hits} == {private.uuid}


def test_strangers_in_between_take_nothing_from_a_page(alice, bob, talk, invite):
    for n in range(30):
        talk(f"zebra {n}", user=bob)
        talk(f"zebra {n}")
    pages, cursor = [], None
    while not pages or cursor:
        answer = search(alice, "zebra", limit=7, cursor=cursor)
        pages += [hit.message.uuid for hit in answer.hits]
        cursor = answer.cursor
    assert pages == brute.found(alice, "zebra")
    assert len(pages) == 30


def test_the_same_word_of_two_owners_shares_no_token(alice, bob):
    forms = all_forms("the same zebra crosses the same road 中国 fooBar")
    a, b = (keyring.account_keys(accounts.of(user)).search for user in (alice, bob))
    assert len(set(a.tokens(forms))) == len(forms)
    assert not set(a.tokens(forms)) & set(b.tokens(forms))


def test_what_bob_says_at_alices_is_hers_to_find(alice, bob, talk, invite):
    session = talk("hello")
    share = invite(session, bob, "read", "write")
    messages.append(session, bob, "user", "zebra")
    assert found(alice) == found(bob) == {session.uuid}
    share.delete()
    assert found(alice) == {session.uuid}
    assert found(bob) == set()
