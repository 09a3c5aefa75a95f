"""Whether what is derived says what the rows say, and mending it where it does not.

The first thing looked at is the search index. Rows themselves are never changed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError

from chathistory import records, registry
from chathistory.models import Account
from chathistory.search import upkeep
from chathistory.search.base import index
from chathistory.search.compare import PROBLEMS, Compared, Comparison

from . import accounts, indexing, jobs

KIND = "doctor"
_WEEK = 7 * 86_400
_NAMED = 20  # rows that a report names

Step = Callable[..., None]


def run(step: Step = lambda done, total=None: None, *, repair: bool = False) -> dict[str, Any]:
    """Look now, and mend if ``repair``; ``step`` is told how far. Returns the report of ``look``.

    Raises Conflict where mending needs a re-index that another is at.
    """
    account = accounts.system()
    job = jobs.run(account, KIND, {"repair": repair}, lambda: look(account, step, repair=repair))
    report: dict[str, Any] = records.open_job(job, "result")["result"]
    return report


@registry.job(KIND)
def visit(work: registry.Work) -> dict[str, Any]:
    """Look and mend, as beat asks for from time to time. Raises Conflict as ``run`` does."""
    return look(work.account, work.step, repair=True)


registry.beat(KIND, _WEEK, "Compare the search index with the rows, and mend it")


def look(account: Account, step: Step, *, repair: bool) -> dict[str, Any]:
    """Compare the search index with the rows.

    Returns ``{ok, index: {...}}``: how many rows were looked at, how many of each problem there
    are, some of them by name, and whether they were repaired. ``ok`` is False where something is
    wrong and was not.
    """
    found = _index(account, step, repair=repair)
    if not found["ok"] and repair:
        indexing.run(step)
        found = _index(account, step, repair=True) | {"made_anew": True}
    return {"ok": found["ok"], "index": found}


def _index(account: Account, step: Step, *, repair: bool) -> dict[str, Any]:
    if not index().at_rest:
        return _at_rest(repair=repair)
    report: dict[str, Any] = {"made_anew": False, "current": index().generations.is_current}
    sound = index().is_sound()
    report["sound"] = sound
    if not report["current"] or sound is False:
        return report | {"ok": False}
    progress = _Progress(step)
    try:
        parts = {
            name: Comparison(account, progress, titles=name == "titles", repair=repair).run()
            for name in ("messages", "titles")
        }
    except DatabaseError:  # SQLite could not read it
        return report | {"sound": False, "ok": False}
    named = [
        f"{name}: {one.row} {one.what}" for name, part in parts.items() for one in part.problems
    ]
    is_well = repair or not any(part.problems for part in parts.values())
    is_well = is_well and not any(part.hopeless for part in parts.values())
    told = {name: _told(part) for name, part in parts.items()}
    return report | told | {"some": named[:_NAMED], "ok": is_well}


def _at_rest(*, repair: bool) -> dict[str, Any]:
    """Tell whether anything is at rest of an index that keeps nothing there."""
    if repair:
        upkeep.settle()
    found = upkeep.left()
    return {"made_anew": False, "current": True, "sound": True, "left": found} | {
        "ok": not any(found.values())
    }


def _told(part: Compared) -> dict[str, Any]:
    counts = Counter(one.what for one in part.problems)
    return {
        "rows": part.rows,
        "closed": part.closed,
        **{name: counts[name] for name in PROBLEMS},
        "hopeless": part.hopeless,
        "repaired": sum(one.mended for one in part.problems),
    }


class _Progress:
    """Counts the steps of a comparison."""

    def __init__(self, step: Step) -> None:
        self._step, self._done = step, 0

    def __call__(self) -> None:
        self._done += 1
        self._step(self._done)
