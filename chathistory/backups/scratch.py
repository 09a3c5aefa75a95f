"""A database beside the live one: built, looked at and thrown away, or written in.

Within ``with scratch(where):`` the models of this thread live in another database, under an
alias of its own; every other thread goes on with the live one. Verbs, look-ups and the search
index follow, for all of them ask the router.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.utils import load_backend

from chathistory import bulk
from chathistory.models import Account
from chathistory.search.base import index

_PREFIX = "chathistory_scratch_"
# A file that nobody else knows: what a crash would leave of it is worth nothing. What is removed
# from it is overwritten, for its pages may become the live ones.
_PRAGMAS = (
    "PRAGMA journal_mode=MEMORY;PRAGMA synchronous=OFF;PRAGMA secure_delete=ON;"
    "PRAGMA temp_store=MEMORY;PRAGMA cache_size=-65536"
)
_numbers = itertools.count(1)
_changing = threading.Lock()


class _Routes(threading.local):
    """Where this thread's models are: the innermost scratch last."""

    def __init__(self) -> None:
        self.stack: list[tuple[str, bool]] = []


_routes = _Routes()


class _Router:
    """Stands before the host's routers, and says nothing outside a scratch."""

    def db_for_read(self, model: type[Any], **hints: Any) -> str | None:
        """Return the scratch, where there is one."""
        return self._alias(model, router.db_for_read, hints)

    def db_for_write(self, model: type[Any], **hints: Any) -> str | None:
        """Return the scratch, where there is one."""
        return self._alias(model, router.db_for_write, hints)

    def allow_relation(self, _one: Any, _other: Any, **_hints: Any) -> bool | None:
        """Let rows of a scratch belong to the host's users, who are elsewhere."""
        return True if _routes.stack else None

    def allow_migrate(self, db: str, _app_label: str, **_hints: Any) -> bool | None:
        """Let every table be made in a scratch, whatever the host's routers say."""
        return True if db.startswith(_PREFIX) else None

    def _alias(self, model: type[Any], usual: Any, hints: dict[str, Any]) -> str | None:
        if not _routes.stack:
            return None
        alias, whole = _routes.stack[-1]
        if whole or model._meta.app_label == Account._meta.app_label:
            return alias
        # A row of a scratch must not lead the host's own models into it: they are not there.
        return usual(model) if hints else None


@contextmanager
def scratch(where: Path | dict[str, Any], *, whole: bool = False) -> Iterator[str]:
    """Move this thread's models to a SQLite file, or to a database given by Django's settings.

    ``whole`` moves the host's models as well. Yields the alias, which is gone after the block.
    """
    alias = f"{_PREFIX}{next(_numbers)}"
    link = _connection(alias, _sqlite(where) if isinstance(where, Path) else where)
    # This thread's alone: the settings, which all threads walk over, never name it.
    connections[alias] = link
    _routes.stack.append((alias, whole))
    try:
        yield alias
    finally:
        _routes.stack.pop()
        link.close()
        del connections[alias]


@contextmanager
def outside() -> Iterator[None]:
    """Lead this thread's models to the live database for the block, within a scratch."""
    kept, _routes.stack = _routes.stack, []
    try:
        yield
    finally:
        _routes.stack = kept


def make_tables() -> None:
    """Make the app's tables and the search index in an empty scratch."""
    link = bulk.connection(Account)
    with link.schema_editor() as editor:
        for model in apps.get_app_config(Account._meta.app_label).get_models():
            editor.create_model(model)
    index().create()


def _sqlite(path: Path) -> dict[str, Any]:
    options = {"timeout": 30, "transaction_mode": "IMMEDIATE", "init_command": _PRAGMAS}
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": options}


def _connection(alias: str, database: dict[str, Any]) -> Any:
    _go_first()
    # Only for the defaults it fills in.
    filled = connections.configure_settings({DEFAULT_DB_ALIAS: {}, alias: dict(database)})[alias]
    return load_backend(filled["ENGINE"]).DatabaseWrapper(filled, alias)


def _go_first() -> None:
    with _changing:
        if not any(isinstance(one, _Router) for one in router.routers):
            router.routers.insert(0, _Router())
