"""``chat_token``: make an API token."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chathistory import policy
from chathistory.actions import tokens
from chathistory.exceptions import ChatHistoryError

from ._users import user_named


class Command(BaseCommand):
    """Print a new token and nothing else."""

    help = (
        "Make an API token for USER and print it; it is not shown again. "
        "Example: chat_token alice --scope read"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the user and the scopes."""
        parser.add_argument("user")
        parser.add_argument(
            "--scope", action="append", choices=sorted(policy.SCOPES), help="default: all"
        )

    def handle(self, *_args: Any, **options: Any) -> str:
        """Return the token, which Django prints."""
        try:
            return tokens.create(user_named(options["user"]), options["scope"] or policy.SCOPES)
        except ChatHistoryError as error:
            raise CommandError(str(error)) from None
