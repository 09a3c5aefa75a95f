"""accounts.system: the account of what the site does by itself."""

from __future__ import annotations

import pytest

from chathistory import keyring
from chathistory.actions import accounts, sessions
from chathistory.exceptions import MasterKeyError, NotAllowed
from chathistory.models import Account, DataKey, Session


@pytest.mark.django_db
def test_happy_it_is_made_with_its_keys_and_without_a_user():
    account = accounts.system()
    assert (account.uuid, account.user) == (accounts.SYSTEM, None)
    assert keyring.account_keys(account).rows.raw


def test_stranger_it_is_nobodys(alice, nobody):
    account = accounts.system()
    assert accounts.of(alice) != account
    with pytest.raises(NotAllowed):
        accounts.of(nobody)
    with pytest.raises(NotAllowed):
        sessions.create(nobody, "tutor")
    assert not Session.objects.filter(account=account).exists()


@pytest.mark.django_db
def test_malformed_a_site_without_its_master_key_makes_none(settings, tmp_path):
    accounts.system().delete()
    settings.CHATHISTORY_MASTER_KEYS = [("short", b"x")]
    with pytest.raises(MasterKeyError):
        accounts.system()
    assert not Account.objects.exists()


@pytest.mark.django_db
def test_repeated_is_the_same():
    assert accounts.system() == accounts.system()
    assert DataKey.objects.count() == 4


@pytest.mark.django_db(transaction=True)
def test_concurrent_first_uses_make_one(together):
    made = together(*[accounts.system] * 8)
    assert len({one.pk for one in made}) == 1
    assert DataKey.objects.count() == 4
