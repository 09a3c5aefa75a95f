"""Sessions as our export holds them, read in bulk: rows of many at a time, keys once for each.

No object of the ORM is made for a message; a message is opened when it is reached, and nothing
of it is kept. A read ends before anything is given out, so a slow reader holds up nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from . import bulk, keyring, records, represent
from .crypto import Key
from .exceptions import Damaged, Invalid
from .models import Message, Revision, Session, Tag

#: Messages of one read.
ROWS = 500
#: Bytes of a record that come with its row; a larger one is read alone, when it is reached.
INLINE = 1 << 15
Moment = Callable[[Any], str | None]
_COLUMNS = (
    *("id", "session_id", "uuid", "seq", "parent_seq", "role", "status", "block_id"),
    *("revision", "tokens"),
)
_TIMES = ("created_at", "edited_at", "deleted_at")


class Row(NamedTuple):
    """A message's row as the database has it."""

    pk: int
    session: int
    uuid: Any
    seq: int
    parent_seq: int | None
    role: str
    status: str
    block: int | None
    revision: int
    tokens: int
    created_at: Any
    edited_at: Any
    deleted_at: Any
    record: Any


def exported(
    sessions: Iterable[tuple[Session, bool]], leaf: UUID | None = None
) -> Iterator[dict[str, Any]]:
    """Yield sessions as objects for the writers; with each comes whether its owner asks.

    ``leaf`` leaves only the branch that ends at this message, and is then the head. Raises
    Invalid where it is no message of the session.
    """
    moment = _moments()
    for group in _groups(sessions):
        rows, keys = _read_group([session for session, _owned in group])
        tags = _tags([session for session, owned in group if owned])
        for session, owned in group:
            own = None if rows is None else rows.get(session.pk, [])
            sealed = records.Opener(session, keys.get(session.pk, {}))
            messages = Messages(session, own, sealed, moment, owned=owned)
            parts = sealed.columns() | {"tags": tags.get(session.pk, [])}
            shown = represent.session_json(session, owned=owned, parts=parts)
            shown["head_id"] = messages.id_of(session.head_seq)
            if leaf is not None:
                shown["head_id"] = messages.keep_branch(leaf)
                # What is shown last may stand on another branch.
                shown["preview"], shown["message_count"] = "", len(messages.links())
            shown["messages"] = messages
            yield shown


class Messages:
    """The messages of a session, in order; again from the beginning each time they are asked."""

    def __init__(
        self,
        session: Session,
        rows: Sequence[Row] | None,
        sealed: records.Opener,
        moment: Moment,
        *,
        owned: bool,
    ) -> None:
        """Hold ``rows``, which are all; None lets them be read piece by piece.

        What was said before an edit is only there where the owner asks (``owned``).
        """
        self._session, self._rows, self._owned = session, rows, owned
        self._opener = _Opener(session, sealed, moment, owned=owned)
        self._last = session.last_seq
        self._kept: Collection[int] | None = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        above: dict[int, str] = {}
        for rows in self._pieces():
            above = self._ids(rows, above)
            revised = _revised(rows) if self._owned else {}
            for row in rows:
                yield self._opener.shown(row, above, revised)

    def links(self) -> list[tuple[str, str | None]]:
        """Return the id of each message and of the one it follows, without opening any."""
        links = self._links()
        ids = {seq: _text_of(uuid) for seq, _parent, uuid in links}
        kept = self._kept
        return [
            (ids[seq], ids.get(parent) if parent else None)
            for seq, parent, _uuid in links
            if kept is None or seq in kept
        ]

    def id_of(self, seq: int | None) -> str | None:
        """Return the id of a message, or None where there is none of this number."""
        if seq is None or self._rows is not None:
            return next((_text_of(row.uuid) for row in self._rows or () if row.seq == seq), None)
        uuid = self._session.messages.filter(seq=seq).values_list("uuid", flat=True).first()
        return None if uuid is None else str(uuid)

    def keep_branch(self, leaf: UUID) -> str:
        """Leave only what leads to ``leaf``, and return its id. Raises Invalid."""
        links = self._links()
        parents = {seq: parent for seq, parent, _uuid in links}
        wanted = str(leaf)
        at = next((seq for seq, _parent, uuid in links if _text_of(uuid) == wanted), None)
        if at is None:
            raise Invalid("Not a message of this session.", field="message")
        self._kept = path = set[int]()
        while at is not None and at in parents:
            path.add(at)
            at = parents[at]
        return wanted

    def _links(self) -> list[tuple[int, int | None, Any]]:
        if self._rows is not None:
            return [(row.seq, row.parent_seq, row.uuid) for row in self._rows]
        rows = self._session.messages.filter(seq__lte=self._last).order_by("seq")
        return list(rows.values_list("seq", "parent_seq", "uuid"))

    def _pieces(self) -> Iterator[Sequence[Row]]:
        for rows in [self._rows] if self._rows is not None else self._reads():
            yield rows if self._kept is None else [row for row in rows if row.seq in self._kept]

    def _reads(self) -> Iterator[Sequence[Row]]:
        after = 0
        where = f"session_id = %s AND seq > %s AND seq <= %s ORDER BY seq LIMIT {ROWS}"
        while rows := _read(where, [self._session.pk, after, self._last]):
            after = rows[-1].seq
            yield rows

    def _ids(self, rows: Sequence[Row], before: dict[int, str]) -> dict[int, str]:
        """Return the ids of these rows and of all that they follow, by number."""
        ids = {row.seq: _text_of(row.uuid) for row in rows}
        wanted = {row.parent_seq for row in rows if row.parent_seq} - ids.keys()
        ids |= {seq: before[seq] for seq in wanted if seq in before}
        if self._rows is None and (missing := wanted - ids.keys()):
            found = self._session.messages.filter(seq__in=missing).values_list("seq", "uuid")
            ids |= {seq: str(uuid) for seq, uuid in found}
        return ids


class _Opener:
    """Opens the messages of one session."""

    def __init__(
        self, session: Session, sealed: records.Opener, moment: Moment, *, owned: bool
    ) -> None:
        self._session, self._id, self._owned = session, str(session.uuid), owned
        self._sealed, self._moment = sealed, moment

    def shown(
        self, row: Row, ids: dict[int, str], revised: dict[int, list[Revision]]
    ) -> dict[str, Any]:
        """Return a message; ``damaged``, and without its text, where the record does not open."""
        moment = self._moment
        shown: dict[str, Any] = {
            "id": ids[row.seq],
            "session_id": self._id,
            "parent_id": ids.get(row.parent_seq) if row.parent_seq else None,
            "seq": row.seq,
            "role": row.role,
            "timestamp": moment(row.created_at),
            "edited_at": moment(row.edited_at) if row.edited_at else None,
            "deleted_at": moment(row.deleted_at) if row.deleted_at else None,
            "revision": row.revision,
            "status": row.status,
            "tokens": row.tokens,
            "damaged": False,
            "author": "",
            "content": "",
            "blocks": [],
            "metadata": {},
        }
        if row.deleted_at is None:
            self._fill(shown, row, revised)
        return shown

    def _fill(self, shown: dict[str, Any], row: Row, revised: dict[int, list[Revision]]) -> None:
        try:
            body = self._body(row)
        except Damaged:
            shown["status"], shown["damaged"] = "damaged", True
            return
        shown["author"], shown["content"] = body.author, body.content
        shown["blocks"], shown["metadata"] = body.blocks, body.metadata
        # The provider's item still says what an edit took away.
        shown["raw"] = body.raw if self._owned or row.revision == 1 else None
        shown["revisions"] = self._revisions(row, revised.get(row.pk, ()))

    def _body(self, row: Row) -> records.Body:
        if row.record is None or row.block is not None:
            return self._apart(row)
        record = _plain(row.record)
        return self._sealed.body(_bytes_of(row.uuid), row.role, row.revision, record)

    def _apart(self, row: Row) -> records.Body:
        """Open what did not come with its row: in a block, or large."""
        if row.block is None:
            return self._large(row)
        known = {"uuid": UUID(bytes=_bytes_of(row.uuid)), "block_id": row.block}
        message = Message(pk=row.pk, role=row.role, revision=row.revision, **known)
        return records.open_body(message, self._session)

    def _large(self, row: Row) -> records.Body:
        """Open what the row held when it was read: an edit since then has made it an earlier text.

        Raises Damaged.
        """
        message = Message.objects.filter(pk=row.pk, revision=row.revision).first()
        if message is not None:
            return records.open_body(message, self._session)
        earlier = Revision.objects.filter(message=row.pk, revision=row.revision).first()
        if earlier is None:
            raise Damaged("The message was removed meanwhile.")
        return records.open_revision(earlier, self._session)

    def _revisions(self, row: Row, earlier: Iterable[Revision]) -> list[dict[str, Any]]:
        return [
            {
                "revision": old.revision,
                "content": body.content,
                "edited_at": represent.moment(old.said_at),
            }
            for old in earlier
            if old.revision < row.revision  # later ones are of edits since the row was read
            and (body := records.or_damaged(records.open_revision, old, self._session)) is not None
        ]


def _groups(
    sessions: Iterable[tuple[Session, bool]],
) -> Iterator[list[tuple[Session, bool]]]:
    """Yield as many sessions at a time as one read is to have messages of."""
    group: list[tuple[Session, bool]] = []
    size = 0
    for session, owned in sessions:
        if group and (size + session.last_seq > ROWS or len(group) == ROWS):
            yield group
            group, size = [], 0
        group.append((session, owned))
        size += session.last_seq
    if group:
        yield group


def _read_group(
    sessions: Sequence[Session],
) -> tuple[dict[int, list[Row]] | None, dict[int, dict[int, Key]]]:
    """Return the messages of each session, None of one that is long, and their keys."""
    keys: dict[int, dict[int, Key]] = {}
    for _pk, group in groupby(sessions, key=lambda session: session.account_id):
        own = list(group)
        keys |= keyring.read_sessions(own[0].account, {(one.pk, one.uuid) for one in own})
    if sessions[0].last_seq > ROWS:
        return None, keys
    marks = ", ".join(["%s"] * len(sessions))
    last = {one.pk: one.last_seq for one in sessions}
    found = _read(f"session_id IN ({marks}) ORDER BY session_id, seq", list(last))
    rows = [row for row in found if row.seq <= last[row.session]]
    return {pk: list(group) for pk, group in groupby(rows, key=lambda row: row.session)}, keys


def _tags(sessions: Sequence[Session]) -> dict[int, list[str]]:
    """Return the names of each session's tags; one that does not open is left out."""
    if not sessions:
        return {}
    owners = {session.pk: session.account for session in sessions}
    table, marks = Session.tags.through._meta.db_table, ", ".join(["%s"] * len(owners))
    with bulk.connection(Session).cursor() as cursor:
        sql = f"SELECT session_id, tag_id FROM {table} WHERE session_id IN ({marks})"  # noqa: S608
        cursor.execute(sql, list(owners))
        pairs = cursor.fetchall()
    rows = Tag.objects.in_bulk({tag for _session, tag in pairs}) if pairs else {}
    found: dict[int, list[str]] = {}
    for session, tag in pairs:
        if tag in rows:
            name = records.or_damaged(records.tag_name, rows[tag], owners[session])
            found.setdefault(session, []).extend([] if name is None else [name])
    return {pk: sorted(names) for pk, names in found.items()}


def _read(where: str, values: Sequence[int]) -> list[Row]:
    link = bulk.connection(Message)
    # As text where they are text: SQLite's driver would parse each.
    times = [f"{name} || ''" if link.vendor == "sqlite" else name for name in _TIMES]
    names = ", ".join([*_COLUMNS, *times])
    record = f"CASE WHEN length(body) <= {INLINE} THEN body END"
    sql = f"SELECT {names}, {record} FROM {Message._meta.db_table} WHERE {where}"  # noqa: S608
    with link.cursor() as cursor:
        cursor.execute(sql, values)
        return list(map(Row._make, cursor.fetchall()))


def _revised(rows: Iterable[Row]) -> dict[int, list[Revision]]:
    """Return the earlier texts of the messages that have any."""
    changed = [row.pk for row in rows if row.revision > 1]
    if not changed:
        return {}
    earlier = Revision.objects.filter(message__in=changed).order_by("message_id", "revision")
    return {pk: list(group) for pk, group in groupby(earlier, key=lambda old: old.message_id)}


def _text_of(uuid: Any) -> str:
    """Return a uuid as text, whichever way the database has it."""
    if isinstance(uuid, str):
        return f"{uuid[:8]}-{uuid[8:12]}-{uuid[12:16]}-{uuid[16:20]}-{uuid[20:]}"
    return str(uuid)


def _bytes_of(uuid: Any) -> bytes:
    return bytes.fromhex(uuid) if isinstance(uuid, str) else bytes(uuid.bytes)


def _plain(record: Any) -> bytes:
    """Return a record as bytes; what else SQLite was made to hold opens nowhere."""
    if isinstance(record, bytes):
        return record
    return bytes(record) if isinstance(record, memoryview) else str(record).encode()


def _moments() -> Moment:
    """Return what writes a time as the database has it in ISO 8601."""
    zone: Any = bulk.connection(Message).timezone

    def moment(value: Any) -> str | None:
        if isinstance(value, str):  # of SQLite, which keeps no zone
            if zone is UTC:
                return f"{value[:10]}T{value[11:]}Z"
            value = datetime.fromisoformat(value)
        if value.tzinfo is not None or zone is None:
            return represent.moment(value)
        if zone is UTC:
            return f"{value.isoformat()}Z"
        return represent.moment(value.replace(tzinfo=zone))

    return moment
