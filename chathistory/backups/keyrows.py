"""The keys of a plan: those its containers are opened with, and data keys put beside the rows.

The newest full set of a site has nearly all of them, so for one person's rows the older ones, one
for each day, are read only where something is missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from chathistory import bulk
from chathistory.exceptions import Damaged
from chathistory.models import Account, DataKey, Session

from . import keysets
from .keyfile import Keys, Name
from .plans import Part, Plan

_COLUMNS = (
    *("account", "purpose", "session", "version", "master_wrapped", "wrapped"),
    *("created_at", "retired_at"),
)


class KeyRows:
    """Keys for a plan, some of which become rows of the database that the models are routed to."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stored: set[Name] = set()
        self._is_newest = plan.account is not None
        self._take(self._load())

    def container(self, part: Part) -> bytes:
        """Return the key of a container. Raises Damaged naming it where no set has its key."""
        if part.at.digest not in self._keys.containers and self._is_newest:
            self._take_older()
        key = self._keys.containers.get(part.at.digest)
        if key is None:
            raise Damaged(f"{part.at}: No key set has its key.")
        return key

    def store(self, owners: Iterable[UUID]) -> None:
        """Store the keys of these accounts and sessions, as far as they are there."""
        names = [name for uuid in owners for name in self._of.get(uuid, ())]
        wanted = [name for name in names if name not in self._stored]
        accounts = _keys(Account, {name.account for name in wanted})
        sessions = _keys(Session, {name.session for name in wanted if name.session})
        rows = []
        for name in wanted:
            if name.account in accounts and (name.session is None or name.session in sessions):
                self._stored.add(name)
                session = sessions[name.session] if name.session else None
                kept = self._keys.data[name]
                rows.append((accounts[name.account], name.purpose, session, name.version, *kept))
        with transaction.atomic(using=bulk.connection(DataKey).alias):
            bulk.insert(DataKey, _COLUMNS, rows)

    def store_all(self) -> None:
        """Store the keys of all that is there."""
        self.store(self._of)

    def complete(self) -> None:
        """Look in older sets for what is there without a key: it may have gone since."""
        if self._is_newest and Session.objects.filter(keys=None).exists():
            self._take_older()
            self.store_all()

    def _load(self) -> Keys:
        plan = self._plan
        site = plan.parts[0].site
        return keysets.load(site, plan.account, plan.session, newest=self._is_newest)

    def _take_older(self) -> None:
        self._is_newest = False
        self._take(self._load())

    def _take(self, keys: Keys) -> None:
        self._keys = keys
        self._of: dict[UUID, list[Name]] = defaultdict(list)
        for name in keys.data:
            self._of[name.session or name.account].append(name)


def _keys(model: type[Account] | type[Session], uuids: set[UUID]) -> dict[UUID, int]:
    """Return the keys of rows; of all of them where many are asked for."""
    rows = model._base_manager.all()
    if len(uuids) < 500:
        rows = rows.filter(uuid__in=uuids)
    return dict(rows.values_list("uuid", "pk"))
