"""Accounts: each person's own, made at first use."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from chathistory import bulk, keyring
from chathistory.exceptions import NotAllowed
from chathistory.models import Account


def of(user: Any) -> Account:
    """Return the account of a signed-in user, made with its keys when there is none.

    Raises NotAllowed for an anonymous user and MasterKeyError before anything is written.
    """
    if user is None or not user.is_authenticated or user.pk is None:
        raise NotAllowed("Sign in first.")
    return Account.objects.filter(user=user).first() or _create(user)


def _create(user: Any) -> Account:
    keyring.verify_master()
    try:
        with transaction.atomic(using=bulk.connection(Account).alias):
            account = Account.objects.create(user=user)
            keyring.make_account_keys(account)
    except IntegrityError:  # another request was first
        return Account.objects.get(user=user)
    return account
