"""Backups made while no file may grow beyond a limit, and that for every limit there is.

    python -m tests.faults.fulldisk [STEP]

In processes of their own a full backup, a segment and an archive are made, with a limit for the
size of files (RLIMIT_FSIZE, as a full disk) that rises by STEP (4,096) bytes until all come
through. Whatever fails says so in one sentence; whatever is listed is whole. Exit status 0 only
then.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults import own

_MADE, _REFUSED, _BROKE = 0, 3, 4
_END = 4 << 20


def main(step: int) -> None:
    """Fill the disk, in a database of its own."""
    with own.database("fulldisk") as home:
        from django.contrib.auth.models import User  # needs the site

        print(fill(home, User.objects.create_user("alice"), step))


def fill(home: Path, user: Any, step: int) -> str:
    """Try every limit; return how many attempts were refused, and how many came through."""
    from chathistory.actions import archives, backup, messages, sessions  # needs the site

    dice = random.Random(1)
    session = sessions.create(user, "tutor", title="Herons")
    messages.append(session, user, "user", f"{dice.getrandbits(8 * 100_000):x}")
    backup.full()

    def archive() -> None:
        made = archives.prepare(user, full=True)
        assert made is not None
        archives.store(made, archives.folder())

    verbs: dict[str, Callable[[], object]] = {
        "full": backup.full,
        "incremental": backup.incremental,
        "archive": archive,
    }
    counted: Counter[str] = Counter()
    for limit in range(step, _END, step):
        messages.append(session, user, "user", f"At {limit}.")
        found = {name: _limited(limit, verb) for name, verb in verbs.items()}
        counted.update("made" if one == _MADE else "refused" for one in found.values())
        assert _BROKE not in found.values(), (limit, found)
        _check(home)
        if set(found.values()) == {_MADE}:
            break
    else:
        raise AssertionError("it never came through")
    assert backup.incremental() is not None or not _is_behind()
    return f"{counted['refused']:,} refused, {counted['made']:,} made, all that is listed is whole"


def _is_behind() -> bool:
    from chathistory.backups import capture  # needs the site

    return capture.anything_new()


def _limited(limit: int, verb: Callable[[], object]) -> int:
    """Call ``verb`` in a child whose files may not grow beyond ``limit``."""
    from django.db import connections  # needs the site

    connections.close_all()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    os._exit(_outcome(limit, verb))


def _outcome(limit: int, verb: Callable[[], object]) -> int:
    from django.db import DatabaseError  # needs the site

    from chathistory.exceptions import ChatHistoryError

    try:
        verb()
    except (ChatHistoryError, DatabaseError, OSError) as error:
        is_told = "\n" not in str(error)
        return _REFUSED if is_told else _BROKE
    except BaseException as error:  # noqa: BLE001  (told here: the process ends without a word)
        os.write(2, f"{limit}: {type(error).__name__}: {error}\n".encode())
        return _BROKE
    return _MADE


def _check(home: Path) -> None:
    """Fail unless everything that is listed, or lies where it is looked for, is whole."""
    from chathistory.actions import archives, backup  # needs the site
    from chathistory.backups import store
    from chathistory.models import Backup

    backup.relist()
    rows = Backup.objects.exclude(kind=Backup.Kind.ARCHIVE)
    for row in rows.order_by("-pk")[:3]:
        backup.verify(row)
    names = set(rows.values_list("name", flat=True))
    assert {at.digest for at in store.places()} == names
    kept = {one.name for one in archives.folder().glob("*.zip*")}
    assert not [one for one in kept if one.startswith(".")], kept
    assert home.exists()


if __name__ == "__main__":
    main(*([int(one) for one in sys.argv[1:]] or [4096]))
