"""``chat_reindex``: make the search index anew, while the site goes on."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chathistory.actions import indexing
from chathistory.exceptions import ChatHistoryError

from ._progress import Bar
from ._users import user_named


class Command(BaseCommand):
    """Fill a new index beside the one in use, then take it into use."""

    help = (
        "Make the search index anew while the site goes on: searches ask the old one until the "
        "new one is complete. Stopped at any moment, another run goes on from there. "
        "Examples: chat_reindex; chat_reindex --user alice"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whose."""
        parser.add_argument(
            "--user", help="only put in again what is this person's, in the index that is in use"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do it and tell how much went in; fails unless all of it that opens did."""
        user = None if options["user"] is None else user_named(options["user"])
        try:
            with Bar() as bar:
                found = indexing.run(bar, user=user)
        except ChatHistoryError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{found['messages']:,} messages and {found['titles']:,} titles are in.")
        if found["closed"]:
            self.stderr.write(f"{found['closed']:,} do not open, and were left out.")
