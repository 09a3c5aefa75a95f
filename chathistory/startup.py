"""What a process does before it serves anybody."""

from __future__ import annotations

from django.core.checks import ERROR, Tags, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import router

from chathistory.models import Message


def verify() -> None:
    """Refuse to start on a site that is set up wrong: demo mode in the open, a wrong master key.

    Raises ImproperlyConfigured naming every error. Nothing has been written by then.
    """
    found = run_checks(tags=[Tags.security, Tags.models])
    found += run_checks(tags=[Tags.database], databases=[router.db_for_write(Message)])
    errors = [one for one in found if one.level >= ERROR and str(one.id).startswith("chathistory.")]
    if errors:
        raise ImproperlyConfigured("\n".join(f"{one.id}: {one.msg} {one.hint}" for one in errors))
