"""In and out: transcripts of any format to rows, and rows to our JSON."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from uuid import UUID

from django.db import DataError, IntegrityError
from django.utils.translation import gettext as _

from chathistory import bulk, formats, keyring, records, text, workflows
from chathistory.exceptions import Conflict, Invalid
from chathistory.formats.base import FormatError, Problem, Transcript, Turn
from chathistory.formats.times import from_epoch
from chathistory.journal import Operation
from chathistory.models import Account, Message, Session
from chathistory.records import Body
from chathistory.search import upkeep
from chathistory.search.base import Doc, index
from chathistory.states import State

from . import accounts, lifecycle, pipeline, placing, retention
from .pipeline import Draft, Run
from .planning import Naming, Outcome, Part, Plan, Planner, sessions_of
from .preparing import Preparer
from .sessions import tag_row

#: What a chat is called that came in without a title (the founding document's name).
UNTITLED = "Imported Chat"
_KEY_VERSIONS = 1 << 30
_BATCH = 1250  # messages of one transaction
_HEAVY = 13  # bits: of a long message each 8,192 characters count as one more
_AT_ONCE = 500  # ids of one query
_FILLED = (
    *("title", "title_revision", "title_source", "indexed", "preview", "preview_revision"),
    *("metadata", "metadata_revision", "last_seq", "head_seq", "message_count", "total_tokens"),
    *("state", "archived_at", "deleted_at", "purge_after"),
    *("last_activity", "updated_at", "version", "changed"),
)

Step = Callable[[int, int | None], object]


@dataclass(slots=True)
class Report:
    """What an import did, chat by chat, in the order of the file."""

    dry_run: bool = False
    outcomes: list[Outcome] = field(default_factory=list)

    def count(self, outcome: str) -> int:
        """Return how many chats ended so."""
        return sum(1 for one in self.outcomes if one.outcome == outcome)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON."""
        names = ("new", "extended", "unchanged", "empty", "failed")
        totals = {f"sessions_{name}": self.count(name) for name in names}
        added = sum(one.messages for one in self.outcomes)
        outcomes = [one.as_dict() for one in self.outcomes]
        return {
            "dry_run": self.dry_run,
            **totals,
            "messages_added": added,
            "sessions": outcomes,
        }


def import_file(
    user: Any,
    file: BinaryIO,
    *,
    name: str = "",
    format_name: str | None = None,
    copy: bool = False,
    dry_run: bool = False,
    once: UUID | None = None,
    step: Step | None = None,
) -> Report:
    """Import every chat of a file, of the format named or else the one its content tells.

    Copies made under the same ``once`` are made once. ``step`` is told now and then how many
    kilobytes are read, and of how many; what it raises ends the import between two transactions.
    Raises Invalid when the file as a whole is refused, or there is no such format.
    """
    items = read(file, name, format_name)
    told = step and _in_kilobytes(file, step)
    return import_transcripts(
        user,
        _telling(items, told) if told else items,
        naming=Naming.NEW if copy else Naming.DERIVED,
        dry_run=dry_run,
        space=once if copy else None,
        step=told,
    )


def _in_kilobytes(file: BinaryIO, step: Step) -> Callable[[], object]:
    size = file.seek(0, os.SEEK_END) >> 10
    file.seek(0)
    furthest = 0

    def tell() -> None:
        nonlocal furthest  # the beginning is looked at again at the end
        furthest = max(furthest, min(file.tell() >> 10, size))
        step(furthest, size)

    return tell


def _telling(
    items: Iterator[Transcript | Problem], step: Callable[[], object]
) -> Iterator[Transcript | Problem]:
    """Yield the same and tell ``step``: what is only looked at, or known, has no transaction."""
    for item in items:
        yield item
        step()
    step()


def check_format(name: str | None) -> None:
    """Raise Invalid, naming the formats there are, where ``name`` is none of them."""
    if name and name not in formats.FORMATS:
        known = ", ".join(formats.FORMATS)
        raise Invalid(_("Unknown format; one of: %(known)s.") % {"known": known}, field="format")


def read(
    file: BinaryIO, name: str = "", format_name: str | None = None
) -> Iterator[Transcript | Problem]:
    """Yield a file's chats.

    Raises Invalid when the file as a whole is refused, or there is no such format.
    """
    check_format(format_name)
    return judged(formats.read(file, name=name, format_name=format_name))


def judged(items: Iterable[Transcript | Problem]) -> Iterator[Transcript | Problem]:
    """Yield what is read; what stops the reading after whole chats came is one more problem.

    A chat that came without a title is given one.

    Raises Invalid when the file as a whole is refused.
    """
    found = 0
    try:
        for item in items:
            if isinstance(item, Transcript):
                found += 1
                if not (item.title or "").strip():
                    item.title, item.title_source = UNTITLED, "auto"
            yield item
    except FormatError as error:
        if not found:
            raise Invalid(str(error), field="file") from None
        yield Problem("the rest of the file", None, None, str(error))


def import_transcripts(
    user: Any,
    items: Iterable[Transcript | Problem],
    *,
    naming: Naming = Naming.DERIVED,
    dry_run: bool = False,
    space: UUID | None = None,
    step: Callable[[], object] | None = None,
) -> Report:
    """Import chats into the account of ``user``.

    The same chat again adds nothing, unless it is given new ids; a longer one adds what is new.
    A chat that is wrong anywhere stays out as a whole. A large one comes in by several
    transactions: what an end in between leaves, the same chat again completes. ``space`` is what
    ids are derived in, by default the account; ``step`` is called before each transaction.
    """
    account = accounts.of(user)
    report = Report(dry_run)
    planner = Planner(account, naming, space)
    before: _Batch | None = None
    places = placing.Places()
    keyed = keyring.account_keys(account).search
    with bulk.unswept(), bulk.loading(Message), Preparer(keyed) as preparer:
        for parts in _batches(planner, items, report):
            if step is not None:
                step()
            if before is not None:
                preparer.go_beside()
            batch = _Batch(account, parts, preparer, places)
            if before is not None:
                before.finish()
            before = batch
        if before is not None:
            before.finish()
    return report


def _batches(
    planner: Planner, items: Iterable[Transcript | Problem], report: Report
) -> Iterator[list[Part]]:
    """Yield what one transaction is to write, about as many messages each; nothing if dry."""
    for plans in _planned(planner, items, report):
        if report.dry_run:
            planner.promise(plans)
        else:
            yield from _parts(plans)


def _planned(
    planner: Planner, items: Iterable[Transcript | Problem], report: Report
) -> Iterator[list[Plan]]:
    """Yield plans of different sessions, about as many as one transaction is to write."""
    waiting = 0
    plans: dict[UUID, Plan] = {}
    for item in items:
        if isinstance(item, Problem):
            failed = Outcome(item.where, item.id, item.title, "failed", reason=item.reason)
            report.outcomes.append(failed)
            continue
        plan = planner.begin(item)
        if waiting >= _BATCH or plan.uuid in plans:
            planner.finish(plans.values())
            yield list(plans.values())
            plans, waiting = {}, 0
        plans[plan.uuid] = plan
        report.outcomes.append(plan.outcome)
        waiting += _weight(item.turns)
    planner.finish(plans.values())
    yield list(plans.values())


def _weight(turns: Iterable[Turn]) -> int:
    return 1 + sum(1 + (len(turn.content) >> _HEAVY) for turn in turns)


def _parts(plans: Iterable[Plan]) -> Iterator[list[Part]]:
    """Yield as much of the plans at a time as one transaction is to write."""
    batch: list[Part] = []
    waiting = 0
    for plan in plans:
        while plan.has_more:
            turns, drafts = plan.take(_BATCH)
            batch.append(Part(plan, turns, drafts, not plan.has_more, _heading(plan, drafts)))
            waiting += len(drafts) + 1
            if waiting >= _BATCH:
                yield batch
                batch, waiting = [], 0
    if batch:
        yield batch


def _heading(plan: Plan, drafts: Sequence[Draft]) -> Draft:
    title = plan.title or _asked(drafts) or ""
    return Draft("", Body(upkeep.title_text(title, plan.transcript.metadata)))


def _asked(drafts: Sequence[Draft]) -> str | None:
    """Return the title that is made of what is asked first."""
    first = next((one for one in drafts if one.role == "user" and not one.deleted_at), None)
    return None if first is None else text.title_from(first.body.content)


class _Batch:
    """Parts of chats for one transaction: prepared while the one before is written."""

    def __init__(
        self, account: Account, parts: list[Part], preparer: Preparer, places: placing.Places
    ) -> None:
        self._account, self._parts, self._places = account, parts, places
        self._prepare = preparer.begin([one for p in parts for one in (*p.drafts, p.heading)])

    def finish(self) -> None:
        """Write the batch; where the database refuses something, chat by chat."""
        parts = [part for part in self._parts if not part.plan.has_failed]
        if not parts:
            return
        self._prepare()
        try:
            self._write(parts)
        except (IntegrityError, DataError):
            for part in parts:
                self._write_alone(part)

    def _write_alone(self, part: Part) -> None:
        try:
            self._write([part])
        except (IntegrityError, DataError):
            part.plan.fail(Conflict(_("One of its ids is taken, or a value is out of range.")))

    def _write(self, parts: Sequence[Part]) -> None:
        with Operation(self._account, self._account, "session.import") as op:
            _write(op, parts, self._places)
        for part in parts:
            part.settle()
        # As many as a large import brings would push out those that are in use.
        keyring.release(self._account, [part.session for part in parts if part.session])


def _write(op: Operation, parts: Sequence[Part], places: placing.Places) -> None:
    uuids = [part.plan.uuid for part in parts]
    rows = {row.uuid: row for row in sessions_of(op.account, uuids)}
    parts = [part for part in parts if part.may_follow(rows.get(part.plan.uuid))]
    known = workflows.known()
    made = [_new_session(op, part, known) for part in parts if part.is_new]
    bulk.create(made)
    keyring.make_session_keys(op.account, made)
    moved = [part for part in parts if _number(op, part)]
    _store(op, moved, places)
    bulk.update_all([part.session for part in moved if part.session], _FILLED)


def _store(op: Operation, parts: Sequence[Part], places: placing.Places) -> None:
    """Store the parts in their sessions, which are not yet saved."""
    run, titles, number = Run(), list[Doc](), upkeep.number(titles=True)
    times = [draft.created_at for part in parts for _turn, draft in part.kept]
    given = places.of(op.at, times)
    for part in parts:
        _fill(op, part, run, given)
        titles += _entitle(part, number)
    run.insert()
    index().add(titles, titles=True)
    for part in parts:
        _keep_revisions(op, part)


def _new_session(op: Operation, part: Part, known: Container[str]) -> Session:
    transcript, drafts = part.plan.transcript, part.drafts
    first = transcript.created or (drafts[0].created_at if drafts else None) or op.at
    session = Session(account=op.account, uuid=part.plan.uuid, version=0)
    # The same uuid may have been here before: no process may take the old key for the new one.
    session.key_version = secrets.randbelow(_KEY_VERSIONS) + 1
    session.pinned = transcript.pinned
    given = transcript.workflow
    session.workflow = given if given and given in known else workflows.IMPORTED
    session.created_at = first
    session.updated_at = session.last_activity = transcript.updated or first
    part.session = session
    return session


def _number(op: Operation, part: Part) -> bool:
    """Find out what nobody has stored meanwhile; tell whether the part brings anything."""
    session = part.session
    assert session is not None  # noqa: S101  (_write gave each part its own)
    session.account = op.account
    seqs, known = part.plan.seqs, _stored_meanwhile(part, session)
    last, part.kept = session.last_seq, []
    for turn, draft in zip(part.turns, part.drafts, strict=True):
        seq = known.get(draft.uuid)
        if seq is None:
            seq = last = last + 1
            part.kept.append((turn, draft))
        seqs[turn.id] = seq
        draft.parent_seq = seqs.get(turn.parent) if turn.parent is not None else None
    part.stored = len(part.kept)
    return bool(part.kept) or part.is_new


def _fill(op: Operation, part: Part, run: Run, places: Iterator[int]) -> None:
    """Add a part's messages to ``run``, and let its session follow, not yet saved."""
    session, plan = part.session, part.plan
    assert session is not None  # noqa: S101  (as in _number)
    before = {} if part.is_new else _before(session)
    run.add(op, session, [draft for _turn, draft in part.kept], places)
    head = plan.seqs.get(plan.transcript.head) if plan.transcript.head else None
    session.head_seq = head or session.head_seq
    if part.is_new:
        _describe(op, session, plan)
    elif not (session.state == State.ARCHIVED == plan.transcript.extra.get("state")):
        pipeline.wake(session)
    _refresh(session, part.kept, plan)
    before |= _put_away(op, session, part)
    session.version += 1
    image = None if part.is_new else before
    session.changed = op.record("session", session.uuid, session=session, before=image)


def _stored_meanwhile(part: Part, session: Session) -> dict[UUID, int]:
    seen = part.plan.session
    if part.is_new or (seen is not None and seen.changed == session.changed):
        return {}
    asked = [draft.uuid for draft in part.drafts]
    found: dict[UUID, int] = {}
    for start in range(0, len(asked), _AT_ONCE):
        some = session.messages.filter(uuid__in=asked[start : start + _AT_ONCE])
        found.update(some.values_list("uuid", "seq"))
    return found


def _before(session: Session) -> dict[str, Any]:
    return {
        "head_seq": session.head_seq,
        "last_seq": session.last_seq,
        "state": session.state,
        "archived_at": str(session.archived_at or ""),
        "last_activity": session.last_activity.isoformat(),
        "updated_at": session.updated_at.isoformat(),
        **({} if session.title else {"title": None}),
    }


def _describe(op: Operation, session: Session, plan: Plan) -> None:
    transcript = plan.transcript
    if transcript.metadata:
        records.set_column(session, "metadata", transcript.metadata)
    if transcript.tags:
        session.tags.set([tag_row(op, name) for name in transcript.tags])
    if plan.title is not None:
        session.title_source = transcript.title_source


def _entitle(part: Part, number: int) -> list[Doc]:
    """Give a session without a title the one that came with it, or one of what is asked first.

    Return what the index of titles is to hold of it; ``number`` is that of the index.
    """
    session = part.session
    if session is None or session.title is not None:
        return []
    title = (part.plan.title if part.is_new else None) or _asked(part.drafts)
    if title:
        pipeline.unindex_title(session)
        records.set_column(session, "title", title)
    if not upkeep.is_titled(session) or (session.indexed and upkeep.is_in(session)):
        return []
    session.indexed = number
    return [Doc(session.pk, part.heading.index if part.is_new else upkeep.title_tokens(session))]


def _refresh(session: Session, kept: Sequence[tuple[Turn, Draft]], plan: Plan) -> None:
    shown = next((d for turn, d in kept if plan.seqs[turn.id] == session.head_seq), None)
    if shown is not None and not shown.deleted_at:
        records.set_column(session, "preview", text.preview_of(shown.body.content))
    times = [draft.created_at for _turn, draft in kept if draft.created_at]
    if times:
        newest = max(times)
        session.last_activity = max(newest, session.last_activity) if session.version else newest
        session.updated_at = max(session.updated_at, session.last_activity)


def _put_away(op: Operation, session: Session, part: Part) -> dict[str, Any]:
    """Move a session to where the file has it; its time in the trash begins anew.

    It is archived at once, for an end between two transactions must not leave it anywhere else.
    """
    extra = part.plan.transcript.extra
    if part.is_new and extra.get("state") == State.ARCHIVED:
        before, _columns = lifecycle.move(session, "archive", op.at, None)
        session.archived_at = min(from_epoch(extra.get("archived_at")) or op.at, op.at)
        return before
    if part.is_last and part.is_ours and extra.get("state") == State.DELETED:
        before, _columns = lifecycle.move(session, "delete", op.at, retention.trash_for(session))
        return before
    return {}


def _keep_revisions(op: Operation, part: Part) -> None:
    session = part.session
    for turn, draft in part.kept:
        if turn.revisions and session is not None:
            message = Message.objects.get(uuid=draft.uuid)
            for old in turn.revisions:
                said = old.get("edited") or draft.created_at or op.at
                number, packed = old["revision"], Body(old["content"]).pack()
                pipeline.keep_revision(op, message, session, number, packed, min(said, op.at))
