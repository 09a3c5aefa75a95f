"""A database and a data folder of a harness's own, for what is run by ``python -m``."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django


@contextmanager
def database(name: str) -> Iterator[Path]:
    """Set Django up on a new database (DATABASE_URL, else SQLite) and yield a folder as HOME."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from django.conf import settings  # as it is after the setup
    from django.test.runner import DiscoverRunner

    settings.CHATHISTORY_HOME = Path(tempfile.mkdtemp(prefix=f"chathistory-{name}-"))
    runner = DiscoverRunner(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    try:
        yield settings.CHATHISTORY_HOME
    finally:
        runner.teardown_databases(databases)
        shutil.rmtree(settings.CHATHISTORY_HOME, ignore_errors=True)
