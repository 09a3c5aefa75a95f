"""accounts.of: each person's own account, made at first use."""

from __future__ import annotations

import pytest

from chathistory import keyring
from chathistory.actions import accounts
from chathistory.exceptions import NotAllowed
from chathistory.models import Account, DataKey


def test_happy_it_is_made_with_its_keys(alice, bob):
    mine, his = accounts.of(alice), accounts.of(bob)
    assert (mine.user, his.user) == (alice, bob)
    purposes = DataKey.objects.filter(account=mine).values_list("purpose", flat=True)
    assert sorted(purposes) == ["account", "rows", "search", "tag"]
    a, b = keyring.account_keys(mine), keyring.account_keys(his)
    assert len({a.wrapping.raw, b.wrapping.raw, a.rows.raw, b.rows.raw, a.tag, b.tag}) == 6


@pytest.mark.django_db
def test_stranger_without_a_name_gets_none(nobody):
    for user in (nobody, None):
        with pytest.raises(NotAllowed):
            accounts.of(user)
    assert not Account.objects.exists()


@pytest.mark.django_db
def test_malformed_a_user_that_is_not_saved_gets_none(django_user_model):
    with pytest.raises(NotAllowed):
        accounts.of(django_user_model(username="ghost"))
    assert not Account.objects.exists()


def test_repeated_is_the_same(alice):
    assert accounts.of(alice) == accounts.of(alice)
    assert Account.objects.count() == 1
    assert DataKey.objects.count() == 4


@pytest.mark.django_db(transaction=True)
def test_concurrent_first_uses_make_one(alice, together):
    made = together(*[lambda: accounts.of(alice)] * 8)
    assert len({one.pk for one in made}) == 1
    assert Account.objects.count() == 1
    assert DataKey.objects.count() == 4
