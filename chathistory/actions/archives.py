"""A person's archive: a zip of their sessions as JSON, sealed unless they take it themselves.

The layout is the founding document's: ``sessions/<id>.json`` and ``metadata.json``. A sealed
archive is a container that carries its key, wrapped under the account's: it opens for as long as
the account has not been erased.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from chathistory import crypto, ids, keyring, ledger, represent
from chathistory.backups import container
from chathistory.conf import settings
from chathistory.crypto import Context
from chathistory.exceptions import Conflict, Damaged, NotFound, Unavailable
from chathistory.formats import archive as zipped
from chathistory.formats import native
from chathistory.formats.base import Problem, Transcript, Turn
from chathistory.journal import Operation
from chathistory.models import Account, Backup, Session
from chathistory.querysets import SessionQuerySet
from chathistory.states import State

from . import accounts, exchange, exporting
from .planning import Naming

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Archive:
    """What is to be written: whose, which sessions, and since which Change."""

    account: Account
    user: Any
    rows: SessionQuerySet
    at: datetime
    since: Backup | None = None
    #: The only session in it, if it is of one.
    session: UUID | None = None

    @property
    def name(self) -> str:
        """Return the file's name."""
        who = "".join(c if c.isalnum() or c in "-_." else "_" for c in self.user.get_username())
        return f"chat_backup_{who}_{self.at:%Y%m%d_%H%M%S}.zip"

    def pieces(self, progress: Progress | None = None) -> Iterator[bytes]:
        """Yield the zip piece by piece."""
        sink = _Sink()
        total, messages = self.rows.count(), 0
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            for done, session in enumerate(self.rows.iterator(50), start=1):
                messages += session.message_count
                for _ in _write(archive, self.user, session):
                    yield sink.take()
                if progress:
                    progress(done, total)
            archive.writestr("metadata.json", json.dumps(self._metadata(total, messages), indent=2))
        yield sink.take()

    def _metadata(self, sessions: int, messages: int) -> dict[str, Any]:
        mine = Session.objects.filter(account=self.account).exclude(state=State.DELETED)
        moment = represent.moment(self.at)
        return {
            "user_id": self.user.get_username(),
            "backup_date": moment,
            "backup_type": "incremental" if self.since else "full",
            "backup_time": moment,
            "last_backup_time": represent.moment(self.since.at) if self.since else None,
            "sessions_backed_up": sessions,
            "total_sessions": mine.count() if self.since else sessions,
            "total_messages": messages,
        }


def prepare(user: Any, *, session: UUID | None = None, full: bool = True) -> Archive | None:
    """Return what an archive of ``user`` would hold, or None where nothing changed.

    ``full=False`` takes only what changed since the last stored archive of everything, unless the
    site was restored since. Raises NotFound for a session that is not theirs.
    """
    account = accounts.of(user)
    since = None if full or session else _last(account)
    rows = Session.objects.mine(user).exclude(state=State.DELETED)
    if session is not None:
        rows = rows.filter(uuid=session)
        if not rows.exists():
            raise NotFound("There is no such session.")
    if since is not None:
        rows = rows.filter(changed__gt=since.counts["seq"])
        if not rows.exists():
            return None
    rows = rows.select_related("account__user").order_by("pk")
    return Archive(account, user, rows, timezone.now(), since, session)


def store(archive: Archive, folder: Path, progress: Progress | None = None) -> Path:
    """Write an archive, sealed, into ``folder``; whole or not at all. Return its path.

    Raises OSError where the disk refuses, and Conflict for who was erased meanwhile.
    """
    account = Account.objects.get(pk=archive.account.pk)
    key = crypto.new_key()
    header = {
        "format": 1,
        "layout": "archive",
        "account": str(account.uuid),
        "key": b64encode(_wrap(account, key)).decode(),
        "at": represent.moment(archive.at),
    }
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / archive.name
    part = path.with_name(f"{path.name}.{ids.new_id().hex}.part")
    try:
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w+b") as file:
            name = container.write(file, key, header, archive.pieces(progress))
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            size = sum(len(frame) for frame in container.read(file, key))
        os.link(part, path)  # never over another
    finally:
        part.unlink(missing_ok=True)
    try:
        _record(archive, account, path, name, size)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def restore(user: Any, file: BinaryIO, *, dry_run: bool = False) -> dict[str, Any]:
    """Bring an archive's sessions back, sealed or plain; what is there already stays.

    Returns ``sessions_recovered, messages_recovered, errors``. Raises Invalid for what is no
    archive, and Damaged or NotFound where a sealed one does not open.
    """
    is_sealed = file.read(len(container.MAGIC)) == container.MAGIC
    file.seek(0)
    plain = _opened(user, file) if is_sealed else file
    chats = exchange.read(plain, "chat_backup.zip")
    naming = Naming.KEPT if is_sealed else Naming.DERIVED
    report = exchange.import_transcripts(
        user, _unless_erased(chats) if is_sealed else chats, naming=naming, dry_run=dry_run
    )
    back = [one for one in report.outcomes if one.outcome in ("new", "extended")]
    return {
        "sessions_recovered": len(back),
        "messages_recovered": sum(one.messages for one in back),
        "errors": _missing(plain)
        + [f"{one.where}: {one.reason}" for one in report.outcomes if one.outcome == "failed"],
    }


def folder() -> Path:
    """Return where sealed archives are kept."""
    return Path(settings.HOME) / "backups" / "archives"


def discard(account: Account) -> int:
    """Remove the files of an account's archives, listed or not; return how many. Part of erasing.

    Raises Unavailable.
    """
    listed = {row.counts.get("file") for row in of(account)}
    try:
        files = [path for path in folder().glob("*") if path.is_file()]
        gone = [one for one in files if one.name in listed or _owner(one) == str(account.uuid)]
        for path in gone:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(f"{error.filename} cannot be removed: {error.strerror}.") from error
    return len(gone)


def of(account: Account) -> QuerySet[Backup, Backup]:
    """Return the archives that are listed of an account."""
    return Backup.objects.filter(account=account, kind=Backup.Kind.ARCHIVE)


def _missing(file: BinaryIO) -> list[str]:
    """Return an error where an archive holds fewer sessions than it says."""
    said, held = zipped.sessions(file)
    if held >= said:
        return []
    return [f"metadata.json: {said:,} sessions were backed up, {held:,} are in the archive."]


def _unless_erased(chats: Iterable[Transcript | Problem]) -> Iterator[Transcript | Problem]:
    """Yield chats without what was purged since; of a chat that was, only that it stays so."""
    entries = ledger.read()
    sessions = {str(entry.session) for entry in entries if entry.session and not entry.messages}
    messages = {str(uuid) for entry in entries for uuid in entry.messages}
    for chat in chats:
        if isinstance(chat, Problem):
            yield chat
        elif chat.id in sessions:
            yield Problem(chat.where, chat.id, chat.title, "It was removed for good since.")
        else:
            chat.turns = [_emptied(turn) if turn.id in messages else turn for turn in chat.turns]
            yield chat


def _emptied(turn: Turn) -> Turn:
    gone = turn.deleted or timezone.now()
    return Turn(turn.id, turn.parent, turn.role, "", created=turn.created, deleted=gone)


def _last(account: Account) -> Backup | None:
    last = of(account).filter(session=None).order_by("-pk").first()
    # Before a restore of the site the same number was another Change.
    return last if last is not None and last.counts.get("epoch") == account.epoch else None


def _write(archive: zipfile.ZipFile, user: Any, session: Session) -> Iterator[None]:
    (exported,) = exporting.export_sessions(user, [session])
    with archive.open(f"sessions/{session.uuid}.json", "w", force_zip64=True) as member:
        for piece in native.write_session(exported):
            member.write(piece)
            yield
    yield


def _record(archive: Archive, account: Account, path: Path, name: str, size: int) -> None:
    known = {"seq": account.seq, "epoch": account.epoch}  # as of before it was read
    with Operation(account, account, "backup.archive") as op:
        if Account.objects.filter(pk=op.account.pk, erased_at__isnull=False).exists():
            raise Conflict("This account was erased.")
        row = Backup(account=op.account, kind=Backup.Kind.ARCHIVE, chain=op.account.uuid)
        row.name, row.size, row.at = name, path.stat().st_size, archive.at
        row.session = archive.session
        row.created_at = row.verified_at = op.at
        row.counts = {**known, "file": path.name, "plain": size}
        row.changed = op.record("backup", row.uuid)
        row.save(force_insert=True)


def _owner(path: Path) -> object:
    """Return whose archive a file says it is."""
    with suppress(Damaged), path.open("rb") as file:
        return container.header_of(file).get("account")
    return None


def _context(account: Account) -> Context:
    return Context("archive", "key", account.uuid)


def _wrap(account: Account, key: bytes) -> bytes:
    return crypto.seal(keyring.account_keys(account).rows, key, _context(account))


def _opened(user: Any, file: BinaryIO) -> BinaryIO:
    header = container.header_of(file)
    account = accounts.of(user)
    if header.get("layout") != "archive" or header.get("account") != str(account.uuid):
        raise NotFound("This is not an archive of this account.")
    try:
        wrapped = b64decode(str(header.get("key")), validate=True)
    except ValueError:
        raise Damaged("The archive's key cannot be read.") from None
    key = crypto.unseal(keyring.account_keys(account).rows, wrapped, _context(account))
    file.seek(0)
    return container.seekable(file, key)


class _Sink(io.RawIOBase):
    """Takes what a zip writes, and gives it away."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken
