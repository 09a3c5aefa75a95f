"""In from the database files of other programs: for who runs the site, never for an upload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chathistory.formats import Problem, Transcript
from chathistory.stores import reading

from . import exchange
from .exchange import Report, Step
from .planning import Naming


def import_database(
    user: Any,
    path: Path,
    *,
    copy: bool = False,
    dry_run: bool = False,
    step: Step | None = None,
) -> Report:
    """Import every chat of a database file whose kind its tables tell.

    It is read in a child that may use so much time and memory and can do nothing else. ``step``
    is told how many chats are read, and nothing of how many. Raises Invalid when the file as a
    whole is refused, and OSError when it cannot be read.
    """
    return exchange.import_transcripts(
        user,
        _counted(exchange.judged(reading.read(path)), step),
        naming=Naming.NEW if copy else Naming.DERIVED,
        dry_run=dry_run,
    )


def _counted(
    items: Iterator[Transcript | Problem], step: Step | None
) -> Iterator[Transcript | Problem]:
    for count, item in enumerate(items, start=1):
        yield item
        if step is not None:
            step(count, None)
