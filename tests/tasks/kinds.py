"""Kinds of jobs for sites that tests start."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from uuid import uuid5

from chathistory import registry
from chathistory.actions import messages
from chathistory.actions.working import Work
from chathistory.models import Session


def note(path: str, what: str) -> None:
    """Say in a file what happened in which process; one line is written whole."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(f"{what} {os.getpid()}\n")


@registry.job("test.slow")
def slow(work: registry.Work) -> dict[str, Any]:
    """Take some time, a tenth of a second a step."""
    note(work.arguments["notes"], "begun")
    steps = int(10 * work.arguments["seconds"])
    for at in range(steps):
        work.step(at, steps)
        time.sleep(0.1)
    note(work.arguments["notes"], "ended")
    return {"steps": steps}


@registry.job("test.effect", public=True, takes={"sessions"})
def effect(work: Work) -> dict[str, Any]:
    """Say something in a session, once, whatever happens; note each attempt in the ledger."""
    ledger = os.environ["TEST_LEDGER"]
    note(ledger, f"begun {work.uuid}")
    session = Session.objects.reach(work.account.user, work.arguments["sessions"][0])
    for at in range(3):
        work.step(at, 3)
        time.sleep(0.1)
    said = uuid5(work.uuid, "effect")
    messages.append(session, work.account.user, "user", f"{work.uuid}", message_id=said)
    time.sleep(0.1)  # it may die between its effect and its end
    note(ledger, f"ended {work.uuid}")
    return {"message": str(said)}
