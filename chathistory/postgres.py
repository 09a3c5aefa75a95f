"""A PostgreSQL database named by its address."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from .exceptions import Invalid


def database(address: str) -> dict[str, Any]:
    """Return Django's settings for ``postgres://user:password@host:port/name?option=value``.

    Raises Invalid.
    """
    try:
        from psycopg import ProgrammingError, conninfo  # an optional package
    except ImportError:
        raise Invalid(_("PostgreSQL needs the package psycopg."), field="into") from None
    try:
        said = conninfo.conninfo_to_dict(address)
    except ProgrammingError:
        said = {}
    if "dbname" not in said:
        message = _("A PostgreSQL address is needed: postgres://user:password@host/name.")
        raise Invalid(message, field="into")
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host"}
    known = {name: str(said.pop(key, "")) for name, key in names.items()}
    port = str(said.pop("port", ""))
    engine = "django.db.backends.postgresql"
    return {"ENGINE": engine, **known, "PORT": port, "OPTIONS": dict(said)}
