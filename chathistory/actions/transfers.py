"""In and out as jobs: files too large for a request come in, and whole accounts go out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol
from uuid import UUID

from django.utils.translation import gettext as _

from chathistory import registry, spool
from chathistory.exceptions import Conflict, Invalid, NotAllowed, NotFound
from chathistory.formats import writers
from chathistory.models import Account, Job, Session
from chathistory.search import query
from chathistory.states import State

from . import accounts, exchange, exporting, jobs
from .working import Work


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
        how = {"copy": given["copy"], "dry_run": given["dry_run"], "once": work.uuid}
        name, format_name = given["file"], given.get("format")
        report = exchange.import_file(
            user, file, name=name, format_name=format_name, step=work.step, **how
        )
        return report.as_dict()


def _check_export(given: dict[str, Any]) -> None:
    """Raise Invalid for a format that there is not, or for two ways to say what goes out."""
    writers.chosen(given.get("format", "json"))
    if "query" in given:
        query.parse(given["query"])
        if "sessions" in given:
            raise Invalid(_("Either sessions or a query."), field="query")


@registry.job("export", public=True, takes={"sessions", "query", "format"}, check=_check_export)
def _export(work: Work) -> dict[str, Any]:
    """Write the sessions named, those found, or all that is not in the trash, into a file."""
    user, count, given = _owner(work), 0, work.arguments

    def counted() -> Iterator[Session]:
        nonlocal count
        total, sessions = _sessions(user, given)
        for count, session in enumerate(sessions, start=1):
            yield session
            work.step(count, total)

    made = exporting.many(user, counted(), given.get("format", "json"))
    with work.create_file(made.name) as file:
        for piece in made.pieces:
            file.write(piece)
    result = {"sessions": count, "bytes": file.size}
    return result | ({"failed": made.failed} if made.failed else {})


def _sessions(user: Any, given: dict[str, Any]) -> tuple[int | None, Iterator[Session]]:
    if (named := given.get("sessions")) is not None:
        return len(named), (Session.objects.reach(user, uuid) for uuid in named)
    if (asked := given.get("query")) is not None:
        return None, exporting.found(user, asked)
    return everything(user)


def everything(user: Any) -> tuple[int, Iterator[Session]]:
    """Return how many sessions ``user`` has outside of the trash, and each of them."""
    rows = Session.objects.mine(user).exclude(state=State.DELETED).order_by("pk")
    account = Account.objects.filter(user=user).first()
    if account is None:
        return 0, iter(())
    account.user = user

    def mine() -> Iterator[Session]:
        for session in rows.iterator(500):
            # Of all the same: an account and a user made for each would cost more than the chat.
            session.account = account
            yield session

    return rows.count(), mine()


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
