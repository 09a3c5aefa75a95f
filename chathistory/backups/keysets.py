"""Key sets: the keys that backups need, in sealed files of their own beside the master keys.

Backups hold no keys. A key set is a container under a random key that its header carries wrapped
by the master key; in it are the keys of containers and the wrapped data keys. A ``full`` set has
all there are; a ``delta`` has those of one container and of the sessions in it. Deltas are put
together when there are many, and go when the next full set is there. A full set goes after 30
days, when there is a newer one: by then a key that was destroyed opens nothing any more.

Each set says which site made it. Where a disk was lost and an empty site was begun in its place,
the keys of the one that is lost stay until it has been restored, or none of its backups is left.

A set is on the disk before the container it is for gets its name, so no container is ever listed
whose key could be lost with the database.

A set that does not open is left as it is and told in the log: the others go on serving.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from chathistory import master
from chathistory.conf import settings
from chathistory.exceptions import ChatHistoryError, Damaged, MasterKeyError, Unavailable
from chathistory.models import Backup, DataKey

from . import capture, container, contents, keyfile, store
from .keyfile import Keys, Name, Wanted, Wrapped

_log = logging.getLogger(__name__)
KEPT = timedelta(days=30)
_STAMP = "%Y%m%dT%H%M%S%fZ"
_MANY = 64
_COLUMNS = (
    *("account__uuid", "purpose", "session__uuid", "version"),
    *("master_wrapped", "wrapped", "created_at", "retired_at"),
)


class _Set(NamedTuple):
    made: datetime
    path: Path
    header: dict[str, Any]

    @property
    def is_full(self) -> bool:
        """Tell whether all keys of that time are in it."""
        return self.header.get("kind") == "full"

    @property
    def site(self) -> str:
        """Return which site made it (``capture.site``)."""
        return str(self.header.get("site", ""))

    @property
    def until(self) -> datetime:
        """Return when it goes; one from the future, made by a wrong clock, may go at once."""
        now = timezone.now()
        return self.made + KEPT if self.made <= now + timedelta(days=1) else now


def write(
    keys: Mapping[str, bytes], rows: Iterable[QuerySet[DataKey]], at: store.Place | None = None
) -> None:
    """Write a delta: the keys of new containers and these data keys.

    ``at`` is where the container is going to be. Raises Unavailable.
    """
    held = Keys(dict(keys), _data(rows))
    with _alone():
        deltas = _deltas(_mine(_sets()))
        if len(deltas) < _MANY:
            _save("delta", held, at)
            return
        opened, _ = _open(deltas)
        _save("delta", _joined([*opened.values(), held]), at)
        _unlink([one for one in deltas if one.path in opened])


def write_full(keys: Mapping[str, bytes], at: store.Place | None = None) -> None:
    """Write all keys there are: data keys, and those of every container the storage holds.

    Raises Unavailable.
    """
    with _alone():
        found = _sets()
        # What a delta names may still be on its way to the storage.
        opened, _ = _open(found, keyfile.is_container)
        coming = [opened[one.path] for one in _deltas(_mine(found)) if one.path in opened]
        new = _joined(coming).containers | dict(keys)
        known = _joined(opened.values()).containers | listed()
        held = {one.digest for one in store.places()}
        kept = {name: key for name, key in known.items() if name in held}
        _save("full", Keys(kept | new, _data([DataKey.objects.all()])), at)


def load(
    site: str | None = None,
    account: UUID | None = None,
    session: UUID | None = None,
    *,
    newest: bool = False,
) -> Keys:
    """Return what all sets hold, the newest said last, and after all others those of ``site``.

    Of data keys only those of an account, or those that one session needs, where it is named.
    ``newest`` leaves out the sets that are older than a full one of their site which opens. The
    database is not asked. Where none of the sets opens this raises MasterKeyError naming a
    missing master key, or Damaged or Unavailable naming a set.
    """
    return _load(site, partial(keyfile.is_of, account, session), newest)


def containers(names: Iterable[str]) -> dict[str, bytes]:
    """Return the keys of containers by name; these, and such as stand beside them.

    Raises as ``load`` does.
    """
    found = _load(None, keyfile.is_container, newest=True).containers
    if set(names) <= found.keys():
        return found
    return _load(None, keyfile.is_container, newest=False).containers


def _load(site: str | None, wanted: Wanted, newest: bool) -> Keys:
    while True:
        with contextlib.suppress(FileNotFoundError):
            found = sorted(_sets(), key=lambda one: one.site == site)
            opened, closed = _open(_newest(found) if newest else found, wanted)
            if closed and newest:
                opened, closed = _open(found, wanted)
            if closed and not opened:
                raise next((one for one in closed if isinstance(one, MasterKeyError)), closed[0])
            return _joined(opened.values())
        # One was put together with others meanwhile: look again.


def _newest(found: list[_Set]) -> list[_Set]:
    """Return of each site the newest full set, and what came after."""
    full = {one.site: one.made for one in sorted(found) if one.is_full}
    return [one for one in found if one.site not in full or one.made >= full[one.site]]


def lapse() -> list[str]:
    """Delete the sets whose time is over; return their names. Raises Unavailable."""
    with _alone():
        found, mine = _sets(), capture.site()
        sites = {one.site: [other for other in found if other.site == one.site] for one in found}
        over = [one for name, some in sites.items() for one in _over(some, needed=name == mine)]
        _unlink(over)
    return [one.path.name for one in over]


def _over(found: list[_Set], *, needed: bool) -> list[_Set]:
    """Return which sets of a site may go; of another one whose backups are gone, all in time."""
    if not needed and not _has_backups(found[0].site):
        return [one for one in found if one.until <= timezone.now()]
    newest = _newest_full(found)
    old = [one for one in found if newest is not None and one.made < newest.made]
    return [one for one in old if not one.is_full or one.until <= timezone.now()]


def _has_backups(site: str) -> bool:
    """Tell whether the storage holds a base of a site, or one that cannot be read."""
    for at in store.places():
        try:
            if at.number == 0 and contents.header(at).get("site") == site:
                return True
        except Damaged:
            return True
    return False


def lapsing() -> list[tuple[str, datetime]]:
    """Return each set and when it is gone at the latest, if full backups go on being made."""
    return [(one.path.name, one.until) for one in _sets()]


def are_begun() -> bool:
    """Tell whether there is a full set of this site, for deltas to follow."""
    return _newest_full(_mine(_sets())) is not None


def awaited() -> list[store.Place]:
    """Return which containers the newest sets were written for, the newest first."""
    said = (str(one.header.get("for")) for one in reversed(_sets()[-5:]))
    return [found for name in said if (found := store.place(name))]


def listed() -> dict[str, bytes]:
    """Return the keys of the backups that the database lists, as far as they open."""
    found = {}
    for name, key in Backup.objects.filter(key__isnull=False).values_list("name", "key"):
        try:
            found[name] = unwrap(name, bytes(key or b""))
        except (Damaged, MasterKeyError) as error:
            _warn(f"The key of the backup {name} does not open: {error}")
    return found


def wrap(name: str, key: bytes) -> bytes:
    """Return a container's key under the newest master key, bound to the container's name."""
    return master.wrap({"purpose": "backup", "name": name, "key": b64encode(key).decode()})


def unwrap(name: str, wrapped: bytes) -> bytes:
    """Return the key of the container of this name. Raises MasterKeyError or Damaged."""
    payload = master.unwrap(wrapped)
    if (payload.get("purpose"), payload.get("name")) != ("backup", name):
        raise Damaged(f"The key of {name} is another's.")
    return b64decode(payload["key"])


def folder() -> Path:
    """Return where the sets are."""
    return Path(settings.HOME) / "keys" / "sets"


def _sets() -> list[_Set]:
    """Return the sets, oldest first; of one whose header cannot be read nothing but its time."""
    found = []
    with _told("read"):
        paths = sorted(folder().glob("*.keys"))
    for path in paths:
        made = _made(path)
        if made is None:
            _warn(f"{path} is not named as a key set is.")
            continue
        with contextlib.suppress(FileNotFoundError):
            found.append(_Set(made, path, _header(path)))
    return found


def _made(path: Path) -> datetime | None:
    try:
        return datetime.strptime(path.name.partition("-")[0], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return container.header_of(file)
    except FileNotFoundError:
        raise
    except (Damaged, OSError) as error:
        _warn(f"The key set {path} cannot be read: {error}")
        return {}


def _open(
    found: Iterable[_Set], wanted: Wanted = keyfile.is_any
) -> tuple[dict[Path, Keys], list[ChatHistoryError]]:
    """Return what each set holds that opens, and why others do not. Raises FileNotFoundError."""
    opened: dict[Path, Keys] = {}
    closed: list[ChatHistoryError] = []
    for one in found:
        try:
            opened[one.path] = keyfile.read(one.path, wanted)
        except (Damaged, Unavailable) as error:
            _warn(str(error))
            closed.append(error)
    return opened, closed


@lru_cache(maxsize=1000)
def _warn(message: str) -> None:
    """Tell it once in a process: sets are looked at every few seconds."""
    _log.warning(message)


def _mine(found: list[_Set]) -> list[_Set]:
    site = capture.site()
    return [one for one in found if one.site == site]


def _newest_full(found: list[_Set]) -> _Set | None:
    return next((one for one in reversed(found) if one.is_full), None)


def _deltas(found: list[_Set]) -> list[_Set]:
    """Return those that came after the newest full set."""
    newest = _newest_full(found)
    return [one for one in found if newest is None or one.made > newest.made]


def _data(queries: Iterable[QuerySet[DataKey]]) -> dict[Name, Wrapped]:
    rows = (one.order_by("pk").values_list(*_COLUMNS).iterator(2000) for one in queries)
    return {Name(*row[:4]): Wrapped(*row[4:]) for row in chain.from_iterable(rows)}


def _joined(sets: Iterable[Keys]) -> Keys:
    joined = Keys()
    for one in sets:
        joined.containers |= one.containers
        joined.data |= one.data
    return joined


def _unlink(sets: list[_Set]) -> None:
    for one in sets:
        one.path.unlink(missing_ok=True)
    if sets:
        store.sync(folder())


def _save(kind: str, keys: Keys, at: store.Place | None) -> None:
    about = {"kind": kind, "for": str(at) if at else "", "site": capture.site()}
    # One name for all drafts: who died left at most one, and nobody else is writing.
    draft = folder() / ".draft"
    try:
        with open(draft, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            digest = keyfile.write(file, keys, about)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(folder() / f"{_stamp()}-{digest}.keys")
    finally:
        draft.unlink(missing_ok=True)
    store.sync(folder())


def _stamp() -> str:
    """Return the time, later than every set there is: their names give their order."""
    last = max((one.made for one in _sets()), default=None)
    now = timezone.now().astimezone(UTC)
    if last is not None and last >= now:
        now = last + timedelta(microseconds=1)
    return now.strftime(_STAMP)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let one process at a time write or delete sets."""
    with _told("written"):
        folder().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder().mkdir(mode=0o700, exist_ok=True)
        handle = os.open(folder() / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with _told("written"):
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"The key sets cannot be {what}: {error.strerror}.") from error
