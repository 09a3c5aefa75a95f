"""The standalone site on a data folder of its own, in this process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
from django.core.management import call_command
from django.db import connection

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@contextmanager
def site(home: Path | None = None) -> Iterator[Path]:
    """Set Django up, once in a process, on a SQLite file in ``home`` or a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="chathistory-bench-") as folder:
        path = home or Path(folder)
        os.environ.update(environment(path))
        os.environ.pop("DATABASE_URL", None)
        os.environ.pop("REDIS_URL", None)
        django.setup()
        call_command("migrate", verbosity=0)
        try:
            yield path
        finally:
            connection.close()


def environment(home: Path) -> dict[str, str]:
    """Return what makes a process the site on ``home``."""
    return {
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "CHATHISTORY_HOME": str(home),
        "CHATHISTORY_DEMO": "0",
        "DEBUG": "0",
        "HTTPS": "0",
        "LOG_LEVEL": "ERROR",
    }


def person(name: str) -> User:
    """Return a user who owns what is stored."""
    from django.contrib.auth.models import User  # needs the site

    return User.objects.get_or_create(username=name)[0]


def index_bytes() -> int:
    """Return the bytes of the pages that only search is there for, merged as beat does."""
    import apsw  # its SQLite counts pages by table, not every Python's does

    from chathistory.models import Vocabulary  # needs the site
    from chathistory.search.base import index

    index().tend(lambda: None)
    sql = "SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'chathistory_fts%' OR name LIKE ?"
    connection.close()
    file = apsw.Connection(str(connection.settings_dict["NAME"]))
    (found,) = next(iter(file.execute(sql, [f"{Vocabulary._meta.db_table}%"])))
    file.close()
    return int(found)


def use(database: Path) -> None:
    """Let every query from here on go to another file."""
    connection.close()
    settings: dict[str, Any] = connection.settings_dict
    settings["NAME"] = str(database)
