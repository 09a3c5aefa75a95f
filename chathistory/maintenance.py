"""Maintenance: for as long as the site is being written over, nobody changes anything.

A file under HOME, held by a lock of the process that made it. Who dies lets go of the lock, and
then the file means nothing. A verb asks under its own lock on the database, so whatever it
acknowledges was committed before the maintenance began, or came after it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.utils.translation import gettext as _

from .conf import settings
from .exceptions import Conflict, Maintenance, Unavailable

#: Seconds after which whoever was refused may ask again.
RETRY_AFTER = 10
_TRIES, _PAUSE = 20, 0.05


def path() -> Path:
    """Return the file that says so."""
    return Path(settings.HOME) / "maintenance"


def is_on() -> bool:
    """Tell whether a living process holds the site. Raises Unavailable where nobody can tell."""
    try:
        handle = _opened(os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def check() -> None:
    """Raise Maintenance while the site is held."""
    if is_on():
        raise Maintenance(
            _("The site is being restored. Nothing is lost; try again in a minute."),
            retry_after=RETRY_AFTER,
        )


@contextmanager
def held() -> Iterator[None]:
    """Hold the site for the block. Raises Conflict where another process does, Unavailable."""
    handle = _locked()
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            path().unlink()
        os.close(handle)


def _opened(flags: int) -> int:
    try:
        return os.open(path(), flags, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        message = _("%(path)s cannot be opened as the file that it is to be: %(why)s.")
        raise Unavailable(message % {"path": path(), "why": error.strerror}) from error


def _locked() -> int:
    """Return the file, ours alone; whoever only asks holds it for microseconds."""
    for _try in range(_TRIES):
        handle = _opened(os.O_RDWR | os.O_CREAT)
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Not one that the process before has just thrown away.
            if os.path.samestat(os.fstat(handle), path().stat()):
                return handle
        os.close(handle)
        time.sleep(_PAUSE)
    raise Conflict(_("The site is being restored by another process."))
