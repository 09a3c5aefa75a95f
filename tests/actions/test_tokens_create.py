"""tokens.create: a key for programs, shown once."""

from __future__ import annotations

import pytest

from chathistory.actions import accounts, tokens
from chathistory.exceptions import Invalid, NotAllowed
from chathistory.models import Change, Token


def test_happy_the_secret_opens_and_is_not_stored(alice):
    secret = tokens.create(alice, ["write", "read"])
    token = tokens.find(secret)
    assert token is not None
    assert token.account.user == alice
    assert token.scopes == "read write"
    stored = " ".join(map(str, Token.objects.values_list().get()))
    assert secret not in stored
    assert secret.removeprefix("cht_") not in stored
    assert len(secret) >= 43


def test_happy_what_is_nearly_the_secret_opens_nothing(alice):
    secret = tokens.create(alice)
    for other in (
        "",
        secret[:-1],
        secret + "x",
        secret.swapcase(),
        tokens.digest(secret),
        "\ud800",
    ):
        assert tokens.find(other) is None


def test_stranger_cannot_have_one_and_anothers_token_is_anothers(alice, charlie, nobody):
    with pytest.raises(NotAllowed):
        tokens.create(nobody)
    tokens.create(alice)
    assert tokens.find(tokens.create(charlie)).account == accounts.of(charlie)
    assert Token.objects.count() == 2


@pytest.mark.parametrize("scopes", ["read", [], ["admin"], ["read", "*"], [""], [None], [["read"]]])
def test_malformed_scopes_are_refused_and_nothing_is_stored(alice, scopes):
    with pytest.raises(Invalid) as refused:
        tokens.create(alice, scopes)
    assert refused.value.field == "scope"
    assert not Token.objects.exists()


def test_repeated_makes_another_each_time(alice):
    secrets = {tokens.create(alice, ["read"]) for _ in range(4)}
    assert len(secrets) == Token.objects.count() == 4


@pytest.mark.django_db(transaction=True)
def test_concurrent_tokens_all_open(alice, together):
    made = together(*[lambda: tokens.create(alice)] * 6)
    assert {tokens.find(secret).account.user for secret in made} == {alice}
    assert len(set(made)) == 6
    assert Change.objects.count() == 6
