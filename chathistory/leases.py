"""Who alone does something: a row with a holder and an end, renewed by a thread meanwhile.

A process that dies lets go of it within ``LENGTH``, wherever it ran.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

from django.db import DatabaseError
from django.db.models import Q
from django.utils import timezone

from . import bulk
from .exceptions import Conflict
from .models import Lease

LENGTH = timedelta(seconds=45)
_RENEWED = 10.0  # seconds
_AGAIN = 0.2
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Hold:
    """A lease that is held."""

    name: str
    holder: UUID = field(default_factory=uuid4)

    def sure(self) -> None:
        """Raise Conflict where another has it by now: this process was asleep for too long."""
        if not Lease.objects.filter(name=self.name, holder=self.holder).exists():
            raise Conflict("Another process has taken this over meanwhile.")

    def take(self) -> bool:
        """Take it, where it is free or over. One that ends far ahead was made by a wrong clock."""
        now = timezone.now()
        over = Q(until__lte=now) | Q(until__gt=now + 2 * LENGTH)
        mine = {"holder": self.holder, "until": now + LENGTH}
        if Lease.objects.filter(over, name=self.name).update(**mine):
            return True
        Lease.objects.bulk_create([Lease(name=self.name, **mine)], ignore_conflicts=True)
        return Lease.objects.filter(name=self.name, holder=self.holder).exists()

    def renew(self) -> None:
        """Move its end on."""
        mine = Lease.objects.filter(name=self.name, holder=self.holder)
        mine.update(until=timezone.now() + LENGTH)

    def release(self) -> None:
        """Let go of it."""
        Lease.objects.filter(name=self.name, holder=self.holder).delete()


@contextmanager
def held(name: str, refusal: str, *, wait: float = 0) -> Iterator[Hold]:
    """Do the block alone. Raises Conflict with ``refusal`` when, after ``wait`` seconds, another
    still holds the lease of this name.
    """
    hold, end = Hold(name), time.monotonic() + wait
    while not hold.take():
        if time.monotonic() >= end:
            raise Conflict(refusal)
        time.sleep(_AGAIN)
    done = threading.Event()
    thread = threading.Thread(target=_renew, args=(hold, done), daemon=True)
    thread.start()
    try:
        yield hold
    finally:
        done.set()
        thread.join()
        hold.release()


def _renew(hold: Hold, done: threading.Event) -> None:
    link = bulk.connection(Lease)
    try:
        while not done.wait(_RENEWED):
            try:
                hold.renew()
            except DatabaseError:
                _log.warning("The lease %s could not be renewed.", hold.name)
    finally:
        link.close()
