"""API tokens: made once, shown once, stored as a hash."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from chathistory import policy
from chathistory.exceptions import Invalid, NotFound
from chathistory.journal import Operation
from chathistory.models import Token

from . import accounts

_PREFIX = "cht_"
_NOTED = timedelta(hours=1)


def create(user: Any, scopes: Iterable[str] = ("read", "write")) -> str:
    """Make a token for ``user`` and return it: 256 random bits that are never shown again.

    Raises Invalid for a scope that does not exist.
    """
    given = list(scopes)
    wanted = [scope for scope in sorted(policy.SCOPES) if scope in given]
    if not wanted or any(scope not in wanted for scope in given):
        known = ", ".join(sorted(policy.SCOPES))
        raise Invalid(f"Scopes are one or more of: {known}.", field="scope")
    secret = _PREFIX + secrets.token_urlsafe(32)
    account = accounts.of(user)
    with Operation(account, account, "token.create") as op:
        token = Token(account=op.account, digest=digest(secret), scopes=" ".join(wanted))
        token.created_at = op.at
        token.changed = op.record("token", token.uuid)
        token.save(force_insert=True)
    return secret


def revoke(token: Token, user: Any) -> None:
    """Let a token open nothing from now on; again does nothing. Raises NotFound to a stranger."""
    if user is not None and token.account.user_id != user.pk:
        raise NotFound("There is no such token.")
    with Operation(token.account, token.account, "token.revoke") as op:
        row = Token.objects.get(pk=token.pk)
        if row.revoked_at is None:
            row.revoked_at = op.at
            row.changed = op.record("token", row.uuid, before={"revoked_at": None})
            row.save()


def find(secret: str) -> Token | None:
    """Return the token in force of this secret, with its account and user, or None."""
    live = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    rows = Token.objects.filter(live, digest=digest(secret), revoked_at=None)
    token = rows.select_related("account__user").first()
    if token is not None:
        _note_use(token)
    return token


def _note_use(token: Token) -> None:
    """Note when a token was last used, to the hour: not a change of anybody's data."""
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > _NOTED:
        Token.objects.filter(pk=token.pk).update(last_used_at=now)


def digest(secret: str) -> str:
    """Return what is stored of a secret; it is random enough for a plain hash."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
