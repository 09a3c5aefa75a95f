"""Backups: made, listed, read again, and dropped when newer ones do.

A chain is a full backup and the segments after it. While a full one is made, which takes as long
as it takes, segments of the chain before it go on; at its end one more of them is made, so that
each moment is covered by the chain that was in use. What the storage holds is the truth: the rows
here are a list of it that can be made again, and no part of anybody's journal.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import IO, Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.transaction import atomic
from django.utils import timezone
from django.utils.translation import gettext as _

from chathistory import bulk, keyring, leases
from chathistory.backups import capture, contents, expiry, keysets, sealing, store
from chathistory.backups.capture import Content
from chathistory.backups.sealing import Made, Step
from chathistory.backups.store import Place
from chathistory.conf import settings
from chathistory.exceptions import Conflict, Damaged, NotAllowed, NotFound
from chathistory.models import Account, Backup, DataKey, Session
from chathistory.querysets import require

Kind = Backup.Kind
_log = logging.getLogger(__name__)

#: Who makes whole backups, and who adds to the chain.
FULL, SEGMENT = "backup.full", "backup.segment"
_AT_ONCE = 1000
_PATIENCE = 10.0  # seconds that one backup waits for another
#: A chain this old gets no more segments, in case nobody asks for the daily full backup.
_DUE = timedelta(hours=30)
#: The newest container of the site that this process has made.
_made_here: dict[str, str] = {}


def full(
    user: Any = None,
    account: Account | None = None,
    session: Session | None = None,
    *,
    step: Step = sealing.quiet,
) -> Backup:
    """Make a full backup of one account, of one session, or of the whole site.

    ``user=None`` is the system itself; people back up what is theirs, who may add backups
    everything. A full backup of the site begins a new chain. ``step(done, total)`` is told the
    bytes that are sealed of a file.

    Raises NotFound, NotAllowed, Conflict while another is being made, and Unavailable where the
    storage or the disk refuses: then nothing is left of it.
    """
    owner = _require(user, account, session)
    if owner is not None:
        return _full_of(owner, session)
    with leases.held(FULL, _busy(), wait=_PATIENCE) as hold:
        return _make_full(hold, step)


def incremental() -> Backup | None:
    """Seal what changed since the last segment into the next; None where nothing did.

    Where there is no chain to go on with, because there is none, it is old or broken, or the site
    was restored, or because its end or the key sets are lost, this is a full backup. Raises as
    ``full`` does.
    """
    last = _last()
    if last is not None and not capture.anything_new() and not _is_lost(last):
        return None
    with leases.held(SEGMENT, _busy(), wait=_PATIENCE) as hold:
        store.tidy(SEGMENT)
        _adopt()
        last = _last()
        if last is not None and _goes_on(last):
            return _segment(hold, last)
    with leases.held(FULL, _busy(), wait=_PATIENCE) as hold:
        with leases.held(SEGMENT, _busy(), wait=_PATIENCE):  # nothing is half listed then
            last = _last()
            is_due = last is None or not _goes_on(last)
        if is_due:
            return _make_full(hold)
    return incremental()  # another process has begun a chain meanwhile


def verify(backup: Backup, user: Any = None) -> Backup:
    """Read all of a backup: its hash, every frame, its manifest, and that its chain leads here.

    Raises Damaged naming the file, and notes then that the backup is not verified; NotFound to a
    stranger, NotAllowed to who may only see it; Unavailable where it cannot be read just now.
    """
    if user is not None:
        _require_own(user, reach(user, backup.uuid))
    if backup.kind == Kind.ARCHIVE:
        raise Conflict(_("An archive is proved when it is restored."))
    at = _place(backup)
    try:
        with store.opened(at) as file:
            found = contents.prove(file, keysets.unwrap(backup.name, bytes(backup.key or b"")), at)
        _compare(backup, found)
    except Damaged:
        Backup.objects.filter(pk=backup.pk).update(verified_at=None)
        raise
    backup.verified_at = timezone.now()
    bulk.update(backup, ["verified_at"])
    return backup


def expire(dry_run: bool = False) -> list[Backup]:
    """Drop the backups that ``BACKUP_KEEP`` does not keep; return them.

    What a kept segment needs is kept, and so are the last verified and the newest base of each
    kind. One that says it is from the future counts as nothing and stays. Raises Invalid for a
    policy that keeps nothing.
    """
    expiry.check(settings.BACKUP_KEEP)
    over = [row for group in _groups() for row in _not_kept(group)]
    # The end of a chain first: whatever stops this, a segment never stands without its base.
    over.sort(key=lambda row: (row.chain, -row.number))
    for row in [] if dry_run else over:
        store.remove(_place(row))
        Backup.objects.filter(pk=row.pk).delete()
    return over


def relist() -> list[Backup]:
    """List what the storage holds and the database does not, with keys from the key sets.

    For a database that was restored, or made anew. Raises Damaged naming the files that do not
    open, when all others are listed, and MasterKeyError.
    """
    listed = set(Backup.objects.values_list("name", flat=True))
    missing = [at for at in store.places() if at.digest not in listed]
    keys = keysets.containers(at.digest for at in missing) if missing else {}
    found, wrong = [], []
    for at in missing:
        try:
            found += [one.row] if (one := _found(at, keys)) else []
        except Damaged as error:
            wrong.append(str(error))
    found.sort(key=lambda row: row.created_at)
    Backup.objects.bulk_create(found, ignore_conflicts=True)
    if wrong:
        raise Damaged("\n".join(wrong))
    return list(Backup.objects.filter(name__in=[row.name for row in found]).order_by("pk"))


def visible_to(user: Any) -> QuerySet[Backup, Backup]:
    """Return the backups ``user`` may see: their own; all, who may view backups."""
    if user is None or user.has_perm("chathistory.view_backup"):
        return Backup.objects.all()
    mine = Q(account__user=user) if user.is_authenticated and user.is_active else Q(pk=None)
    return Backup.objects.filter(mine)


def reach(user: Any, uuid: UUID) -> Backup:
    """Return one backup with its account. Raises NotFound to whom may not see it."""
    row = visible_to(user).select_related("account").filter(uuid=uuid).first()
    if row is None:
        raise NotFound(_("There is no such backup."))
    return row


def _require(user: Any, account: Account | None, session: Session | None) -> Account | None:
    """Return whose backup it is to be, None for everybody's."""
    if session is not None:
        require(user, session, "own")
        if account is not None and account.pk != session.account_id:
            raise NotFound(_("There is no such session."))
        account = session.account
    is_staff = user is None or user.has_perm("chathistory.add_backup")
    if account is None and not is_staff:
        raise NotAllowed(_("Only who may add backups can back up the whole site."))
    if account is not None and not is_staff and account.user_id != user.pk:
        raise NotFound(_("There is no such account."))
    if account is not None and account.erased_at is not None:
        raise Conflict(_("This account was erased."))
    return account


def _require_own(user: Any, row: Backup) -> None:
    is_theirs = row.account is not None and row.account.user_id == user.pk
    if not is_theirs and not user.has_perm("chathistory.add_backup"):
        raise NotAllowed(_("Only who may add backups can verify them."))


def _busy() -> str:
    return _("Another backup is being made; wait until it is done.")


# Making


def _make_full(hold: leases.Hold, step: Step = sealing.quiet) -> Backup:
    if not DataKey.objects.exists():
        keyring.verify_master()  # which makes the first master key
    store.tidy(FULL)
    capture.tidy()
    with store.draft(FULL) as file:
        with capture.whole_site() as content:
            written = sealing.write(file, content, step=step)
        made = sealing.prove(file, written)
        _begin(hold, file, made)
    return made.row


def _full_of(account: Account, session: Session | None) -> Backup:
    mine = f"backup.{account.uuid}"
    with leases.held(mine, _busy(), wait=_PATIENCE) as hold:
        store.tidy(mine)
        with store.draft(mine) as file:
            with capture.rows(account, session) as content:
                written = sealing.write(file, content, account=account, session=session)
            made = sealing.prove(file, written)
            keysets.write({made.at.digest: made.key}, [_keys_of(account, session)], made.at)
            _publish(hold, file, made)
    return made.row


def _begin(hold: leases.Hold, file: IO[bytes], made: Made) -> None:
    """Let a full backup of the site begin its chain, when the one before is closed."""
    with leases.held(SEGMENT, _busy(), wait=2 * _PATIENCE) as second:
        store.tidy(SEGMENT)
        _adopt()
        last = _last()
        if last is not None and not _is_broken(last):
            _segment(second, last)
        keysets.write_full({made.at.digest: made.key}, made.at)
        second.sure()
        _publish(hold, file, made)
    keysets.lapse()


def _segment(hold: leases.Hold, last: Backup) -> Backup | None:
    with store.draft(SEGMENT) as file:
        with capture.segment() as content:
            if content is None:
                return None
            written = sealing.write(file, content, after=last)
        made = sealing.prove(file, written)
        keysets.write({made.at.digest: made.key}, _keys_in(content), made.at)
        _publish(hold, file, made)
    return made.row


def _publish(hold: leases.Hold, file: IO[bytes], made: Made) -> None:
    """Give a container its name, then list it; who dies between the two is followed by _adopt."""
    hold.sure()
    _made_here.clear()
    store.publish(file, made.at)
    _list(made)
    if made.row.account_id is None:
        _made_here["name"] = made.row.name


def _list(made: Made) -> None:
    with atomic(using=bulk.connection(Backup).alias):
        Backup.objects.bulk_create([made.row], ignore_conflicts=True)
        # Whoever adopted it meanwhile has listed it.
        made.row = Backup.objects.select_related("account").get(name=made.at.digest)
        if made.row.account_id is None:
            _note_shipped(made)


def _note_shipped(made: Made) -> None:
    """Note by account which Changes are in the chain; a base begins anew with its own."""
    rows = Account.objects.order_by("pk")
    if made.row.kind == Kind.SEGMENT:
        rows = rows.filter(uuid__in=made.vector)
    moved = []
    for row in rows.only("uuid", "shipped"):
        shipped = made.vector.get(str(row.uuid), 0)
        if row.shipped != shipped:
            row.shipped = shipped
            moved.append(row)
    bulk.update_all(moved, ["shipped"])


def _keys_of(account: Account, session: Session | None) -> QuerySet[DataKey, DataKey]:
    mine = DataKey.objects.filter(account=account)
    return mine.filter(Q(session=None) | Q(session=session)) if session else mine


def _keys_in(segment: Content) -> Iterator[QuerySet[DataKey, DataKey]]:
    """Yield the data keys that a segment needs, those made since among them."""
    for column, keys in (("account", segment.accounts), ("session", segment.sessions)):
        for start in range(0, len(keys), _AT_ONCE):
            some = {f"{column}__in": list(keys[start : start + _AT_ONCE])}
            rows = DataKey.objects.filter(**some)
            yield rows.filter(session=None) if column == "account" else rows


# The chain


def _last() -> Backup | None:
    """Return the end of the site's newest chain."""
    site = Backup.objects.filter(account=None, session=None)
    base = site.filter(kind=Kind.FULL).order_by("-pk").first()
    return base and site.filter(chain=base.chain).order_by("-number").first()


def _goes_on(last: Backup) -> bool:
    return not _is_broken(last) and not _is_due(last)


def _is_due(last: Backup) -> bool:
    base = Backup.objects.filter(chain=last.chain, number=0).first()
    return base is None or timezone.now() - base.created_at > _DUE


def _is_broken(last: Backup) -> bool:
    """Tell whether nothing may follow: its end is lost, or was followed by what is not listed.

    Or the site was restored since, or the key sets are lost.
    """
    if not keysets.are_begun():
        return True
    try:
        header = contents.header(_place(last))
    except Damaged:
        return True
    if header.get("account") or header.get("epoch") != capture.epoch():
        return True
    return _is_followed(last)


def _is_followed(last: Backup) -> bool:
    """Tell whether the storage goes on after what is listed, as where a database is of earlier.

    To list a storage takes its time and costs money: not after what this process has just made.
    """
    if last.name == _made_here.get("name"):
        coming = [at for at in keysets.awaited() if at.chain == last.chain]
        return any(at.number > last.number and store.exists(at) for at in coming)
    return any(at.number > last.number for at in store.places(last.chain))


def _is_lost(last: Backup) -> bool:
    """Tell whether the end of a chain, or what it would be opened with, is not there any more."""
    return not store.exists(_place(last)) or not keysets.are_begun()


def _adopt() -> None:
    """List what a process that died had already given its name, so that the chain goes on there.

    What does not open stays unlisted, and its chain ends.
    """
    lost = [
        at
        for at in keysets.awaited()
        if not Backup.objects.filter(name=at.digest).exists() and store.exists(at)
    ]
    keys: dict[str, bytes] = {}
    with suppress(Damaged):  # then no key set has a key
        keys = keysets.containers(at.digest for at in lost) if lost else {}
    for at in reversed(lost):
        try:
            found = _found(at, keys)
        except Damaged as error:
            _log.warning("It is not listed: %s", error)
            continue
        if found is not None and found.site == capture.site():
            _list(found)


def _found(at: Place, keys: dict[str, bytes]) -> Made | None:
    """Read a container that is not listed; None where its account is no more."""
    key = keys.get(at.digest)
    if key is None:
        raise Damaged(f"{at}: No key set has its key.")
    with store.opened(at) as file:
        found = contents.prove(file, key, at)
    owner = found.header.get("account")
    account = Account.objects.filter(uuid=owner).first() if owner else None
    return None if owner and account is None else sealing.made(found, key, account)


def _place(backup: Backup) -> Place:
    return Place(backup.chain, backup.number, backup.name)


def _compare(backup: Backup, found: contents.Opened) -> None:
    """Raise Damaged where a container is not the one its row says, or its chain does not lead."""
    header = found.header
    said = {"kind": backup.kind, "previous": backup.previous}
    if any(header.get(name) != value for name, value in said.items()):
        raise Damaged(f"{found.at}: It is not the backup that is listed.")
    if backup.number:
        before = Backup.objects.filter(chain=backup.chain, number=backup.number - 1)
        if not before.filter(name=backup.previous).exists():
            raise Damaged(f"{found.at}: The one before it, {backup.previous}, is not listed.")
        at = Place(backup.chain, backup.number - 1, backup.previous)
        if not store.exists(at):
            raise Damaged(f"{at} is missing from the backup storage; {found.at} needs it.")


# Keeping


def _groups() -> Iterator[list[Backup]]:
    """Yield the backups of the site, of each account and of each session."""
    found: dict[tuple[int | None, UUID | None], list[Backup]] = defaultdict(list)
    for row in Backup.objects.filter(kind__in=(Kind.FULL, Kind.SEGMENT)):
        found[row.account_id, row.session].append(row)
    yield from found.values()


def _not_kept(rows: list[Backup]) -> list[Backup]:
    now = timezone.now()
    past = [row for row in rows if row.created_at <= now]
    keep = expiry.kept(((row.created_at, row.pk) for row in past), settings.BACKUP_KEEP)
    keep |= {row.pk for row in rows if row.created_at > now}
    # The newest base too, on which the next segment stands: what closed the chain before is newer.
    for some in (
        [row for row in past if row.verified_at is not None],
        [row for row in past if row.number == 0],
    ):
        keep |= {row.pk for row in sorted(some, key=lambda row: row.created_at)[-1:]}
    needed: dict[UUID, int] = defaultdict(lambda: -1)
    for row in rows:
        if row.pk in keep:
            needed[row.chain] = max(needed[row.chain], row.number)
    return [row for row in rows if row.number > needed[row.chain]]
