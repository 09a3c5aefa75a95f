"""The standalone site's settings, in a folder of its own for each test process."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile


def remove(home: str, owner: int) -> None:
    """Clean up after the test process itself, not after those it forked."""
    if os.getpid() == owner:
        shutil.rmtree(home, ignore_errors=True)


# Programs that a test starts share its folder; each xdist worker has another.
worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
if os.environ.get("CHATHISTORY_TEST_WORKER") != worker:
    home = tempfile.mkdtemp(prefix="chathistory-test-")
    os.environ |= {"CHATHISTORY_TEST_WORKER": worker, "CHATHISTORY_HOME": home}
    atexit.register(remove, home, os.getpid())

# Never a developer's own site.
for name in (
    *("ALLOWED_HOSTS", "CHATHISTORY_BACKUP_STORAGE", "CHATHISTORY_DEMO", "DEBUG", "HTTPS"),
    *("REDIS_URL", "SECRET_KEY"),
):
    os.environ.pop(name, None)
os.environ["HTTPS"] = "0"

from project.settings import *  # noqa: E402, F403
from project.settings import CHATHISTORY_HOME, DATABASES  # noqa: E402

if not os.environ.get("DATABASE_URL"):
    # A file, as in production: several connections to memory would share one transaction's locks.
    DATABASES["default"]["TEST"] = {"NAME": str(CHATHISTORY_HOME / "test.sqlite3")}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
