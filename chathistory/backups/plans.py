"""Which containers bring back a moment: a base, and the segments that lead past it.

Everything is read from the storage, for the database may be what was lost. What a header says in
the clear decides nothing by itself: each container that a plan counts on is one that it names, to
be opened and proved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from chathistory.exceptions import Damaged, Invalid, NotFound
from chathistory.models import Backup, Session

from . import capture, contents, keysets, store
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
    #: How many sessions a base holds.
    sessions: int = 0

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
    def began(self) -> datetime | None:
        """Return when a base's epoch began; None for a site's first."""
        said = self.header["began"]
        return datetime.fromisoformat(said) if said else None

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


def plan(at: datetime, account: UUID | None = None, session: UUID | None = None) -> Plan:
    """Return how the site, an account or one of its sessions is brought back to ``at``.

    A site's own backups are preferred; by one that is empty, those that hold anything. Raises
    Invalid for a time to come, NotFound naming the oldest where no backup goes back so far, and
    Damaged naming the file where a chain is broken.
    """
    if at > timezone.now():
        raise Invalid(_("This time is yet to come."), field="at")
    known, closed = _bases(account, session)
    own = capture.site() if Session.objects.exists() else None
    bases = [one for one in known if (one.site == own if own else one.sessions)] or known
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
    bases = [place for place in store.places() if place.number == 0]
    found, closed, keys = [], {}, keysets.containers(place.digest for place in bases)
    for place in bases:
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
        found = contents.read(file, key, place)
    return Part(place, found.header, int(found.manifest["counts"].get("session", 0)))


def _serves(header: dict[str, Any], account: UUID | None, session: UUID | None) -> bool:
    if "account" not in header:
        return True
    if header["account"] != str(account):
        return False
    return "session" not in header or header["session"] == str(session)


def _reaching(at: datetime, bases: Sequence[Part]) -> tuple[list[Part], Part | None]:
    """Return the newest base of by then with its segments, and the first that is beyond.

    Where its chain ends before, a later base can be undone, as long as its journal goes back; and
    so can the first after the site was written over, back to when that was.
    """
    mine = _of_time(at, bases)
    before = [one for one in mine if one.moment <= at]
    parts, beyond = _chain(before[-1], at) if before else ([], None)
    later = next((one for one in mine if one.moment > at), None)
    is_short = beyond is None and (not parts or parts[-1].moment < at)
    if is_short and later and later.moment - at < UNDONE and (before or later.began):
        return [later], None
    return parts, beyond


def _of_time(at: datetime, bases: Sequence[Part]) -> list[Part]:
    """Return the bases of the epoch that it was at ``at``: no journal leads to another."""
    first = datetime.min.replace(tzinfo=UTC)
    by_then = [one for one in bases if (one.began or first) <= at]
    if not by_then:
        return []
    last = max(by_then, key=lambda one: (one.began or first, one.moment <= at, one.moment))
    return [one for one in bases if one.time == last.time]


def _chain(base: Part, at: datetime) -> tuple[list[Part], Part | None]:
    """Return a base and its segments, and the first of these that begins well after ``at``."""
    parts, beyond = [base], None
    held, listed = _numbered(store.places(base.at.chain)), _listed(base.at.chain)
    for number in range(1, 1 + max(held.keys() | listed.keys())):
        if number not in held and number not in listed:
            missing = f"{base.at.chain}/{number:08d}"
            raise Damaged(f"{missing} is missing from the backup storage; later ones need it.")
        part = _next(parts[-1], held.get(number, []), listed.get(number, []))
        if part.since > at + SLACK:
            beyond = part
            break
        parts.append(part)
    if parts[-1].moment - at >= UNDONE:
        raise Damaged(f"{parts[-1].at}: It was made when the journal had forgotten {at}.")
    return parts, beyond


def _next(last: Part, held: Sequence[Place], listed: Sequence[Place]) -> Part:
    """Return the one segment of a number. Raises Damaged where it is lost, or there twice."""
    if lost := [one for one in listed if one not in held]:
        raise Damaged(f"{lost[0]} is missing from the backup storage.")
    if len(held) > 1:
        raise Damaged(f"{held[1]}: {held[0]} has the same number.")
    part = Part(held[0], contents.header(held[0]))
    if part.header.get("previous") != last.at.digest:
        raise Damaged(f"{part.at}: It does not follow {last.at}.")
    return part


def _listed(chain: UUID) -> dict[int, list[Place]]:
    kinds = (Backup.Kind.FULL, Backup.Kind.SEGMENT)
    rows = Backup.objects.filter(chain=chain, kind__in=kinds).order_by("number")
    return _numbered(Place(*row) for row in rows.values_list("chain", "number", "name"))


def _numbered(places: Iterable[Place]) -> dict[int, list[Place]]:
    found: dict[int, list[Place]] = {}
    for one in places:
        found.setdefault(one.number, []).append(one)
    return found
