"""Which containers bring back a moment: a base, and the segments that lead past it.

Everything is read from the storage, for the database may be what was lost. What a header says in
the clear decides nothing by itself: each container that a plan counts on is one that it names, to
be opened and proved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from chathistory.exceptions import Damaged, Invalid, NotFound
from chathistory.models import Backup

from . import contents, keysets, store
from .store import Place

#: Longer than an operation waits for its lock: how late a segment may bring a Change of before.
SLACK = timedelta(seconds=60)
#: How long the journal can undo.
UNDONE = timedelta(days=35)


@dataclass(frozen=True, slots=True)
class Part:
    """A container of the storage, and what its header says."""

    at: Place
    header: dict[str, Any]

    @property
    def moment(self) -> datetime:
        """Return the time up to which everything is in it."""
        return datetime.fromisoformat(self.header["at"])

    @property
    def site(self) -> str:
        """Return which site made it."""
        return str(self.header["site"])

    @property
    def time(self) -> tuple[str, int]:
        """Return what two containers share between which a journal leads."""
        return self.site, int(self.header["epoch"])

    @property
    def since(self) -> datetime:
        """Return the time of a segment's earliest Change."""
        return datetime.fromisoformat(self.header["since"] or self.header["at"])


@dataclass(frozen=True, slots=True)
class Plan:
    """How a moment is brought back: the base first, then its segments in order."""

    at: datetime
    parts: tuple[Part, ...]
    #: The first segment that holds nothing of then: opened all the same, to believe it.
    beyond: Part | None = None
    #: Whose; None for the whole site.
    account: UUID | None = None
    session: UUID | None = None

    @property
    def until(self) -> datetime:
        """Return what time it brings back: ``at``, or earlier where no backup goes so far."""
        return self.at if self.beyond else min(self.at, self.parts[-1].moment)

    @property
    def epoch(self) -> int:
        """Return the site's epoch at that time."""
        return int(self.parts[0].header["epoch"])

    @property
    def layout(self) -> str:
        """Return what the base is: ``file`` or ``rows``."""
        return str(self.parts[0].header["layout"])

    @property
    def is_of_site(self) -> bool:
        """Tell whether its base holds everybody, and with it everything that can be undone."""
        return "account" not in self.parts[0].header


def plan(
    at: datetime,
    account: UUID | None = None,
    session: UUID | None = None,
    *,
    not_of: str | None = None,
) -> Plan:
    """Return how the site, an account or one of its sessions is brought back to ``at``.

    ``not_of`` is a site (``capture.site``) whose backups count only where there are no others.
    Raises Invalid for a time to come, NotFound naming the oldest where no backup goes back so
    far, and Damaged naming the file where a chain is broken.
    """
    if at > timezone.now():
        raise Invalid(_("This time is yet to come."), field="at")
    known, closed = _bases(account, session)
    bases = [one for one in known if one.site != not_of] or known
    site = [one for one in bases if "account" not in one.header]
    parts, beyond = _reaching(at, site)
    if not parts:
        parts = [one for one in bases if "account" in one.header and one.moment <= at][-1:]
    if not parts or (beyond is None and parts[-1].moment < at):
        _refuse_closed(closed, parts)
        _refuse_lost(at, account, session, parts, [one.at for one in known])
    if not parts:
        _refuse(at, bases)
    return Plan(at, tuple(parts), beyond, account, session)


def _refuse_closed(closed: dict[Place, Damaged], parts: Sequence[Part]) -> None:
    """Raise where a base that cannot be read may be the one that is wanted."""
    old = Backup.objects.filter(at__lte=parts[0].moment) if parts else Backup.objects.none()
    known = set(old.values_list("name", flat=True))
    for place, error in closed.items():
        if place.digest not in known:
            raise error


def _refuse_lost(
    at: datetime,
    account: UUID | None,
    session: UUID | None,
    parts: Sequence[Part],
    found: Sequence[Place],
) -> None:
    """Raise where a base that is listed, and that may be wanted, is lost or says another thing."""
    mine = Q(account=None) | Q(account__uuid=account, session=None)
    listed = Backup.objects.filter(mine | Q(session=session, session__isnull=False), number=0)
    listed = listed.exclude(kind=Backup.Kind.ARCHIVE).filter(at__lte=at)
    if parts:
        listed = listed.filter(at__gt=parts[0].moment)
    for row in listed.order_by("-at"):
        place = Place(row.chain, row.number, row.name)
        if not store.exists(place):
            raise Damaged(f"{place} is missing from the backup storage.")
        if place not in found:
            raise Damaged(f"{place}: It is not the backup that is listed.")


def _refuse(at: datetime, bases: Sequence[Part]) -> None:
    message = _("No backup found for timestamp %s.") % at.isoformat()
    if bases:
        oldest = min(one.moment for one in bases).isoformat()
        message += " " + _("The oldest is of %s.") % oldest
    raise NotFound(message)


def _bases(account: UUID | None, session: UUID | None) -> tuple[list[Part], dict[Place, Damaged]]:
    """Return the full backups that may serve, oldest first, and why others cannot be read.

    Which one is taken depends on what their headers say, so these are proved.
    """
    found, closed, keys = [], {}, keysets.load().containers
    for place in store.places():
        if place.number == 0:
            try:
                if _serves(contents.header(place), account, session):
                    found.append(_proved(place, keys.get(place.digest)))
            except Damaged as error:
                closed[place] = error
    return sorted(found, key=lambda one: one.moment), closed


def _proved(place: Place, key: bytes | None) -> Part:
    if key is None:
        raise Damaged(f"{place}: No key set has its key.")
    with store.opened(place) as file:
        return Part(place, contents.read(file, key, place).header)


def _serves(header: dict[str, Any], account: UUID | None, session: UUID | None) -> bool:
    if "account" not in header:
        return True
    if header["account"] != str(account):
        return False
    return "session" not in header or header["session"] == str(session)


def _reaching(at: datetime, bases: Sequence[Part]) -> tuple[list[Part], Part | None]:
    """Return the newest base of by then with its segments, and the first that is beyond.

    Where its chain ends before, a later base can be undone, as long as its journal goes back.
    """
    before = [one for one in bases if one.moment <= at]
    if not before:
        return [], None
    parts, beyond = _chain(before[-1], at)
    # After the site was written over, or made anew, a journal does not lead back.
    later = [one for one in bases if one.moment > at and one.time == parts[0].time]
    is_short = beyond is None and parts[-1].moment < at
    if is_short and later and later[0].moment - at < UNDONE:
        return [later[0]], None
    return parts, beyond


def _chain(base: Part, at: datetime) -> tuple[list[Part], Part | None]:
    """Return a base and its segments, and the first of these that begins well after ``at``."""
    parts, beyond = [base], None
    for place in _segments(base.at):
        part = _next(parts[-1], place)
        if part.since > at + SLACK:
            beyond = part
            break
        parts.append(part)
    if parts[-1].moment - at >= UNDONE:
        raise Damaged(f"{parts[-1].at}: It was made when the journal had forgotten {at}.")
    return parts, beyond


def _next(last: Part, place: Place) -> Part:
    if place.number != last.at.number + 1:
        missing = f"{last.at.chain}/{last.at.number + 1:08d}"
        raise Damaged(f"{missing} is missing from the backup storage; {place} needs it.")
    part = Part(place, contents.header(place))
    if part.header.get("previous") != last.at.digest:
        raise Damaged(f"{place}: It does not follow {last.at}.")
    return part


def _segments(base: Place) -> Iterable[Place]:
    """Return a chain's segments. Raises Damaged where one is there twice, or is lost."""
    places = [one for one in store.places(base.chain) if one != base]
    for before, after in zip([base, *places], places, strict=False):
        if before.number == after.number:
            raise Damaged(f"{after}: {before} has the same number.")
    listed = Backup.objects.filter(chain=base.chain, kind__in=("full", "incremental"))
    held = {base.digest, *(one.digest for one in places)}
    for chain, number, name in listed.order_by("number").values_list("chain", "number", "name"):
        if name not in held:
            raise Damaged(f"{Place(chain, number, name)} is missing from the backup storage.")
    return places
