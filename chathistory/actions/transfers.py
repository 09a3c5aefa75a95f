"""In and out as jobs: files too large for a request come in, and whole accounts go out."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Protocol
from uuid import UUID

from django.utils.translation import gettext as _

from chathistory import registry, spool
from chathistory.exceptions import Conflict, NotAllowed, NotFound
from chathistory.formats import Problem, Transcript, native
from chathistory.models import Job, Session
from chathistory.states import State

from . import accounts, exchange, jobs
from .working import Work

Item = Transcript | Problem


class Upload(Protocol):
    """A file that lies in the spool, and the key that opens it."""

    uuid: UUID
    key: bytes
    name: str | None


def take_in(
    user: Any,
    upload: Upload,
    *,
    format_name: str | None = None,
    copy: bool = False,
    dry_run: bool = False,
) -> Job:
    """Queue the import of a file in the spool, which from now on belongs to the job.

    Raises Invalid where there is no such format.
    """
    exchange.check_format(format_name)
    arguments = {"file": upload.name or "", "copy": copy, "dry_run": dry_run}
    arguments |= {"format": format_name} if format_name else {}
    key = {"key": upload.key.hex()}
    return jobs.enqueue(accounts.of(user), "import", arguments | key, uuid=upload.uuid)


@registry.job("import")
def _import(work: Work) -> dict[str, Any]:
    """Import an upload; the progress is in kilobytes read. A second run goes on."""
    user, given = _owner(work), work.arguments
    if "key" not in given:
        raise Conflict(_("The site stopped meanwhile, and the file is gone: upload it again."))
    with spool.open_file(work.uuid, bytes.fromhex(given["key"])) as file:
        read = exchange.read(file, given["file"], given.get("format"))
        items = watched(read, file, work.step)
        if given["copy"]:
            items = _copies(items, work.uuid)
        return exchange.import_transcripts(user, items, dry_run=given["dry_run"]).as_dict()


def watched(
    items: Iterator[Item], file: BinaryIO, step: Callable[[int, int], object]
) -> Iterator[Item]:
    """Yield what is read from ``file``, and tell ``step`` how many kilobytes of how many are."""
    total = file.seek(0, io.SEEK_END) // 1000
    file.seek(0)
    for item in items:
        yield item
        step(file.tell() // 1000, total)


def _copies(items: Iterator[Item], job: UUID) -> Iterator[Item]:
    """Yield chats as if they came from a place of their own: the same job makes them once."""
    for item in items:
        if isinstance(item, Transcript):
            item.origin = f"copy {job} {item.origin}"
        yield item


@registry.job("export", public=True, takes={"sessions"})
def _export(work: Work) -> dict[str, Any]:
    """Write the sessions named, or all that is not in the trash, into a file as our JSON."""
    user, count = _owner(work), 0

    def counted() -> Iterator[Session]:
        nonlocal count
        total, sessions = _sessions(user, work.arguments.get("sessions"))
        for count, session in enumerate(sessions, start=1):
            yield session
            work.step(count, total)

    with work.create_file("chats.json") as file:
        for piece in native.write(exchange.export_sessions(user, counted())):
            file.write(piece)
    return {"sessions": count, "bytes": file.size}


def _sessions(user: Any, named: list[str] | None) -> tuple[int, Iterator[Session]]:
    if named is not None:
        return len(named), (Session.objects.reach(user, uuid) for uuid in named)
    rows = Session.objects.mine(user).exclude(state=State.DELETED)
    return rows.count(), rows.select_related("account__user").order_by("pk").iterator(50)


def file_of(user: Any, uuid: UUID) -> tuple[dict[str, Any], Any]:
    """Return what is known of the file that a job of ``user`` left (name, bytes), and the file.

    Raises NotFound where there is none, or no longer.
    """
    job = jobs.reach(user, uuid)
    file = jobs.outcome_of(job).get("file")
    if file is None:
        raise NotFound(_("This job has no file."))
    return file, spool.open_file(job.uuid, bytes.fromhex(file["key"]))


def _owner(work: Work) -> Any:
    """Return whose job it is, who may have been locked out since they asked."""
    user = work.account.user
    if user is None or not user.is_active:
        raise NotAllowed(_("The account's owner may not sign in any more."))
    return user
