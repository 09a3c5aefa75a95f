"""``chat_import``: bring chats in from a file."""

from __future__ import annotations

from argparse import ArgumentParser
from io import UnsupportedOperation
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chathistory.actions import databases, exchange
from chathistory.actions.planning import Outcome
from chathistory.exceptions import ChatHistoryError
from chathistory.formats import FORMATS
from chathistory.stores import reading

from ._progress import Bar, Reading
from ._users import user_named


class Command(BaseCommand):
    """Import another product's export or our own."""

    help = (
        "Import chats from FILE, whose format its content tells: "
        f"{', '.join(kind.description for kind in FORMATS.values())}, or a database of llm, "
        "openai-agents, llama-index or LangChain (SQLite). "
        "The same file again adds nothing. Example: chat_import export.zip --user alice"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the file, the owner and how."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--user", required=True, help="whose account it goes into")
        parser.add_argument(
            "--format", metavar="NAME", help=f"take it for one of: {', '.join(FORMATS)}"
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would come in")
        parser.add_argument("--copy", action="store_true", help="make new sessions of everything")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Report each chat that failed, in a dry run each that would come, then the totals.

        Fails, after that, where a chat did or where there is none but empty ones.
        """
        user = user_named(options["user"])
        try:
            report = self._import(user, options)
        except UnsupportedOperation:
            raise CommandError(f"{options['file']} is no file: it cannot be read twice.") from None
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be read: {error.strerror}.") from None
        except KeyboardInterrupt:
            raise CommandError("Stopped. The same file again brings in the rest.") from None
        except ChatHistoryError as error:
            raise CommandError(str(error)) from None
        self._print(report)
        _judge(report)

    def _import(self, user: Any, options: dict[str, Any]) -> exchange.Report:
        path, kind = options["file"], options["format"]
        how = {"copy": options["copy"], "dry_run": options["dry_run"]}
        with Bar() as bar:
            if not kind and reading.is_database(path):
                return databases.import_database(user, path, step=bar, **how)
            with Reading(path, bar) as file:
                return exchange.import_file(user, file, format_name=kind, **how)

    def _print(self, report: exchange.Report) -> None:
        for one in report.outcomes:
            if one.outcome == "failed":
                failed = f"{one.where} {one.title or ''}: failed: {one.reason}"
                self.stderr.write(_shown(failed))
            elif report.dry_run:
                self.stdout.write(_shown(_previewed(one)))
            if one.note:
                self.stdout.write(_shown(f"{one.where} {one.title or ''}: {one.note}"))
        totals = report.as_dict()
        said = "would add" if report.dry_run else "added"
        self.stdout.write(
            f"{said} {totals['messages_added']:,} messages; sessions: "
            f"{totals['sessions_new']:,} new, {totals['sessions_extended']:,} extended, "
            f"{totals['sessions_unchanged']:,} unchanged, {totals['sessions_empty']:,} empty, "
            f"{totals['sessions_failed']:,} failed"
        )


def _judge(report: exchange.Report) -> None:
    """Raise CommandError where a chat failed, or where nothing came in or was known."""
    if not any(map(report.count, ("new", "extended", "unchanged"))):
        raise CommandError("No chat came in.")
    if failed := report.count("failed"):
        raise CommandError(f"Of {len(report.outcomes):,} chats {failed:,} failed; see above.")


def _previewed(one: Outcome) -> str:
    """Say on a line what would become of a chat."""
    times = [f"{moment:%Y-%m-%d %H:%M}" for moment in (one.first_at, one.last_at) if moment]
    between = " to ".join(dict.fromkeys(times)) or "no times"
    return f"{one.outcome:9} {one.messages:6,}  {between}  {one.format}  {one.title or one.id}"


def _shown(line: str) -> str:
    """Return a line fit for a terminal, which what a file says might command."""
    return "".join(char if char.isprintable() else "?" for char in line)
