"""``chat_export``: take chats out into a file."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from chathistory.actions import exchange
from chathistory.exceptions import ChatHistoryError
from chathistory.formats import native
from chathistory.models import Session
from chathistory.states import State

from ._progress import Bar
from ._users import user_named


class Command(BaseCommand):
    """Export everything of a person, or one session."""

    help = (
        "Export the chats of USER, complete enough to import again. "
        "Example: chat_export --user alice --format json -o alice.json"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whose, which, and where to."""
        parser.add_argument("--user", required=True)
        parser.add_argument("--session", type=UUID, help="only this one")
        parser.add_argument("--format", choices=["json"], default="json")
        parser.add_argument(
            "-o", "--output", required=True, help="a file, or - for standard output"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Write beside, then rename: a file that is there is a whole one."""
        user = user_named(options["user"])
        rows = (
            Session.objects.mine(user).exclude(state=State.DELETED).select_related("account__user")
        )
        if options["session"]:
            rows = rows.filter(uuid=options["session"])
            if not rows.exists():
                raise CommandError("There is no such session.")
        try:
            with Bar() as bar:
                sessions = _counted(rows.order_by("pk").iterator(50), rows.count(), bar)
                pieces = native.write(exchange.export_sessions(user, sessions))
                self._write(options["output"], pieces)
        except OSError as error:
            raise CommandError(f"{options['output']}: {error.strerror}.") from None
        except ChatHistoryError as error:
            raise CommandError(str(error)) from None

    def _write(self, output: str, pieces: Any) -> None:
        if output == "-":
            sys.stdout.buffer.writelines(pieces)
            sys.stdout.buffer.flush()
            return
        target = Path(output)
        part = target.with_name(f"{target.name}.part")
        try:
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def _counted(sessions: Iterator[Session], total: int, bar: Bar) -> Iterator[Session]:
    for done, session in enumerate(sessions, start=1):
        yield session
        bar(done, total)
