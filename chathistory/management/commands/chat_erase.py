"""``chat_erase``: erase everything of a person, and print the proof."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from chathistory.actions import erase, purge
from chathistory.exceptions import ChatHistoryError
from chathistory.models import Account, Session

from ._users import user_named


class Command(BaseCommand):
    """Erase a person: once it has begun there is no way back."""

    help = (
        "Erase everything of USER, the keys last, and print what was removed as JSON. Run again, "
        "it finishes what was cut short. A session on hold stops it unless --override says why; "
        "the reason is kept. Example: chat_erase --user alice --yes"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whom, and what to pass over."""
        whom = parser.add_mutually_exclusive_group(required=True)
        whom.add_argument("--user", help="a user's name, or an account's id where there is no user")
        whom.add_argument(
            "--pending", action="store_true", help="list whose user was deleted, and who waits"
        )
        parser.add_argument("--override", default="", metavar="REASON", help="pass over holds")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Ask, erase, and tell what is gone; fails unless all of it is."""
        if options["pending"]:
            self._show_pending()
            return
        account = _account(options["user"])
        if account and not options["yes"]:
            self._confirm(account)
        try:
            proof = _proof(account, options["override"])
        except ChatHistoryError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(json.dumps(proof, indent=2))
        if proof["files"] == "busy":
            raise CommandError("Others were reading the database all the time: run it again.")

    def _show_pending(self) -> None:
        for account in erase.pending():
            held = Session.objects.filter(account=account, hold=True).count()
            asked = f"{account.erase_asked_at:%Y-%m-%d %H:%M} UTC"
            self.stdout.write(f"{account.uuid}  since {asked}  {held:,} sessions on hold")

    def _confirm(self, account: Account) -> None:
        count = Session.objects.filter(account=account).count()
        whose = f"{account.user or 'nobody'}'s account {account.uuid}"
        question = f"Erase {whose}: {count:,} sessions and all else, for good? [y/N] "
        self.stderr.write(question, ending="")
        self.stderr.flush()
        try:
            answer = input()
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            raise CommandError("Nothing was erased.")


def _proof(account: Account | None, override: str) -> dict[str, Any]:
    if account is not None:
        return erase.erase(account, None, override=override)
    files = purge.scrub(lambda: None)
    return {"account": None, "removed": {}, "files": files, "lapses": "none"}


def _account(name: str) -> Account | None:
    """Return the account of a user, if they have one; where no user is called so, of this id."""
    accounts = Account.objects.select_related("user")
    try:
        return accounts.filter(user=user_named(name)).first()
    except CommandError:
        with suppress(ValueError, Account.DoesNotExist):
            return accounts.get(uuid=UUID(name))
        raise
