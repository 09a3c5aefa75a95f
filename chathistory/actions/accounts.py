"""Accounts: each person's own, made at first use."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from chathistory import bulk, ids, keyring
from chathistory.exceptions import NotAllowed
from chathistory.models import Account

SYSTEM = ids.SYSTEM


def of(user: Any) -> Account:
    """Return the account of a signed-in user, made with its keys when there is none.

    Raises NotAllowed for an anonymous user and MasterKeyError before anything is written.
    """
    if user is None or not user.is_authenticated or user.pk is None:
        raise NotAllowed("Sign in first.")
    return Account.objects.filter(user=user).first() or _create(user=user)


def system() -> Account:
    """Return the account that what the site does by itself is kept under; it has no user."""
    named = {"uuid": SYSTEM}
    return Account.objects.filter(**named).first() or _create(**named)


def _create(**who: Any) -> Account:
    keyring.verify_master()
    try:
        with transaction.atomic(using=bulk.connection(Account).alias):
            account = Account.objects.create(**who)
            keyring.make_account_keys(account)
    except IntegrityError:  # another request was first
        return Account.objects.get(**who)
    return account
