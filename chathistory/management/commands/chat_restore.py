"""``chat_restore``: bring back a point in time, or what is in an archive."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from chathistory.actions import archives, restore
from chathistory.exceptions import ChatHistoryError

from ._progress import Bar, Reading
from ._users import user_named


class Command(BaseCommand):
    """Restore the site, a person's chats or one session; or an archive."""

    help = (
        "Restore what was there at TIME (ISO 8601; without a zone the site's own; by default the "
        "newest that is backed up): of the whole site, of --user, or of --session of --user. With "
        "--from, bring back the sessions of an archive of --user. Prints what was done as JSON. "
        "Example: chat_restore --user alice --at 2026-11-23T09:30 --dry-run"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take when or from where, whose, and whether to do it."""
        parser.add_argument("--at", metavar="TIME", help="the point in time")
        parser.add_argument("--from", dest="file", type=Path, metavar="FILE", help="an archive")
        parser.add_argument("--user", help="only this person's")
        parser.add_argument("--session", type=UUID, help="only this session of theirs")
        parser.add_argument("--into", metavar="URL", help="an empty PostgreSQL")
        parser.add_argument("--dry-run", action="store_true", help="say what would change")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Restore, print the report, and fail where something could not be brought back."""
        _check(options)
        try:
            with Bar() as bar:
                report = self._restore(options, bar)
        except ChatHistoryError as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(f"The database refuses: {error}.") from None
        self.stdout.write(json.dumps(report, indent=2, ensure_ascii=False))
        if report["errors"]:
            raise CommandError(f"{len(report['errors'])} could not be brought back; see errors.")

    def _restore(self, options: dict[str, Any], bar: Bar) -> dict[str, Any]:
        user = user_named(options["user"]) if options["user"] is not None else None
        dry_run: bool = options["dry_run"]
        if options["file"]:
            return _from_file(user, options["file"], dry_run, bar)
        at = _time(options["at"])
        if options["session"]:
            return restore.session(user, options["session"], at, dry_run, step=bar)
        if user is not None:
            return restore.account(user, at, dry_run, step=bar)
        if not (dry_run or options["yes"] or options["into"]):
            self._confirm(at)
        return restore.system(at, dry_run, into=options["into"] or "", step=bar)

    def _confirm(self, at: datetime) -> None:
        question = f"Write the whole site over with what it was at {at.isoformat()}? [y/N] "
        self.stderr.write(question, ending="")
        self.stderr.flush()
        try:
            answer = input()
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was restored.")


def _check(options: dict[str, Any]) -> None:
    if options["into"] == "":
        raise CommandError("--into: the address is empty.")
    if options["file"] and (options["at"] is not None or options["session"] or options["into"]):
        raise CommandError("--from goes with --user and --dry-run only.")
    if (options["file"] or options["session"]) and options["user"] is None:
        raise CommandError("--user is needed: whose is it?")
    if options["into"] and options["user"] is not None:
        raise CommandError("--into restores the whole site; leave --user out.")


def _from_file(user: Any, path: Path, dry_run: bool, bar: Bar) -> dict[str, Any]:
    try:
        with Reading(path, bar) as file:
            return archives.restore(user, file, dry_run=dry_run)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}.") from None


def _time(given: str | None) -> datetime:
    if given is None:
        return timezone.now()
    try:
        found = parse_datetime(given)
    except ValueError:
        found = None
    if found is None:
        raise CommandError(f"--at: {given!r} is no time; write it like 2026-11-23T09:30:00Z.")
    aware = found if timezone.is_aware(found) else timezone.make_aware(found)
    try:
        return aware.astimezone(UTC)
    except OverflowError:
        raise CommandError(f"--at: {given!r} is not within the years 1 to 9999 of UTC.") from None
