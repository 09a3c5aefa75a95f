"""``chat_backup``: seal what changed, everything, or one person's archive."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from chathistory import shipper
from chathistory.actions import archives, backup
from chathistory.exceptions import ChatHistoryError
from chathistory.models import Session

from ._progress import Bar
from ._users import user_named


class Command(BaseCommand):
    """Back up the site, or write the archive of one person or session."""

    help = (
        "Seal what changed since the last backup of the site; with --full, everything. With "
        "--user or --session, write that person's or session's sealed archive instead: with "
        "--full all of it, else what changed since the last. Examples: chat_backup --full; "
        "chat_backup --user alice"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what, and how much of it."""
        parser.add_argument("--full", action="store_true", help="everything, whatever is there")
        parser.add_argument("--user", help="the archive of this person")
        parser.add_argument("--session", type=UUID, help="the archive of this session")
        parser.add_argument(
            "--ship", action="store_true", help="go on until stopped, every few seconds"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Make it, and say what was made."""
        if options["ship"]:
            if options["full"] or options["user"] or options["session"]:
                raise CommandError("--ship stands alone.")
            shipper.run()
            return
        try:
            if options["user"] or options["session"]:
                self._archive(options["user"], options["session"], options["full"])
            else:
                self._site(options["full"])
        except ChatHistoryError as error:
            raise CommandError(str(error)) from None

    def _site(self, full: bool) -> None:
        with Bar() as bar:
            made = backup.full(step=bar) if full else backup.incremental()
        if made is None:
            self.stdout.write("Nothing changed since the last backup.")
            return
        rows = ", ".join(f"{count:,} {name}" for name, count in made.counts.items() if count)
        self.stdout.write(f"{made.kind} {made.name}: {made.size:,} bytes; {rows or 'no rows'}")

    def _archive(self, name: str | None, session: UUID | None, full: bool) -> None:
        user = _owner(session) if session and not name else user_named(name or "")
        archive = archives.prepare(user, session=session, full=full)
        if archive is None:
            self.stdout.write("Nothing changed since the last archive.")
            return
        try:
            with Bar() as bar:
                path: Path = archives.store(archive, archives.folder(), bar)
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from None
        self.stdout.write(str(path))


def _owner(session: UUID) -> Any:
    found = Session.objects.select_related("account__user").filter(uuid=session).first()
    if found is None or found.account.user is None:
        raise CommandError("There is no such session.")
    return found.account.user
