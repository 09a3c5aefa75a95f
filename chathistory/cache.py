"""Opened pages, kept for whoever reads the same chat again.

Two tiers. Each process keeps pages in its own memory, in the clear, under a name that holds the
account's epoch and key version and the session's last Change: a page of what has changed is
never asked for again, so nobody has to be told. The shared tier, where ``CHATHISTORY_CACHE``
names one of Django's caches, holds the newest pages sealed by the session's key and bound to
their owner, epoch and last Change; whatever does not open there is as if it were not there. A
shared tier that fails or hangs costs a request the deadline once, then it is left alone.

Access is no business of the cache: a caller has come through the gate with the session in hand.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from django.core.cache import BaseCache, caches

from . import __version__, bulk, crypto, keyring, metrics
from .conf import settings
from .crypto import Context
from .exceptions import Damaged
from .lru import Lru
from .models import Session
from .records import dump

#: The pages that the shared tier holds: few enough to be named when a session goes for good.
SHARED = ("newest", "newest-html", "branch-50", "branch-100")
MEMORY = 32 * 2**20  # bytes of one process
KEPT = 3600  # seconds in the shared tier
DEADLINE = 0.08  # seconds that a request waits for the shared tier, to read and again to write
PAUSE = 30.0  # seconds that it is left alone after a failure
_NAME = 1024  # what a page's name and its place in the books weigh besides the page

T = TypeVar("T")
Make = Callable[[], tuple[Any, bool]]


class _Shared:
    """One of Django's caches, behind a deadline and a breaker."""

    def __init__(self) -> None:
        # Threads, because nothing else bounds what any backend may do, or how it may fail. They
        # read their answer to the end, so that no connection is left with one for somebody else.
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="chathistory-cache")
        self._until = 0.0

    def ask(self, do: Callable[[BaseCache], T], *, forgive: bool = False) -> T | None:
        """Return what ``do`` returns, or None when it fails, is late, or must not be asked.

        ``forgive`` lets an error pass, such as a value that cannot be read; never lateness.
        """
        if monotonic() < self._until:
            metrics.count("cache.skipped")
            return None
        asked = self._threads.submit(lambda: do(caches[settings.CACHE]))
        try:
            if asked.exception(DEADLINE) is None:
                return asked.result()
        except TimeoutError:
            asked.cancel()
            forgive = False
        metrics.count("cache.failed")
        if not forgive:
            self._until = monotonic() + PAUSE
        return None

    def forgive(self) -> None:
        """Ask again, whatever happened."""
        self._until = 0.0


_shared = _Shared()
_memory: Lru[bytes] = Lru(MEMORY, lambda packed: len(packed) + _NAME)


def page(session: Session, name: str, make: Make) -> Any:
    """Return a page of a session as JSON: kept, or made by ``make`` now.

    ``make`` also says whether all of it opened: only such pages are kept. Within a transaction
    none is: what it sees may never be committed.
    """
    if bulk.connection(Session).in_atomic_block:
        return make()[0]
    made: list[Any] = []
    label = _label(session, name)
    packed = _memory.get(label)
    metrics.count("cache.miss" if packed is None else "cache.hit", tier="memory")
    if packed is None:
        packed = _memory.obtain(label, partial(_read_or_make, session, name, make, made))
    return made[0] if made else json.loads(packed)


def drop(session: Session) -> None:
    """Let go of a session's pages, here and in the shared tier."""
    uuid = session.uuid.int
    _memory.forget(lambda label: isinstance(label, tuple) and label[0] == uuid)
    if settings.CACHE:
        slots = [_slot(session, name) for name in SHARED]
        _shared.ask(lambda cache: cache.delete_many(slots))


def forget() -> None:
    """Empty this process's memory, and ask the shared tier again even if it has failed."""
    _memory.forget()
    _shared.forgive()


def _read_or_make(session: Session, name: str, make: Make, made: list[Any]) -> tuple[bytes, bool]:
    """Return a page for the memory, and whether to keep it; one that is new also in ``made``."""
    shared = bool(settings.CACHE) and name in SHARED
    kept = _read(session, name) if shared else None
    if kept is not None:
        return kept, True
    value, whole = make()
    made.append(value)
    packed = dump(value)
    if shared and whole:
        _write(session, name, packed)
    return packed, whole


def _read(session: Session, name: str) -> bytes | None:
    slot = _slot(session, name)
    record = _shared.ask(lambda cache: cache.get(slot), forgive=True)
    found = _opened(session, name, record) if isinstance(record, bytes) else None
    metrics.count("cache.miss" if found is None else "cache.hit", tier="shared")
    return found


def _opened(session: Session, name: str, record: bytes) -> bytes | None:
    try:
        key = keyring.session_key(session.account, session)
        return crypto.unseal(key, record, _context(session, name))
    except Damaged:
        return None


def _write(session: Session, name: str, packed: bytes) -> None:
    key = keyring.session_key(session.account, session)
    # Not deflated: that takes longer than all the rest of it.
    slot = _slot(session, name)
    record = crypto.seal_packed(key, crypto.PLAIN, packed, _context(session, name))
    _shared.ask(lambda cache: cache.set(slot, record, KEPT))


def _label(session: Session, name: str) -> tuple[Any, ...]:
    # The session's last Change, not its version: a session purged and imported anew begins at
    # the first version again, but no Change of an account has the number of another.
    owner = session.account
    return session.uuid.int, owner.uuid.int, owner.epoch, owner.key_version, session.changed, name


def _slot(session: Session, name: str) -> str:
    return f"chathistory/{session.uuid}/{name}"


def _context(session: Session, name: str) -> Context:
    owner = session.account
    # Another release may lay a page out otherwise.
    era = f"{__version__} {owner.epoch}"
    return Context("cache", name, owner.uuid, session.uuid, era, session.changed)
