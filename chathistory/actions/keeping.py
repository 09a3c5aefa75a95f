"""The jobs of backups: made, proved, drilled and dropped by beat; restores and archives."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.utils import timezone
from django.utils.translation import gettext as _

from chathistory import registry
from chathistory.backups import plans, rebuild
from chathistory.exceptions import Conflict, Damaged, MasterKeyError, NotAllowed
from chathistory.models import Backup

from . import archives, backup, restore
from .working import Work

_DAY = 86_400
_SAMPLE = 20  # containers that are read from end to end each day


@registry.job("backup", public=True)
def archive(work: Work) -> dict[str, Any]:
    """Write the archive of who asked for it, for them to fetch: plain, for it is their own."""
    made = archives.prepare(work.account.user)
    assert made is not None  # noqa: S101  (a full one is never None)
    with work.create_file(made.name) as file:
        for piece in made.pieces(work.step):
            file.write(piece)
    return {"file": made.name}


@registry.job("backup.full")
def full(work: registry.Work) -> dict[str, Any]:
    """Back up everything."""
    made = backup.full(step=work.step)
    return {"name": made.name, "bytes": made.size, "counts": made.counts}


@registry.job("backup.incremental")
def incremental(work: registry.Work) -> dict[str, Any]:
    """Seal what changed, if the shipper has not."""
    made = backup.incremental()
    return {"name": made.name, "bytes": made.size} if made else {}


@registry.job("backup.verify")
def verify(work: registry.Work) -> dict[str, Any]:
    """Read some backups from end to end; then drop what is not kept, whatever is damaged."""
    rows, wrong = _sample(), []
    for done, row in enumerate(rows, start=1):
        try:
            backup.verify(row)
        except (Damaged, MasterKeyError) as error:
            wrong.append(str(error))
        work.step(done, len(rows))
    dropped = backup.expire()
    if wrong:
        raise Damaged("\n".join(wrong))
    return {"verified": len(rows), "dropped": len(dropped)}


@registry.job("backup.drill")
def drill(work: registry.Work) -> dict[str, Any]:
    """Restore a random moment of the last week beside the live data, and prove what came out.

    Counts are compared, records are opened and a search is made by ``rebuild``.
    """
    at = _moment()
    if at is None:
        return {"drilled": 0}
    plan = plans.plan(at)
    with rebuild.built(plan, step=work.step) as made:
        problems, counts = made.problems, made.counts
    if problems:
        raise Damaged("\n".join(problems[:20]))
    used = Backup.objects.filter(name__in=[part.at.digest for part in plan.parts])
    used.update(drilled_at=timezone.now())
    return {"drilled": 1, "at": at.isoformat(), "counts": counts}


@registry.job("restore")
def bring_back(work: Work) -> dict[str, Any]:
    """Restore what an operator chose: ``at, user, session, dry_run``; ``by`` is who asked.

    They must be a superuser still: raises NotAllowed.

    One that was stopped half-way is not begun again: what was said since would be undone.
    """
    asked = work.arguments
    at, dry_run = datetime.fromisoformat(asked["at"]), bool(asked["dry_run"])
    if work.again and not dry_run:
        raise Conflict(_("It was stopped half-way. See what is there now, then ask again."))
    users = get_user_model()._default_manager
    by = users.filter(pk=asked["by"], is_active=True, is_superuser=True).first()
    if by is None:
        raise NotAllowed(_("Only a superuser restores what is not their own."))
    if not asked["user"]:
        return restore.system(at, dry_run, user=by, step=work.step)
    owner = users.get(pk=asked["user"])
    if asked["session"]:
        return restore.session(owner, UUID(asked["session"]), at, dry_run, step=work.step)
    return restore.account(owner, at, dry_run, step=work.step)


def _sample() -> list[Backup]:
    """Choose what is read: some that are not proved, the others those that were longest ago.

    Which ones of the first is chance, so that those that stay damaged hide no other for long.
    """
    rows = Backup.objects.exclude(kind=Backup.Kind.ARCHIVE)
    unproved = list(rows.filter(verified_at=None).order_by("?")[: _SAMPLE // 2])
    proved = rows.exclude(verified_at=None).order_by("verified_at", "pk")
    return unproved + list(proved[: _SAMPLE - len(unproved)])


def _moment() -> datetime | None:
    """Choose a time between the oldest base of the last week, or the newest, and the last end."""
    site = Backup.objects.filter(account=None).exclude(kind=Backup.Kind.ARCHIVE)
    bases = site.filter(number=0)
    week = timezone.now() - timedelta(days=7)
    first = bases.filter(at__gte=week).order_by("at").first() or bases.order_by("-at").first()
    last = site.order_by("-at").first()
    if first is None or last is None:
        return None
    until = min(last.at, timezone.now())  # a clock may have been set back
    return first.at + (until - first.at) * random.random()  # noqa: S311  (no secret)


registry.beat("backup.incremental", 300, "Seal what changed, where the shipper has not")
registry.beat("backup.full", _DAY, "Back up everything; the next segments follow it")
registry.beat("backup.verify", _DAY, "Read backups from end to end, and drop those not kept")
registry.beat("backup.drill", 7 * _DAY, "Restore a moment of the last week beside the live data")
