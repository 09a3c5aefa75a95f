"""``chat_doctor``: whether what is derived says what the rows say."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chathistory.actions import doctor
from chathistory.exceptions import ChatHistoryError

from ._progress import Bar

_WORDS = {
    "wrong": "have other words in it than they say",
    "missing": "are not in it",
    "orphan": "are in it and should not be",
    "unmarked": "are noted wrongly",
}


class Command(BaseCommand):
    """Compare the search index with the rows, and mend it if asked to."""

    help = (
        "Compare the search index with the rows while the site goes on, and tell what differs; "
        "with --repair it is mended. Fails where something is wrong and was not repaired. "
        "Examples: chat_doctor; chat_doctor --repair --json"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whether to mend, and how to tell."""
        parser.add_argument("--repair", action="store_true", help="mend what is wrong")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Look, and tell."""
        try:
            with Bar() as bar:
                report = doctor.run(bar, repair=options["repair"])
        except ChatHistoryError as error:
            raise CommandError(str(error)) from None
        lines = [json.dumps(report, indent=2)] if options["json"] else _told(report["index"])
        for line in lines:
            self.stdout.write(line)
        if not report["ok"]:
            raise CommandError("Something is wrong. Mend it with: chat_doctor --repair")


def _told(found: dict[str, Any]) -> Iterator[str]:
    if found["made_anew"]:
        yield "The search index was made anew."
    if not found["current"]:
        yield "The search index is of another version, and is to be made anew."
    if found["sound"] is False:
        yield "The search index does not hold together."
    if any(found.get("left", {}).values()):
        yield "Of an index at rest there is something left, though none should be."
    for name in ("messages", "titles"):
        yield from _of(name, found[name]) if name in found else ()
    yield from found.get("some", ())


def _of(name: str, part: dict[str, Any]) -> Iterator[str]:
    wrong = [f"{part[what]:,} {said}" for what, said in _WORDS.items() if part[what]]
    told = "; ".join(wrong) or "all as they should be in the index"
    repaired = f" ({part['repaired']:,} repaired)" if part["repaired"] else ""
    yield f"{part['rows']:,} {name}: {told}{repaired}."
    if part["hopeless"]:
        yield f"Of the {name} so many differ that the index has to be made anew."
    if part["closed"]:
        yield f"{part['closed']:,} {name} do not open, and were not compared."
