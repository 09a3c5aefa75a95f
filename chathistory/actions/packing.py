"""Packing: the bodies of archived sessions into blocks, and out of them when a session wakes.

Nothing that anybody reads changes by it: rows, ids, order and texts stay. Whatever is compressed
is so before the lock is taken; what has moved by then is left for the next run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, groupby
from operator import attrgetter
from typing import Protocol

from django.db.models import Count
from django.utils.translation import gettext as _

from chathistory import blocks, bulk, crypto, ids, keyring, records, registry
from chathistory.blocks import Part
from chathistory.exceptions import Damaged, Invalid
from chathistory.journal import Operation
from chathistory.models import Account, Block, Message, Session
from chathistory.states import State

from . import accounts

_AT_ONCE, _SESSIONS = 200, 50  # messages (a multiple of a block) and sessions of a transaction
_PAGE = 500  # sessions looked up at a time
_THREADS = 2
#: What makes a session due, as the index of those that are says it, and that index.
_WOKEN = "compressed AND state IN ('active', 'idle')", "ch_session_to_unpack"
_ARCHIVED = "NOT compressed AND state = 'archived'", "ch_session_to_pack"
_READ = ("uuid", "session", "seq", "role", "revision", "body", "block", "changed")
_BODY = ("body", "block", "changed")
_BLOCK = ("account", "session", "uuid", "body", "created_at", "changed")


@registry.job("compress", public=True)
def compress(work: registry.Work) -> dict[str, int]:
    """Pack what is archived and unpack what woke: a person's own, or for the system everybody's.

    May stop anywhere and run again. Returns how many messages it packed and unpacked, and how
    many are damaged: those stay as they are. Raises Invalid for any argument.
    """
    if work.arguments:
        raise Invalid(_("This kind of job takes no arguments."), field="arguments")
    tally: Counter[str] = Counter()
    woken, archived = _due(work.account, *_WOKEN), _due(work.account, *_ARCHIVED)
    total, done = len(woken) + len(archived), 0
    with ThreadPoolExecutor(_THREADS) as threads:
        ways = (woken, _Unpack(threads, tally)), (archived, _Pack(threads, tally))
        for batch in chain.from_iterable(_ahead(_batches(*one)) for one in ways):
            done += batch.write(work.account)
            work.step(done, total)
    return {name: tally[name] for name in ("packed", "unpacked", "damaged")}


registry.beat("compress", 300, "Pack archived sessions and unpack those that woke")


def unpack_block(op: Operation, session: Session, message: Message) -> None:
    """Give a message and the others of its block their own bodies again, within ``op``.

    ``session`` carries the account of ``op`` and is then to be touched by the caller; an archived
    one will be packed anew. A message in no block is left alone. Raises Damaged, with nothing
    written, where any text of the block does not open.
    """
    if message.block_id is None:
        return
    block = session.blocks.filter(pk=message.block_id).first()
    rows = list(session.messages.filter(block=message.block_id).only(*_READ))
    _out(session, block, rows, Counter()).apply(op, session)
    own = next(row for row in rows if row.pk == message.pk)
    message.body, message.block_id, message.changed = own.body, None, own.changed
    if session.archived_at is not None:
        session.compressed = False
        bulk.update(session, ["compressed"])


def _due(account: Account, condition: str, index: str) -> list[int]:
    """Return the keys of an account's sessions, or for the system of all, that a run looks at."""
    if account.uuid != accounts.SYSTEM:
        mine = Session.objects.mine(account.user).extra(where=[condition])  # noqa: S610
        return list(mine.order_by("pk").values_list("pk", flat=True))
    link, table = bulk.connection(Session), Session._meta.db_table
    # It holds just these, but without statistics SQLite would rather walk all that are archived.
    hint = f"INDEXED BY {index}" if link.vendor == "sqlite" else ""
    with link.cursor() as cursor:
        cursor.execute(f"SELECT id FROM {table} {hint} WHERE {condition} ORDER BY id")  # noqa: S608
        return [row[0] for row in cursor.fetchall()]


class _Ten(Protocol):
    """The messages of one block, ready to go in or out."""

    session: Session
    rows: list[Message]

    def apply(self, op: Operation, session: Session) -> None:
        """Write them; ``session`` is read within ``op``."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What one transaction looks at: whole sessions that are short, or a part of a long one."""

    account: Account
    sessions: dict[int, Session]
    #: The seqs are the _AT_ONCE after this one: no block lies across the end, for it is full tens.
    after: int = 0

    @property
    def ended(self) -> list[int]:
        """The sessions of which nothing else follows."""
        end = self.after + _AT_ONCE
        return [pk for pk, session in self.sessions.items() if session.last_seq <= end]

    def messages(self, *, packed: bool) -> Iterable[Message]:
        """Read its messages that are in blocks, or those that are not."""
        rows = Message.objects.filter(session__in=self.sessions, block__isnull=not packed)
        rows = rows.filter(seq__gt=self.after, seq__lte=self.after + _AT_ONCE)
        return rows.order_by("session", "seq").only(*_READ)


class _Way(ABC):
    """Into blocks or out of them."""

    op: str
    states: tuple[State, ...]
    #: Whether messages are in blocks in the end.
    packed: bool

    def __init__(self, threads: Executor, tally: Counter[str]) -> None:
        self.threads, self.tally = threads, tally
        #: How many messages of a session do not open.
        self.damaged: Counter[int] = Counter()

    def note_damaged(self, session: Session, messages: int) -> None:
        """Count messages of a session as damaged."""
        self.damaged[session.pk] += messages
        self.tally["damaged"] += messages

    @abstractmethod
    def tens(self, stretch: _Stretch) -> Iterator[_Ten]:
        """Prepare messages."""

    def finished(self, sessions: Collection[int]) -> set[int]:
        """Return the sessions in which all that opens is as it should be."""
        rows = Message.objects.filter(session__in=sessions, block__isnull=self.packed)
        counts = rows.order_by().values_list("session").annotate(Count("pk"))
        left = dict(counts)
        return {pk for pk in sessions if left.get(pk, 0) <= self.damaged[pk]}


@dataclass(slots=True)
class _In:
    """Messages on their way into a block."""

    session: Session
    rows: list[Message]
    packed: Future[tuple[int, bytes]]
    tally: Counter[str]

    def apply(self, op: Operation, session: Session) -> None:
        uuid = ids.new_id()
        key = keyring.session_key(op.account, session)
        body = blocks.seal(key, uuid, session.uuid, *self.packed.result())
        changed = op.record("block", uuid, session=session)
        block = (op.account.pk, session.pk, uuid, body, op.at, changed)
        pk = bulk.insert(Block, _BLOCK, [block])
        for row in self.rows:
            row.body, row.block_id, row.changed = b"", pk, changed
        bulk.update_all(self.rows, _BODY)
        self.tally["packed"] += len(self.rows)


@dataclass(slots=True)
class _Out:
    """Messages on their way out of a block, with their bodies packed each by itself."""

    session: Session
    rows: list[Message]
    block: Block
    packed: list[tuple[int, bytes]]
    tally: Counter[str]

    def apply(self, op: Operation, session: Session) -> None:
        key = keyring.session_key(op.account, session)
        changed = op.record("block", self.block.uuid, session=session, before={})
        for row, (codec, packed) in zip(self.rows, self.packed, strict=True):
            context = records.body_context(row.uuid, session.uuid, row.role, row.revision)
            row.body = crypto.seal_packed(key, codec, packed, context)
            row.block_id, row.changed = None, changed
        bulk.update_all(self.rows, _BODY)
        Block.objects.filter(pk=self.block.pk).delete()
        self.tally["unpacked"] += len(self.rows)


class _Pack(_Way):
    """Into blocks: 1 to 10, 11 to 20 and so on by seq; what is damaged stays outside."""

    op, states, packed = "session.pack", (State.ARCHIVED,), True

    def tens(self, stretch: _Stretch) -> Iterator[_Ten]:
        for (pk, _n), some in groupby(stretch.messages(packed=False), key=_number):
            session = stretch.sessions[pk]
            own = [(row, part) for row in some if (part := self._part(session, row))]
            if own:
                packed = self.threads.submit(_tightly, [part for _, part in own])
                yield _In(session, [row for row, _ in own], packed, self.tally)

    def _part(self, session: Session, row: Message) -> Part | None:
        try:
            return Part(row.uuid, row.revision, row.role, records.open_packed(row, session))
        except Damaged:
            self.note_damaged(session, 1)
            return None


class _Unpack(_Way):
    """Out of blocks; one that does not open stays, and its messages with it."""

    op, states, packed = "session.unpack", (State.ACTIVE, State.IDLE), False

    def tens(self, stretch: _Stretch) -> Iterator[_Ten]:
        own: dict[int | None, list[Message]] = {}
        for row in stretch.messages(packed=True):
            own.setdefault(row.block_id, []).append(row)
        found = Block.objects.in_bulk(own)
        for pk, rows in own.items():
            session = stretch.sessions[rows[0].session_id]
            try:
                yield _out(session, found.get(pk), rows, self.tally)
            except Damaged:
                self.note_damaged(session, len(rows))


def _number(row: Message) -> tuple[int, int]:
    return row.session_id, (row.seq - 1) // blocks.SIZE


def _tightly(parts: Sequence[Part]) -> tuple[int, bytes]:
    return crypto.pack_tightly(blocks.join(parts))


def _out(session: Session, block: Block | None, rows: list[Message], tally: Counter[str]) -> _Out:
    """Take a block apart. Raises Damaged where any text in it does not open."""
    if block is None:
        raise Damaged("The messages' block is gone.")
    place = session.pk, session.uuid
    opened = blocks.unseal(session.account, place, block.uuid, block.body)
    texts = [opened.body(row.uuid, row.revision, row.role) for row in rows]
    return _Out(session, rows, block, [crypto.pack(text) for text in texts], tally)


class _Batch:
    """A stretch, prepared."""

    def __init__(self, way: _Way, stretch: _Stretch) -> None:
        self._way, self._stretch = way, stretch
        self._tens = list(way.tens(stretch))

    def write(self, actor: Account) -> int:
        """Write what has not moved; return how many sessions were gone through to their end."""
        ended = self._stretch.ended
        with Operation(self._stretch.account, actor, self._way.op) as op:
            sessions = self._fresh(op)
            tens = [ten for ten in self._unmoved() if ten.session.pk in sessions]
            for ten in tens:
                ten.apply(op, sessions[ten.session.pk])
            finished = self._way.finished(sessions.keys() & set(ended))
            touched = finished.union(ten.session.pk for ten in tens)
            self._note(op, [sessions[pk] for pk in sorted(touched)], finished)
        return len(ended)

    def _fresh(self, op: Operation) -> dict[int, Session]:
        keys = self._stretch.sessions
        rows = Session.objects.filter(pk__in=keys, state__in=self._way.states)
        found = {row.pk: row for row in rows}
        for row in found.values():
            row.account = op.account
        return found

    def _unmoved(self) -> list[_Ten]:
        keys = [row.pk for ten in self._tens for row in ten.rows]
        now = set(Message.objects.filter(pk__in=keys).values_list("pk", "changed"))
        return [ten for ten in self._tens if now.issuperset((r.pk, r.changed) for r in ten.rows)]

    def _note(self, op: Operation, rows: list[Session], finished: set[int]) -> None:
        for row in rows:
            row.changed = op.record("session", row.uuid, session=row, before={})
            if row.pk in finished:
                row.compressed = self._way.packed
        bulk.update_all(rows, ("compressed", "changed"))


def _batches(due: list[int], way: _Way) -> Iterator[_Batch]:
    for at in range(0, len(due), _PAGE):
        rows = Session.objects.filter(pk__in=due[at : at + _PAGE], state__in=way.states)
        still = rows.filter(compressed=not way.packed).select_related("account")
        for _pk, own in groupby(still.order_by("account", "pk"), key=attrgetter("account_id")):
            for stretch in _stretches(_with_keys(list(own), way)):
                yield _Batch(way, stretch)


def _stretches(sessions: Iterable[Session]) -> Iterator[_Stretch]:
    """Cut one account's sessions into what a transaction may take."""
    short: dict[int, Session] = {}
    size = 0
    for session in sessions:
        if session.last_seq > _AT_ONCE:
            for after in range(0, session.last_seq, _AT_ONCE):
                yield _Stretch(session.account, {session.pk: session}, after)
            continue
        if size + session.last_seq > _AT_ONCE or len(short) == _SESSIONS:
            yield _Stretch(session.account, short)
            short, size = {}, 0
        short[session.pk] = session
        size += session.last_seq
    if short:
        yield _Stretch(next(iter(short.values())).account, short)


def _with_keys(sessions: list[Session], way: _Way) -> Iterator[Session]:
    """Yield one account's sessions whose key opens; of others nothing can even be noted."""
    account = sessions[0].account
    with suppress(Damaged):  # told of each session below
        keyring.load_sessions(account, [(row.pk, row.uuid) for row in sessions])
    for session in sessions:
        session.account = account
        try:
            keyring.session_key(account, session)
        except Damaged:
            way.note_damaged(session, session.message_count)
        else:
            yield session


def _ahead(batches: Iterator[_Batch]) -> Iterator[_Batch]:
    """Yield each batch while the threads are at work on the next."""
    before = None
    for batch in batches:
        if before is not None:
            yield before
        before = batch
    if before is not None:
        yield before
