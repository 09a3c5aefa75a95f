"""A base and three segments, damaged in every way: each time it is refused by name.

    python -m tests.faults.damage [EVERY] [COMMANDS]

Each EVERYth byte (1) is flipped in turn and the container verified; so many (200) are flipped
before ``chat_restore`` reads the chain; each container is cut at every kilobyte; segments are
dropped, swapped, repeated and taken from another chain. Exit status 0 only if all of it was
refused with the file named, and nothing of the live data has changed.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from tests.faults import own

#: Bytes that the chain may have at most, to be gone through one by one; an empty file of SQLite
#: with all tables has 570,000.
MOST = 640 << 10


def main(every: int, commands: int) -> None:
    """Damage, in a database of its own."""
    with own.database("damage") as home:
        from django.contrib.auth.models import User  # needs the site

        for line in damage(home, User.objects.create_user("alice"), every, commands):
            print(line, flush=True)


def damage(home: Path, user: Any, every: int, commands: int) -> Iterator[str]:
    """Yield one line for each way in which all was refused."""
    chain = Chain(home, user)
    for way in (
        lambda: chain.flip(every),
        lambda: chain.flip_and_restore(commands),
        chain.cut,
        chain.drop,
        chain.swap,
        chain.repeat,
        chain.take_from_another,
    ):
        began = perf_counter()
        yield f"{way()}, {perf_counter() - began:.0f} s"
    chain.check()
    yield "the live data are as they were, and the whole chain restores"


class Chain:
    """A base and three segments of somebody's chats."""

    def __init__(self, home: Path, user: Any) -> None:
        from chathistory.actions import backup, messages, sessions  # needs the site
        from tests.actions import backed

        self._user, self._dice = user, random.Random(1)
        session = sessions.create(user, "tutor", title="Herons")
        messages.append(session, user, "user", "How does a heron fish?")
        self._rows = [backup.full()]
        for number in range(3):
            messages.append(session, user, "assistant", f"It waits, {number} hours long.")
            made = backup.incremental()
            assert made is not None
            self._rows.append(made)
        self._files = [backed.path(home, row) for row in self._rows]
        for file in self._files:
            file.chmod(0o600)
        self._state = backed.state()
        size = sum(file.stat().st_size for file in self._files)
        assert size <= MOST, f"{size:,} bytes are too many"

    def flip(self, every: int) -> str:
        """Flip bytes, one at a time, and verify."""
        count = 0
        for row, file in zip(self._rows, self._files, strict=True):
            with _flipper(file) as flip:
                for at in range(0, file.stat().st_size, every):
                    flip(at)
                    self._refused_by_verify(row, f"byte {at}")
                    flip(at)
                    count += 1
        return f"{count:,} flipped bytes refused by verify"

    def flip_and_restore(self, count: int) -> str:
        """Flip a byte anywhere and restore by the command."""
        for _ in range(count):
            file = self._dice.choice(self._files)
            with _flipper(file) as flip:
                at = self._dice.randrange(file.stat().st_size)
                flip(at)
                self._refused_by_command(file.name, f"byte {at}")
                flip(at)
        return f"{count:,} flipped bytes refused by chat_restore"

    def cut(self) -> str:
        """Cut each container at every kilobyte."""
        count = 0
        for row, file in zip(self._rows, self._files, strict=True):
            whole = file.read_bytes()
            for size in range(0, len(whole), 1024):
                file.write_bytes(whole[:size])
                self._refused_by_verify(row, f"cut at {size}")
                count += 1
            self._refused_by_command(file.name, "cut")
            file.write_bytes(whole)
        return f"{count:,} cuts refused"

    def drop(self) -> str:
        """Take away each segment, and the base."""
        for file in self._files:
            aside = file.rename(file.with_suffix(".aside"))
            self._refused_by_command(file.name, "dropped")
            aside.rename(file)
        return "dropped containers refused"

    def swap(self) -> str:
        """Let each two change places, under each other's name and under their own."""
        for one, two in zip(self._files, self._files[1:], strict=False):
            self._exchange(one, two)
            self._refused_by_command(one.name, "swapped", two.name)
            self._exchange(one, two)
        first, second = self._files[1:3]
        renamed = [_numbered(first, second), _numbered(second, first)]
        first.rename(renamed[0])
        second.rename(renamed[1])
        self._refused_by_command(first.name, "renumbered", *(one.name for one in renamed))
        renamed[0].rename(first)
        renamed[1].rename(second)
        return "swapped segments refused"

    def repeat(self) -> str:
        """Put a segment there again, under the next number and under one that is taken."""
        last, first = self._files[-1], self._files[1]
        for number in ("00000004", first.name[:8]):
            again = last.with_name(number + last.name[8:])
            shutil.copy(last, again)
            self._refused_by_command(again.name, "repeated", first.name)
            again.unlink()
        return "repeated segments refused"

    def take_from_another(self) -> str:
        """Put a segment of another chain in the place of one, and behind the last."""
        from chathistory.actions import backup, messages  # needs the site
        from chathistory.models import Backup, Session
        from tests.actions import backed

        home = self._files[0].parents[2]
        backup.full()
        session = Session.objects.select_related("account").get()
        messages.append(session, self._user, "user", "And at night?")
        backup.incremental()
        row = Backup.objects.order_by("-pk")[0]
        other = backed.path(home, row)
        self._state = backed.state()
        place = self._files[1]
        whole = place.read_bytes()
        place.write_bytes(other.read_bytes())
        self._refused_by_verify(self._rows[1], "of another chain")
        place.write_bytes(whole)
        behind = self._files[0].parent / (f"{4:08d}" + other.name[8:])
        shutil.move(str(other.parent), str(home / "aside"))
        shutil.copy(home / "aside" / other.name, behind)
        # Without the later chain, which would be read instead.
        Backup.objects.filter(chain=row.chain).delete()
        self._refused_by_command(behind.name, "of another chain, behind")
        behind.unlink()
        return "segments of another chain refused"

    def check(self) -> None:
        """Fail unless nothing has changed, and the chain still restores."""
        from chathistory.actions import backup  # needs the site
        from tests.actions import backed

        assert backed.state() == self._state, "the live data have changed"
        for row in self._rows:
            backup.verify(row)
        self._restore()

    def _refused_by_verify(self, row: Any, how: str) -> None:
        from chathistory.actions import backup  # needs the site
        from chathistory.exceptions import Damaged

        told = _told(Damaged, lambda: backup.verify(row))
        assert row.name in told, f"{how} of {row.number}: {told}"

    def _refused_by_command(self, name: str, how: str, *others: str) -> None:
        from django.core.management import CommandError  # needs the site

        from tests.actions import backed

        told = _told(CommandError, self._restore)
        assert any(one in told for one in (name, *others)), f"{name}, {how}: {told}"
        assert backed.state() == self._state, f"{how}: the live data have changed"

    def _restore(self) -> None:
        from django.core.management import call_command  # needs the site

        at = self._rows[-1].at.isoformat()
        out = io.StringIO()
        call_command("chat_restore", user="alice", at=at, dry_run=True, stdout=out, stderr=out)

    def _exchange(self, one: Path, two: Path) -> None:
        first, second = one.read_bytes(), two.read_bytes()
        one.write_bytes(second)
        two.write_bytes(first)


def _told(kind: type[Exception], call: Callable[[], object]) -> str:
    """Return how a call was refused."""
    try:
        call()
    except kind as error:
        return str(error)
    return "it was not noticed"


def _numbered(file: Path, like: Path) -> Path:
    return file.with_name(like.name[:8] + file.name[8:])


@contextmanager
def _flipper(file: Path) -> Iterator[Callable[[int], None]]:
    handle = os.open(file, os.O_RDWR)

    def flip(at: int) -> None:
        os.pwrite(handle, bytes([os.pread(handle, 1, at)[0] ^ 1]), at)

    try:
        yield flip
    finally:
        os.close(handle)


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    main(*(given + [1, 200][len(given) :]))
