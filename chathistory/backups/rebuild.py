"""A moment rebuilt beside the live data: base, segments, keys, undo, ledger, index, and proof.

The scratch is a SQLite file under ``HOME/tmp`` that holds what was sealed, sealed as it was.
Nothing of the live rows is read or changed for it, so it works where they are lost.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management import call_command
from django.db import DatabaseError
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Q
from django.utils.translation import gettext as _

from chathistory import bulk, keyring, ledger
from chathistory.conf import settings
from chathistory.exceptions import Conflict, Damaged, NotFound, Unavailable
from chathistory.models import Account, Change, Message, Session
from chathistory.search import upkeep
from chathistory.search.base import index

from . import contents, extract, images, proof, replay
from .contents import Opened
from .images import TABLES, Line
from .keyrows import KeyRows
from .plans import Part, Plan
from .scratch import make_tables, outside, scratch
from .undo import undo

#: Is told how many of how many steps are done.
Step = Callable[[int, int], None]
_NAME = "restore-"
_AT_ONCE = 500
_ROOM = 2.2  # of the base: itself, and what the segments bring


@dataclass(slots=True)
class Built:
    """A scratch that was built and proved."""

    path: Path
    plan: Plan
    #: Rows by table.
    counts: dict[str, int] = field(default_factory=dict)
    #: What does not open, or names somebody who is not here; one line each.
    problems: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Tell whether the host's tables are in it too."""
        is_file = self.plan.layout == "file" or self.path == Path()
        return self.plan.account is None and is_file


def quiet(_done: int, _total: int) -> None:
    """Tell nobody how far it is."""


@contextmanager
def built(plan: Plan, *, search: bool = True, step: Step = quiet) -> Iterator[Built]:
    """Yield the rows as they were at ``plan.at``, less what was removed for good since.

    ``search=False`` leaves the index of the scratch out. The file is removed after the block.
    Raises Damaged naming the container, MasterKeyError, Unavailable where there is no room, and
    NotFound where the account or session was not there then.
    """
    path = _folder() / f"{_NAME}{secrets.token_hex(8)}.sqlite3"
    try:
        with _told():
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            made = Built(path, plan)
            with scratch(path, whole=made.whole):
                _Build(made, search, step).run()
            keyring.forget()
        yield made
    finally:
        path.unlink(missing_ok=True)


def filled(plan: Plan, database: dict[str, Any], *, step: Step = quiet) -> Built:
    """Make the tables in an empty PostgreSQL database, and fill them as ``built`` does.

    ``database`` is as Django's settings have it. Raises Conflict where somebody's rows are.
    """
    made = Built(Path(), plan)
    if plan.layout != "rows":
        raise Conflict(_("This backup is of SQLite: it cannot fill PostgreSQL."))
    with _told(), scratch(database, whole=True) as alias:
        call_command("migrate", database=alias, verbosity=0, interactive=False)
        if Session.objects.exists() or Change.objects.exists():
            raise Conflict(_("The database is not empty."))
        _Build(made, True, step).run()
    keyring.forget()
    return made


def tidy() -> None:
    """Remove what processes left when they died; no other may be alive."""
    for left in _folder().glob(f"{_NAME}*"):
        left.unlink(missing_ok=True)


@contextmanager
def _told() -> Iterator[None]:
    """Say in one sentence that the disk refuses."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"The restored copy cannot be written: {error.strerror}.") from error
    except DatabaseError as error:
        cause = error.__cause__
        if not isinstance(cause, sqlite3.Error) or "disk" in str(cause):
            raise Unavailable(f"The restored copy cannot be written: {error}.") from error
        raise Damaged(f"The restored copy does not hold together: {error}.") from error


def _folder() -> Path:
    folder = Path(settings.HOME) / "tmp"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


class _Build:
    """The steps, within the scratch."""

    def __init__(self, made: Built, search: bool, step: Step) -> None:
        self._made, self._plan, self._search, self._step = made, made.plan, search, step
        self._keys = KeyRows(made.plan)
        #: Accounts and sessions whose rows came by, and whose keys are to follow.
        self._came: set[UUID] = set()
        # Of no other copy of these rows, so that no process-wide cache takes one for the other.
        self._epoch = 10**9 + secrets.randbelow(10**9)
        self._total = len(self._plan.parts) + 4
        self._done = 0
        self._is_file = bulk.connection(Account).vendor == "sqlite"

    def run(self) -> None:
        base, *segments = self._plan.parts
        vector = self._extracted(base)
        if vector is None:
            vector = self._base(base)
        self._note()
        for part in segments:
            with self._opened(part) as found:
                vector = self._segment(found, vector)
            self._note()
        if self._plan.beyond:
            with self._opened(self._plan.beyond) as found:
                self._prove_beyond(found, vector)
        replay.accounts_and_sessions(self._plan.at, search=self._search)
        self._keys.complete()
        self._undo()
        self._note()
        replay.messages(search=self._search)
        if self._search:
            self._made.problems += proof.unopened(upkeep.fill())
        self._note()
        self._made.counts = {name: model._base_manager.count() for name, model in TABLES.items()}
        self._made.problems += proof.prove(self._plan.account, search=self._search)
        self._note()

    def _note(self) -> None:
        self._done += 1
        with outside():
            self._step(self._done, self._total)

    def _opened(self, part: Part) -> contextlib.AbstractContextManager[Opened]:
        return contents.opened(part.at, self._keys.container(part))

    # Base and segments

    def _extracted(self, base: Part) -> dict[str, int] | None:
        """Take what is wanted out of a file, without the rest; None where it takes all of it."""
        if self._plan.account is None or self._plan.layout != "file":
            return None
        lives = any(one.session for one in ledger.read() if one.account == self._plan.account)
        with extract.opened(base.at, self._keys.container(base)) as site:
            if not site.is_of_now():
                return None
            make_tables()
            site.copy(self._plan.account, self._plan.session, self._plan.at, lives=lives)
        Message.objects.update(indexed=0)
        Session.objects.update(indexed=0)
        return self._begun(site.manifest)

    def _base(self, base: Part) -> dict[str, int]:
        with self._opened(base) as found:
            if found.layout == "file":
                self._need(found.manifest["bytes"])
                self._write(found.pieces())
                self._migrate(found)
            else:
                if self._is_file:
                    make_tables()
                self._apply(self._mine(found.lines()))
        return self._begun(found.manifest)

    def _begun(self, manifest: dict[str, Any]) -> dict[str, int]:
        Account.objects.update(epoch=self._epoch)
        self._keys.store_all()
        return dict(manifest["vector"])

    def _need(self, size: int) -> None:
        free = shutil.disk_usage(self._made.path.parent).free
        if free < size * _ROOM:
            raise Unavailable(
                _("The restored copy needs %(need)s MB, and %(free)s MB are free.")
                % {"need": f"{size * _ROOM / 1e6:,.0f}", "free": f"{free / 1e6:,.0f}"}
            )

    def _write(self, pieces: Iterable[bytes]) -> None:
        with self._made.path.open("wb") as file:
            for piece in pieces:
                file.write(piece)

    def _migrate(self, found: Opened) -> None:
        """Bring the tables of an older version to this one's."""
        link = bulk.connection(Account)
        executor = MigrationExecutor(link)
        known, app = executor.loader.disk_migrations, Account._meta.app_label
        newer = [
            n for a, n in executor.loader.applied_migrations if a == app and (a, n) not in known
        ]
        if newer:
            raise Damaged(f"{found.at}: It was made by a newer version ({max(newer)}).")
        targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == app]
        if executor.migration_plan(targets):
            call_command("migrate", app, database=link.alias, verbosity=0, interactive=False)
        index().create()

    def _prove_beyond(self, found: Opened, vector: dict[str, int]) -> None:
        """Read a segment of which nothing is wanted: that is what it has to say."""
        _follows(found, vector)
        for _line in found.lines():
            pass

    def _segment(self, found: Opened, vector: dict[str, int]) -> dict[str, int]:
        _follows(found, vector)
        self._came.clear()
        self._apply(self._mine(found.lines()))
        self._keys.store(self._came)
        return vector | dict(found.manifest["vector"])

    def _apply(self, lines: Iterable[Line]) -> None:
        done = images.apply(self._unindexed(lines))
        self._made.problems += [
            f"account {uuid}: There is no user {name!r} here." for uuid, name in done.users.items()
        ]
        self._made.problems += [f"share: There is no group {one!r} here." for one in done.groups]

    def _mine(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Yield the lines of what is wanted, and everybody's names."""
        is_wanted = self._wanted()
        for line in lines:
            if line["t"] == "account":
                line["epoch"] = self._epoch
            if is_wanted(line):
                if line["t"] in ("account", "session"):
                    self._came.add(UUID(line["uuid"]))
                yield line

    def _wanted(self) -> Callable[[Line], bool]:
        plan = self._plan
        if plan.account is None:
            return lambda _line: True
        if plan.session is None:
            return _Wanted(str(plan.account), None, set())
        said = Message.objects.filter(session__uuid=plan.session).values_list("uuid", flat=True)
        return _Wanted(str(plan.account), str(plan.session), {str(uuid) for uuid in said})

    def _unindexed(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Take out of the index what is about to be replaced; the end fills it again."""
        if not self._search:
            yield from lines
            return
        iterator = iter(lines)
        while some := list(islice(iterator, _AT_ONCE)):
            self._drop(some)
            yield from (line | {"indexed": 0} if "indexed" in line else line for line in some)

    def _drop(self, lines: Sequence[Line]) -> None:
        messages = {UUID(uuid) for uuid in _named(lines, "message")}
        sessions = {UUID(uuid) for uuid in _named(lines, "session")}
        gone = [
            UUID(one["row"]) for one in lines if one["t"] == "gone" and one["table"] == "session"
        ]
        held = Message.objects.filter(Q(uuid__in=messages) | Q(session__uuid__in=gone))
        upkeep.drop(list(held.filter(indexed__gt=0).select_related("session__account")))
        titled = Session.objects.filter(uuid__in=sessions, indexed__gt=0)
        upkeep.drop_titles(list(titled.select_related("account")))

    # Undo

    def _undo(self) -> None:
        if not self._plan.is_of_site:
            self._find()
            return
        later = Account.objects.filter(at__gt=self._plan.at)
        if self._plan.account is not None:
            later = later.filter(uuid=self._plan.account)
        for account in later.order_by("pk"):
            self._made.problems += undo(
                account, self._plan.at, session=self._plan.session, search=self._search
            )
        self._find()

    def _find(self) -> None:
        """Raise NotFound where what is wanted is not there."""
        if self._plan.account is None:
            return
        if not Account.objects.filter(uuid=self._plan.account).exists():
            raise NotFound(_("This account is not in the backups of then."))
        wanted = Session.objects.filter(account__uuid=self._plan.account)
        if self._plan.session and not wanted.filter(uuid=self._plan.session).exists():
            raise NotFound(_("This session was not there then, or was removed for good since."))


@dataclass(slots=True)
class _Wanted:
    """Tells whether a line is of an account, or of one session of it."""

    account: str
    session: str | None
    #: The session's messages that came by: an earlier text names only these.
    said: set[str]

    def __call__(self, line: Line) -> bool:
        if line["t"] == "account":
            return True
        if line["account"] != self.account:
            return False
        return self.session is None or self._is_of_session(line)

    def _is_of_session(self, line: Line) -> bool:
        if line["t"] == "revision":
            return line["message"] in self.said
        named = line["uuid"] if line["t"] == "session" else line.get("session")
        if line["t"] == "message" and named == self.session:
            self.said.add(line["uuid"])
        return named is None or named == self.session


def _named(lines: Sequence[Line], table: str) -> Iterator[str]:
    for line in lines:
        if line["t"] == table:
            yield line["uuid"]
        elif line["t"] == "gone" and line["table"] == table:
            yield line["row"]


def _follows(found: Opened, vector: dict[str, int]) -> None:
    """Raise Damaged where a segment does not go on where the one before it ends."""
    before: dict[str, int] = found.manifest["vector_before"]
    if any(vector.get(uuid, 0) != seq for uuid, seq in before.items()):
        raise Damaged(f"{found.at}: It does not go on where the one before it ends.")
