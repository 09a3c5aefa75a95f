"""Export: how fast real conversations go out, and how much memory that takes beyond the site."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from .site import person, site
from .table import Row

TITLE = "Export of 129,071 messages of one account, and a PDF of 200 pages and more"
RUNS = 3
_PAGES = 1_500  # messages of the PDF


def rows() -> list[Row]:
    """Return the table's rows."""
    with TemporaryDirectory(prefix="chathistory-bench-") as folder:
        home = Path(folder)
        run("fill", home)
        runs = [run("lines", home) for _ in range(RUNS)]
        pdf = run("pdf", home)
    rate = median(one["rate"] for one in runs)
    growth = max(one["growth"] for one in runs)
    assert pdf["pages"] >= 200, f"the PDF has {pdf['pages']} pages only"
    return [
        Row("export JSON Lines messages/s", rate, "msg/s", 40_000, at_least=True),
        Row("export memory growth", growth, "MB", 64),
        Row(f"export PDF of {pdf['pages']} pages", pdf["seconds"], "s", 10),
    ]


def run(what: str, home: Path) -> dict[str, Any]:
    """Do one part in a process of its own; return what it measured."""
    command = [sys.executable, "-m", "benchmarks.exporting", what, str(home)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def fill() -> dict[str, Any]:
    """Import everything for one owner."""
    from chathistory.actions import exchange  # needs the site

    from .sharegpt import transcripts

    exchange.import_transcripts(person("owner"), transcripts())
    return {}


def lines() -> dict[str, Any]:
    """Write all chats as JSON Lines and throw them away; from the first query to the last byte."""
    from chathistory.actions import exporting, transfers  # needs the site
    from chathistory.models import Message

    owner = person("owner")
    messages = Message.objects.count()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = perf_counter()
    _total, sessions = transfers.everything(owner)
    said = sum(piece.count(b'"parent_id":') for piece in _pieces(exporting, owner, sessions))
    seconds = perf_counter() - start
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert said >= messages, "not every message came out"
    return {"rate": messages / seconds, "growth": growth}


def _pieces(exporting: Any, owner: Any, sessions: Any) -> Iterator[bytes]:
    return iter(exporting.many(owner, sessions, "jsonl").pieces)


def pdf() -> dict[str, Any]:
    """Write one long chat of real conversations as a PDF."""
    from pypdf import PdfReader

    from chathistory.actions import exchange, exporting
    from chathistory.formats.base import Transcript, Turn
    from chathistory.models import Session

    from .sharegpt import texts

    owner = person("reader")
    turns: list[Turn] = []
    for at, text in enumerate(islice(texts(), _PAGES)):
        before = turns[-1].id if turns else None
        turns.append(Turn(str(at), before, ("user", "assistant")[at % 2], text))
    exchange.import_transcripts(owner, [Transcript("bench", "long", turns=turns)])
    session = Session.objects.mine(owner).select_related("account__user").get()
    start = perf_counter()
    made = b"".join(exporting.one(owner, session, "pdf").pieces)
    seconds = perf_counter() - start
    path = Path(sys.argv[2]) / "long.pdf"
    path.write_bytes(made)
    return {"seconds": seconds, "pages": len(PdfReader(path).pages)}


if __name__ == "__main__":
    with site(Path(sys.argv[2])):
        json.dump({"fill": fill, "lines": lines, "pdf": pdf}[sys.argv[1]](), sys.stdout)
