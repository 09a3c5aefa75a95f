"""Data keys: made, wrapped, found again; a bounded cache that compares versions on every use.

A cache key holds the account's key version, which every caller has just read with the rows it
wants to open: rotation or erasure in one process therefore holds in all of them at once. What a
transaction makes or reads is its own until it commits: after a rollback another process may
store other keys under the same names.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from . import bulk, crypto, master
from .crypto import Context, Key
from .exceptions import Damaged, MasterKeyError
from .lru import Lru
from .models import Account, DataKey, Session
from .search.tokens import Keyed

Purpose = DataKey.Purpose
_CAPACITY = 40_000
#: In place of a version: all keys of the session were loaded.
_ALL = 0
_SESSION_KEY = ("account", "purpose", "session", "version", "wrapped", "created_at")


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """What an account's own keys open."""

    wrapping: Key
    rows: Key
    tag: bytes
    search: Keyed


_accounts: Lru[AccountKeys] = Lru(200)
_sessions: Lru[Key] = Lru(_CAPACITY)


class _Pending(dict[tuple[Lru[Any], tuple[Any, ...]], Any]):
    """What one transaction knows. Django calls it on commit, and lets go of it on a rollback."""

    def __call__(self) -> None:
        for (cache, name), found in self.items():
            cache.put(name, found)


def _pending() -> list[_Pending]:
    waiting = bulk.connection(DataKey).run_on_commit
    return [call for _, call, *_ in waiting if isinstance(call, _Pending)]


def _find(cache: Lru[Any], name: tuple[Any, ...]) -> Any:
    kept = cache.get(name)
    if kept is not None:
        return kept
    return next((found[cache, name] for found in _pending() if (cache, name) in found), None)


def _put(cache: Lru[Any], name: tuple[Any, ...], found: Any) -> None:
    link = bulk.connection(DataKey)
    if not link.in_atomic_block:
        cache.put(name, found)
        return
    last = link.run_on_commit[-1:]
    if last and isinstance(last[0][1], _Pending) and last[0][0] == set(link.savepoint_ids):
        last[0][1][cache, name] = found
    else:
        transaction.on_commit(_Pending({(cache, name): found}), using=link.alias)


def forget() -> None:
    """Empty the caches."""
    _accounts.forget()
    _sessions.forget()
    for pending in _pending():
        pending.clear()


def release(account: Account, sessions: Iterable[Session]) -> None:
    """Forget the keys of sessions that nobody is going to read at once; outside a transaction."""
    for session in sessions:
        for version in (session.key_version, _ALL):
            _sessions.drop(_name(account, session.uuid, version))


def verify_master() -> None:
    """Check that the master keys open what is stored, before anything is written.

    Raises MasterKeyError naming the key id. With nothing stored yet, makes the key file.
    """
    stored = DataKey.objects.filter(purpose=Purpose.ACCOUNT).order_by("-pk")
    row = stored.first()
    if row is None:
        master.create_file()
        master.keys()
        return
    wrapped = bytes(row.master_wrapped or b"")
    _need_file(master.key_id(wrapped))
    master.unwrap(wrapped)


def _need_file(name: str) -> None:
    try:
        master.keys()
    except MasterKeyError as error:
        raise MasterKeyError(f"Master key {name!r} is needed to open this data: {error}") from None


def make_account_keys(account: Account) -> None:
    """Store the first keys of a new account, inside the caller's transaction."""
    raw = crypto.new_key()
    wrapping = Key(1, raw)
    own = DataKey(account=account, purpose=Purpose.ACCOUNT)
    own.master_wrapped = master.wrap(_payload(account, 1) | {"key": b64encode(raw).decode()})
    others = [
        DataKey(account=account, purpose=p, wrapped=_wrap(wrapping, account, p, None)[0])
        for p in (Purpose.SEARCH, Purpose.TAG, Purpose.ROWS)
    ]
    DataKey.objects.bulk_create([own, *others])


def make_session_keys(account: Account, sessions: Iterable[Session]) -> None:
    """Store a random key for each new session, inside the caller's transaction."""
    wrapping = account_keys(account).wrapping
    rows, now = [], timezone.now()
    for session in sessions:
        version = session.key_version
        wrapped, key = _wrap(wrapping, account, Purpose.SESSION, session.uuid, version)
        rows.append((account.pk, Purpose.SESSION.value, session.pk, version, wrapped, now))
        _put(_sessions, _name(account, session.uuid, version), key)
        _put(_sessions, _name(account, session.uuid, _ALL), key)
    bulk.insert(DataKey, _SESSION_KEY, rows)


def account_keys(account: Account) -> AccountKeys:
    """Return an account's keys. Raises MasterKeyError or Damaged."""
    name = (account.uuid, account.key_version)
    found = _find(_accounts, name)
    if found is None:
        found = _load_account(account)
        _put(_accounts, name, found)
    keys: AccountKeys = found
    return keys


def session_key(account: Account, session: Session, version: int | None = None) -> Key:
    """Return the key of one session, by default its current version. Raises Damaged."""
    wanted = session.key_version if version is None else version
    return key_of(account, session.pk, session.uuid, wanted)


def key_of(account: Account, pk: int, uuid: UUID, version: int) -> Key:
    """Return one version of the key of the session with this key and uuid. Raises Damaged."""
    found = _find(_sessions, _name(account, uuid, version))
    if found is None:
        _load(account, {pk: uuid})
        found = _find(_sessions, _name(account, uuid, version))
    if found is None:
        raise Damaged(f"The key of this session is gone (version {version}).")
    key: Key = found
    return key


def load_sessions(account: Account, sessions: Iterable[tuple[int, UUID]]) -> None:
    """Load the keys of several sessions of one account in one query, where not yet known."""
    missing = {
        pk: uuid for pk, uuid in sessions if _find(_sessions, _name(account, uuid, _ALL)) is None
    }
    if missing:
        _load(account, missing)


def read_sessions(
    account: Account, sessions: Iterable[tuple[int, UUID]]
) -> dict[int, dict[int, Key]]:
    """Return the keys of several sessions of one account by version, without keeping any.

    For who goes through everything once: the keys that are used often stay known.
    """
    found: dict[int, dict[int, Key]] = {}
    for pk, _uuid, key in _read(account, dict(sessions)):
        found.setdefault(pk, {})[key.version] = key
    return found


def _load(account: Account, missing: dict[int, UUID]) -> None:
    for _pk, uuid, key in _read(account, missing):
        _put(_sessions, _name(account, uuid, key.version), key)
        _put(_sessions, _name(account, uuid, _ALL), key)


def _read(account: Account, sessions: dict[int, UUID]) -> Iterator[tuple[int, UUID, Key]]:
    wrapping = account_keys(account).wrapping
    for owner, pk, version, wrapped in _wrapped(sessions):
        if owner == account.pk:
            context = _context(account, Purpose.SESSION, sessions[pk], version)
            with suppress(Damaged):  # whoever asks for this one is told that it is not there
                raw = crypto.unseal(wrapping, bytes(wrapped or b""), context)
                yield pk, sessions[pk], Key(version, raw)


def _wrapped(sessions: Collection[int]) -> list[tuple[int, int, int, Any]]:
    """Return rows of keys by session only: given the account too, SQLite walks all of its keys."""
    marks = ", ".join(["%s"] * len(sessions))
    names = "account_id, session_id, version, wrapped"
    sql = f"SELECT {names} FROM {DataKey._meta.db_table} WHERE session_id IN ({marks})"  # noqa: S608
    with bulk.connection(DataKey).cursor() as cursor:
        cursor.execute(sql, list(sessions))
        return list(cursor.fetchall())


def _load_account(account: Account) -> AccountKeys:
    rows = {row.purpose: row for row in DataKey.objects.filter(account=account, session=None)}
    if not {Purpose.ACCOUNT, Purpose.SEARCH, Purpose.TAG, Purpose.ROWS} <= rows.keys():
        raise Damaged("The keys of this account are gone.")
    own = rows[Purpose.ACCOUNT]
    payload = master.unwrap(bytes(own.master_wrapped or b""))
    if {k: payload.get(k) for k in ("account", "purpose", "version")} != _payload(
        account, own.version
    ):
        raise Damaged("The account's key belongs to another account.")
    wrapping = Key(own.version, b64decode(payload["key"]))

    def raw(purpose: str) -> bytes:
        row = rows[purpose]
        context = _context(account, purpose, None, row.version)
        return crypto.unseal(wrapping, bytes(row.wrapped or b""), context)

    return AccountKeys(
        wrapping=wrapping,
        rows=Key(rows[Purpose.ROWS].version, raw(Purpose.ROWS)),
        tag=raw(Purpose.TAG),
        search=Keyed(raw(Purpose.SEARCH)),
    )


def _wrap(
    wrapping: Key, account: Account, purpose: str, session: UUID | None, version: int = 1
) -> tuple[bytes, Key]:
    raw = crypto.new_key()
    context = _context(account, purpose, session, version)
    return crypto.seal(wrapping, raw, context), Key(version, raw)


def _context(account: Account, purpose: str, session: UUID | None, version: int) -> Context:
    return Context("datakey", "wrapped", account.uuid, session, purpose, version)


def _payload(account: Account, version: int) -> dict[str, Any]:
    return {"account": str(account.uuid), "purpose": "account", "version": version}


def _name(account: Account, session: UUID, version: int) -> tuple[Any, ...]:
    # Their numbers: hashing and comparing UUIDs is done in Python, and shows.
    return account.uuid.int, account.key_version, session.int, version
