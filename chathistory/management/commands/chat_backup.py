"""``chat_backup``: seal what changed, everything, or one person's archive."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from chathistory import shipper
from chathistory.actions import archives, backup
from chathistory.exceptions import ChatHistoryError, Damaged
from chathistory.models import Backup, Session

from ._progress import Bar
from ._users import user_named


class Command(BaseCommand):
    """Back up the site, or write the archive of one person or session; look after what there is."""

    help = (
        "Seal what changed since the last backup of the site; with --full, everything. With "
        "--user or --session, write that person's or session's sealed archive instead: with "
        "--full all of it, else what changed since the last. --ship goes on doing so, --verify "
        "reads every backup of the site, --expire drops those that the policy does not keep. "
        "Examples: chat_backup --full; chat_backup --user alice; chat_backup --expire --dry-run"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what, and how much of it."""
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--full", action="store_true", help="everything, whatever is there")
        what.add_argument(
            "--ship", action="store_true", help="go on until stopped, every few seconds"
        )
        what.add_argument("--verify", action="store_true", help="read them from end to end")
        what.add_argument("--expire", action="store_true", help="drop what need not be kept")
        parser.add_argument("--user", help="the archive of this person")
        parser.add_argument("--session", type=UUID, help="the archive of this session")
        parser.add_argument("--dry-run", action="store_true", help="only say what --expire drops")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Make it, and say what was made."""
        _check(options)
        try:
            if options["user"] is not None or options["session"]:
                self._archive(options["user"], options["session"], options["full"])
            elif options["ship"]:
                shipper.run()
            elif options["verify"]:
                self._verify()
            elif options["expire"]:
                self._expire(options["dry_run"])
            else:
                self._site(options["full"])
        except ChatHistoryError as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(f"The database refuses: {error}.") from None

    def _verify(self) -> None:
        """Read every backup, and name all that are damaged."""
        rows = Backup.objects.exclude(kind=Backup.Kind.ARCHIVE).order_by("pk")
        wrong = []
        with Bar() as bar:
            for done, row in enumerate(rows, start=1):
                try:
                    backup.verify(row)
                except Damaged as error:
                    wrong.append(str(error))
                bar(done, len(rows))
        if wrong:
            raise CommandError("\n".join(wrong))
        self.stdout.write(f"{len(rows)} backups are whole.")

    def _expire(self, dry_run: bool) -> None:
        """Drop, or name, what the policy does not keep."""
        dropped = backup.expire(dry_run)
        for row in dropped:
            self.stdout.write(f"{row.kind} of {row.at.isoformat()}: {row.size:,} bytes")
        self.stdout.write(f"{len(dropped)} {'would be' if dry_run else 'were'} dropped.")

    def _site(self, full: bool) -> None:
        with Bar() as bar:
            made = backup.full(step=bar) if full else backup.incremental()
        if made is None:
            self.stdout.write("Nothing changed since the last backup.")
            return
        rows = ", ".join(f"{count:,} {name}" for name, count in made.counts.items() if count)
        self.stdout.write(f"{made.kind} {made.name}: {made.size:,} bytes; {rows or 'no rows'}")

    def _archive(self, name: str | None, session: UUID | None, full: bool) -> None:
        user = _owner(session) if session and name is None else user_named(name or "")
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


def _check(options: dict[str, Any]) -> None:
    alone = options["ship"] or options["verify"] or options["expire"]
    if alone and (options["user"] is not None or options["session"]):
        raise CommandError("--ship, --verify and --expire are about the whole site.")
    if options["dry_run"] and not options["expire"]:
        raise CommandError("--dry-run goes with --expire.")


def _owner(session: UUID) -> Any:
    found = Session.objects.select_related("account__user").filter(uuid=session).first()
    if found is None or found.account.user is None:
        raise CommandError("There is no such session.")
    return found.account.user
