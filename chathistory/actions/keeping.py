"""The jobs of backups: made, proved, drilled and dropped by beat; restores and archives."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from chathistory import bulk, registry
from chathistory.backups import plans, rebuild
from chathistory.exceptions import Conflict, Damaged
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
    """Read some backups from end to end, the longest unread first; then drop what is not kept."""
    rows = list(_unread()[:_SAMPLE])
    wrong = []
    for done, row in enumerate(rows, start=1):
        try:
            backup.verify(row)
        except Damaged as error:
            wrong.append(str(error))
        work.step(done, len(rows))
    if wrong:
        raise Damaged("\n".join(wrong))
    return {"verified": len(rows), "dropped": len(backup.expire())}


@registry.job("backup.drill")
def drill(work: registry.Work) -> dict[str, Any]:
    """Restore a random moment of the last week beside the live data, and prove what came out.

    Counts are compared, records are opened and a search is made by ``rebuild``.
    """
    newest = Backup.objects.filter(account=None).exclude(kind=Backup.Kind.ARCHIVE).order_by("-at")
    last = newest.first()
    if last is None:
        return {"drilled": 0}
    week = timezone.now() - timedelta(days=7)
    some = list(newest.filter(at__gte=week)[:1_000]) or [last]
    chosen = random.choice(some)  # noqa: S311  (no secret)
    with rebuild.built(plans.plan(chosen.at), step=work.step) as made:
        problems, counts = made.problems, made.counts
    if problems:
        raise Damaged("\n".join(problems[:20]))
    chosen.drilled_at = timezone.now()
    bulk.update(chosen, ["drilled_at"])
    return {"drilled": 1, "at": chosen.at.isoformat(), "counts": counts}


@registry.job("restore")
def bring_back(work: Work) -> dict[str, Any]:
    """Restore what an operator chose: ``at, user, session, dry_run``; ``by`` is who asked.

    One that was stopped half-way is not begun again: what was said since would be undone.
    """
    asked = work.arguments
    at, dry_run = datetime.fromisoformat(asked["at"]), bool(asked["dry_run"])
    if work.again and not dry_run:
        raise Conflict(_("It was stopped half-way. See what is there now, then ask again."))
    users = get_user_model()._default_manager
    if not asked["user"]:
        by = users.filter(pk=asked["by"]).first()
        return restore.system(at, dry_run, user=by or AnonymousUser(), step=work.step)
    owner = users.get(pk=asked["user"])
    if asked["session"]:
        return restore.session(owner, UUID(asked["session"]), at, dry_run, step=work.step)
    return restore.account(owner, at, dry_run, step=work.step)


def _unread() -> QuerySet[Backup, Backup]:
    rows = Backup.objects.exclude(kind=Backup.Kind.ARCHIVE)
    return rows.order_by(F("verified_at").asc(nulls_first=True), "pk")


registry.beat("backup.incremental", 300, "Seal what changed, where the shipper has not")
registry.beat("backup.full", _DAY, "Back up everything; the next segments follow it")
registry.beat("backup.verify", _DAY, "Read backups from end to end, and drop those not kept")
registry.beat("backup.drill", 7 * _DAY, "Restore a moment of the last week beside the live data")
