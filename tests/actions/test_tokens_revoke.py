"""tokens.revoke: a token opens nothing from now on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from chathistory.actions import tokens
from chathistory.exceptions import NotFound
from chathistory.models import Change, Token


def test_happy_it_opens_nothing_and_others_still_do(alice):
    secret, other = tokens.create(alice), tokens.create(alice)
    tokens.revoke(tokens.find(secret), alice)
    assert tokens.find(secret) is None
    assert tokens.find(other) is not None
    assert Token.objects.filter(revoked_at=None).count() == 1


def test_stranger_gets_not_found(alice, charlie, nobody):
    secret = tokens.create(alice)
    for user in (charlie, nobody):
        with pytest.raises(NotFound):
            tokens.revoke(tokens.find(secret), user)
    assert tokens.find(secret) is not None


def test_malformed_a_token_that_has_run_out_opens_nothing_and_can_be_revoked(alice):
    secret = tokens.create(alice)
    token = tokens.find(secret)
    token.expires_at = timezone.now() - timedelta(seconds=1)
    token.save()
    assert tokens.find(secret) is None
    tokens.revoke(token, alice)
    assert Token.objects.get().revoked_at is not None


def test_repeated_does_nothing(alice):
    token = tokens.find(tokens.create(alice))
    tokens.revoke(token, alice)
    first, before = Token.objects.get().revoked_at, Change.objects.count()
    tokens.revoke(token, alice)
    assert Token.objects.get().revoked_at == first
    assert Change.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_concurrent_revocations_are_one(alice, together):
    token = tokens.find(tokens.create(alice))
    assert together(*[lambda: tokens.revoke(token, alice)] * 6) == [None] * 6
    assert Change.objects.filter(op="token.revoke").count() == 1
