"""Celery's beat with the admin's schedule: one at a time, whatever becomes of the clock.

Any number may run; who holds the lease ticks. The others look every few seconds whether it has
ended, which it does half a minute after its holder died.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db import DatabaseError, IntegrityError
from django.db.models import Q
from django.utils import timezone
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry, logger

from chathistory.models import Lease

NAME = "beat"
#: Seconds that the lease lasts, and between two looks at it.
LASTS = 25
PAUSE = 4.0


class Entry(ModelEntry):  # type: ignore[misc]  # it has no types
    """An entry that does not wait for a time from before the clock was set back."""

    def is_due(self) -> Any:
        """Return whether to run, and the seconds until the next look."""
        now = self._default_now()
        if self.model.last_run_at > now:
            self.last_run_at = self.model.last_run_at = now
        return super().is_due()


class Scheduler(DatabaseScheduler):  # type: ignore[misc]  # it has no types
    """Ticks while it holds the lease."""

    Entry = Entry

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._holder = uuid4()
        #: When it ticked last; nothing while another leads.
        self._ticked: float | None = None
        super().__init__(*args, **kwargs)
        self.max_interval: float = PAUSE

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; return the seconds until the next tick."""
        if not self._leads():
            self._ticked = None
            return PAUSE
        if self._ticked is None or time.time() < self._ticked:
            self._start_over()
        self._ticked = time.time()
        return min(float(super().tick(*args, **kwargs)), PAUSE)

    def schedule_changed(self) -> bool:
        """Tell whether somebody edited it, be it at an earlier time than the edit before."""
        seen = self._last_timestamp
        return bool(super().schedule_changed()) or seen not in (None, self._last_timestamp)

    def close(self) -> None:
        """Leave the lease to the next."""
        super().close()
        Lease.objects.filter(name=NAME, holder=self._holder).delete()

    def _start_over(self) -> None:
        """Read the schedule again: what is known is another's time, or from before a new one."""
        self._initial_read, self._heap = True, None

    def _leads(self) -> bool:
        """Take or renew the lease; return whether it is ours."""
        try:
            return self._take()
        except DatabaseError as error:
            logger.warning("beat: the lease could not be read: %s.", type(error).__name__)
            return False

    def _take(self) -> bool:
        now = timezone.now()
        until = now + timedelta(seconds=LASTS)
        # One that ends too far in the future was given before the clock was set back.
        free = Q(holder=self._holder) | Q(until__lt=now) | Q(until__gt=now + 2 * (until - now))
        if Lease.objects.filter(free, name=NAME).update(holder=self._holder, until=until):
            return True
        if Lease.objects.filter(name=NAME).exists():
            return False
        try:
            Lease.objects.create(name=NAME, holder=self._holder, until=until)
        except IntegrityError:  # another was first
            return False
        return True
