"""``chat_export``: take chats out into a file."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from chathistory.actions import exporting, transfers
from chathistory.exceptions import ChatHistoryError
from chathistory.formats.writers import WRITERS, bundle
from chathistory.models import Session
from chathistory.states import State

from ._progress import Bar
from ._users import user_named


class Command(BaseCommand):
    """Export everything of a person, or one session."""

    help = (
        "Export the chats of USER; json is complete enough to import again. "
        "Example: chat_export --user alice --format json -o alice.json"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whose, which, how, and where to."""
        parser.add_argument("--user", required=True)
        parser.add_argument("--session", type=UUID, help="only this one")
        parser.add_argument("--format", choices=list(WRITERS), default="json")
        parser.add_argument(
            "--layout",
            choices=["tree"],
            help="a file for each chat: OUTPUT/users/<user>/<workflow>/<id>.<suffix>",
        )
        parser.add_argument(
            "-o",
            "--output",
            required=True,
            help="a file, or - for standard output; NAME.zip has a file for each chat and an index",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Write beside, then rename: a file that is there is a whole one."""
        user = user_named(options["user"])
        total, sessions = transfers.everything(user)
        if options["session"]:
            rows = Session.objects.mine(user).exclude(state=State.DELETED)
            found = rows.select_related("account__user").filter(uuid=options["session"]).first()
            if found is None:
                raise CommandError("There is no such session.")
            total, sessions = 1, iter([found])
        try:
            with Bar() as bar:
                self._export(user, _counted(sessions, total, bar), options)
        except OSError as error:
            raise CommandError(f"{options['output']}: {error.strerror}.") from None
        except ChatHistoryError as error:
            raise CommandError(str(error)) from None

    def _export(self, user: Any, sessions: Iterator[Session], options: dict[str, Any]) -> None:
        output, form = options["output"], options["format"]
        if not output:
            raise CommandError("-o needs the name of a file, or - for the standard output.")
        is_zip = output.endswith(".zip")
        if options["layout"] == "tree":
            files = exporting.tree(user, sessions, form)
            if is_zip or output == "-":
                self._write(output, bundle.zipped(files))
            else:
                for file in files:
                    target = Path(output, file.path)
                    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    self._write(str(target), file.pieces)
        elif options["session"] and not is_zip:
            (session,) = sessions
            self._write(output, exporting.one(user, session, form).pieces)
        else:
            self._write_many(exporting.many(user, sessions, form, is_zip=is_zip), output)

    def _write_many(self, made: exporting.File, output: str) -> None:
        if made.name.endswith(".zip") and not output.endswith((".zip", "-")):
            raise CommandError("Many chats in this format are a zip: name the output NAME.zip.")
        self._write(output, made.pieces)
        for session, reason in made.failed.items():
            self.stderr.write(f"{session}: {reason}")
        if made.failed:
            raise CommandError(f"{len(made.failed)} chats could not be written; the others are.")

    def _write(self, output: str, pieces: Any) -> None:
        if output == "-":
            with closing(pieces):
                sys.stdout.buffer.writelines(pieces)
            sys.stdout.buffer.flush()
            return
        target = Path(output).resolve()
        if target.exists() and not target.is_file():  # a pipe or a device is written to as it is
            with target.open("wb") as file:
                file.writelines(pieces)
            return
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            with os.fdopen(_created(part), "wb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def _created(path: Path) -> int:
    """Return a new file that nobody else may read; what was in its place is gone, not followed."""
    path.unlink(missing_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)


def _counted(sessions: Iterator[Session], total: int, bar: Bar) -> Iterator[Session]:
    for done, session in enumerate(sessions, start=1):
        yield session
        bar(done, total)
