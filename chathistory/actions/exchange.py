"""In and out: transcripts of any format to rows, and rows to our JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, BinaryIO
from uuid import UUID

from chathistory import bulk, formats, ids, keyring, records, represent, text, workflows
from chathistory.conf import settings
from chathistory.exceptions import ChatHistoryError, Invalid, LimitExceeded
from chathistory.formats.base import FormatError, Problem, Transcript, Turn
from chathistory.journal import Operation
from chathistory.models import Account, Message, Session
from chathistory.querysets import require
from chathistory.records import Body
from chathistory.search.base import VERSION, Doc, index
from chathistory.states import State

from . import accounts, pipeline
from .pipeline import Draft
from .preparing import Preparer
from .sessions import clean_metadata, clean_tags, tag_row

_BATCH = 2000  # messages of one transaction
_STATUSES = frozenset(Message.Status.values)
_METADATA = 2_000_000  # bytes: what a provider keeps of a chat beside its messages
_COMPUTED = ("total_tokens", "last_activity")


@dataclass(slots=True)
class Outcome:
    """What became of one chat: new, extended, unchanged or failed."""

    where: str
    id: str | None
    title: str | None
    outcome: str
    messages: int = 0
    session_id: str | None = None
    reason: str = ""


@dataclass(slots=True)
class Report:
    """What an import did, chat by chat."""

    dry_run: bool = False
    outcomes: list[Outcome] = field(default_factory=list)

    def count(self, outcome: str) -> int:
        """Return how many chats ended so."""
        return sum(1 for one in self.outcomes if one.outcome == outcome)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON."""
        names = ("new", "extended", "unchanged", "failed")
        totals = {f"sessions_{name}": self.count(name) for name in names}
        added = sum(one.messages for one in self.outcomes)
        outcomes = [asdict(one) for one in self.outcomes]
        return {
            "dry_run": self.dry_run,
            **totals,
            "messages_added": added,
            "sessions": outcomes,
        }


@dataclass(slots=True)
class _Plan:
    """One chat on its way in: its session, perhaps there already, and what is new of it."""

    transcript: Transcript
    uuid: UUID
    session: Session | None = None
    known: dict[UUID, int] = field(default_factory=dict)
    drafts: list[Draft] = field(default_factory=list)
    seqs: dict[str, int] = field(default_factory=dict)
    new: list[Turn] = field(default_factory=list)


def import_file(
    user: Any, file: BinaryIO, *, name: str = "", copy: bool = False, dry_run: bool = False
) -> Report:
    """Import every chat of a file whose format its content tells.

    Raises Invalid when the file as a whole is refused.
    """
    return import_transcripts(user, _read(file, name), copy=copy, dry_run=dry_run)


def _read(file: BinaryIO, name: str) -> Iterator[Transcript | Problem]:
    """Yield a file's chats; what stops the reading after whole ones came is one more problem."""
    found = 0
    try:
        for item in formats.read(file, name=name):
            yield item
            found += isinstance(item, Transcript)
    except FormatError as error:
        if not found:
            raise Invalid(str(error), field="file") from None
        yield Problem("the rest of the file", None, None, str(error))


def import_transcripts(
    user: Any,
    items: Iterable[Transcript | Problem],
    *,
    copy: bool = False,
    dry_run: bool = False,
) -> Report:
    """Import chats into the account of ``user``, each whole or not at all.

    The same chat again adds nothing; a longer one adds what is new; ``copy`` makes new sessions.
    """
    account = accounts.of(user)
    report = Report(dry_run)
    before: _Batch | None = None
    with Preparer(keyring.account_keys(account).search) as preparer:
        for chats in _batches(items, report):
            if before is not None:
                preparer.go_beside()
            batch = _Batch(account, chats, copy, preparer)
            if before is not None:
                before.finish(report)
            before = batch
        if before is not None:
            before.finish(report)
    return report


def _batches(
    items: Iterable[Transcript | Problem], report: Report
) -> Iterator[Collection[Transcript]]:
    """Yield different chats, about as many messages as one transaction is to write."""
    waiting = 0
    batch: dict[tuple[str, str], Transcript] = {}
    for item in items:
        if isinstance(item, Problem):
            report.outcomes.append(
                Outcome(item.where, item.id, item.title, "failed", reason=item.reason)
            )
            continue
        if waiting >= _BATCH or (item.origin, item.id) in batch:
            yield batch.values()
            batch, waiting = {}, 0
        batch[item.origin, item.id] = item
        waiting += len(item.turns) + 1
    if batch:
        yield batch.values()


class _Batch:
    """Chats of one transaction: planned when read, prepared meanwhile, then written."""

    def __init__(
        self, account: Account, chats: Collection[Transcript], copy: bool, preparer: Preparer
    ) -> None:
        self._account, self._chats, self._copy = account, chats, copy
        self._preparer = preparer
        self._outcomes, self._ready = _plan(account, chats, copy)
        self._prepare = preparer.begin(self._drafts())

    def finish(self, report: Report) -> None:
        """Write the batch, planned again where another writer was first."""
        if self._ready and not report.dry_run:
            self._prepare()
            with Operation(self._account, self._account, "session.import") as op:
                if _have_moved(op, self._ready):
                    self._plan_again(op)
                _write(op, self._ready)
        report.outcomes += self._outcomes

    def _plan_again(self, op: Operation) -> None:
        """Plan under the lock, where nobody else can come before."""
        self._outcomes, self._ready = _plan(op.account, self._chats, self._copy)
        self._preparer.now(self._drafts())

    def _drafts(self) -> list[Draft]:
        return [draft for plan in self._ready for draft in plan.drafts]


def _plan(
    account: Account, batch: Collection[Transcript], copy: bool
) -> tuple[list[Outcome], list[_Plan]]:
    """Return what will become of each chat, and the plans of those that bring something."""
    plans = [_Plan(t, _session_id(account, t, copy)) for t in batch]
    _find(account, plans)
    outcomes = [_prepare(account, plan, copy) for plan in plans]
    found = zip(plans, outcomes, strict=True)
    return outcomes, [plan for plan, one in found if one.outcome in ("new", "extended")]


def _session_id(account: Account, transcript: Transcript, copy: bool) -> UUID:
    if copy:
        return ids.new_id()
    own = _own_id(transcript)
    if own and Session.objects.filter(uuid=own, account=account).exists():
        return own
    return ids.derived_id(account.uuid, f"{transcript.origin}:{transcript.id}")


def _own_id(transcript: Transcript) -> UUID | None:
    if transcript.origin != "native":
        return None
    return _uuid(transcript.id)


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


def _find(account: Account, plans: list[_Plan]) -> None:
    """Look up in two queries which sessions and messages are there already."""
    wanted = {plan.uuid: plan for plan in plans}
    rows = Session.objects.filter(account=account, uuid__in=wanted)
    found = {session.pk: wanted[session.uuid] for session in rows}
    for session in rows:
        session.account = account
        wanted[session.uuid].session = session
    known = Message.objects.filter(session__in=found).values_list("session_id", "uuid", "seq")
    for pk, uuid, seq in known:
        found[pk].known[uuid] = seq


def _prepare(account: Account, plan: _Plan, copy: bool) -> Outcome:
    """Make drafts of what is new; nothing is written yet, so a bad chat fails alone."""
    transcript = plan.transcript
    outcome = Outcome(transcript.where, transcript.id, _title(transcript), "failed")
    try:
        if plan.session is not None and plan.session.state == State.DELETED:
            raise Invalid("The session is in the trash; restore it first.")
        _clean(transcript)
        _draft_turns(account, plan, copy)
    except ChatHistoryError as error:
        field_ = error.data.get("field")
        outcome.reason = f"{field_}: {error}" if field_ else str(error)
        return outcome
    outcome.session_id = str(plan.uuid)
    outcome.messages = len(plan.drafts)
    outcome.outcome = "new" if plan.session is None else "extended"
    if plan.session is not None and not plan.drafts:
        outcome.outcome = "unchanged"
    return outcome


def _clean(transcript: Transcript) -> None:
    transcript.tags = clean_tags([text.mend(tag) for tag in transcript.tags if tag.strip()])
    own = {k: v for k, v in transcript.metadata.items() if k not in _COMPUTED}
    transcript.metadata = clean_metadata(_mended(own), _METADATA)


def _draft_turns(account: Account, plan: _Plan, copy: bool) -> None:
    seq = plan.session.last_seq if plan.session else 0
    last = plan.transcript.created
    for turn in plan.transcript.turns:
        uuid = _message_id(account, plan, turn, copy)
        last = turn.created or last
        if uuid in plan.known:
            plan.seqs[turn.id] = plan.known[uuid]
            continue
        seq += 1
        parent = plan.seqs.get(turn.parent) if turn.parent is not None else None
        plan.seqs[turn.id] = seq
        plan.drafts.append(_draft(turn, uuid, parent, last))
        plan.new.append(turn)


def _message_id(account: Account, plan: _Plan, turn: Turn, copy: bool) -> UUID:
    if copy:
        return ids.new_id()
    own = _uuid(turn.id)
    if own is not None and own in plan.known:
        return own
    transcript = plan.transcript
    return ids.derived_id(account.uuid, f"{transcript.origin}:{transcript.id}:{turn.id}")


def _draft(turn: Turn, uuid: UUID, parent: int | None, created: datetime | None) -> Draft:
    content = text.mend(turn.content)
    limit = settings.MAX_MESSAGE_LENGTH
    if len(content) > limit:
        raise LimitExceeded("Characters of a message", limit, len(content), field=turn.id)
    body = Body(
        content,
        _mended(turn.blocks),
        _mended(turn.metadata),
        _mended(turn.raw),
        text.mend(turn.author),
    )
    status = turn.status if turn.status in _STATUSES else Message.Status.COMPLETE
    draft = Draft(turn.role, body, uuid, parent, status, turn.tokens, created)
    draft.edited_at, draft.deleted_at = turn.edited, turn.deleted
    draft.revision = max(turn.revision or 1, len(turn.revisions) + 1)
    return draft


def _mended(value: Any) -> Any:
    """Return JSON with every text in it fit to be stored."""
    if isinstance(value, str):
        return value if value.isascii() and "\0" not in value else text.mend(value)
    if isinstance(value, dict):
        return {text.mend(k): _mended(v) for k, v in value.items()}
    return [_mended(v) for v in value] if isinstance(value, list) else value


def _write(op: Operation, plans: list[_Plan]) -> None:
    fresh = [plan for plan in plans if plan.session is None]
    for plan in fresh:
        plan.session = _new_session(op, plan)
    bulk.create([plan.session for plan in fresh if plan.session])
    keyring.make_session_keys(op.account, [p.session for p in fresh if p.session])
    titles: list[Doc] = []
    for plan in plans:
        _fill(op, plan, titles)
    index().add(titles, titles=True)
    bulk.update_all([p.session for p in plans if p.session], _FILLED)


def _have_moved(op: Operation, plans: list[_Plan]) -> bool:
    rows = Session.objects.filter(account=op.account, uuid__in=[plan.uuid for plan in plans])
    then = {plan.uuid: plan.session.changed for plan in plans if plan.session}
    return dict(rows.values_list("uuid", "changed")) != then


_FILLED = (
    *("title", "title_revision", "title_source", "indexed", "preview", "preview_revision"),
    *("metadata", "metadata_revision", "last_seq", "head_seq", "message_count", "total_tokens"),
    *("last_activity", "updated_at", "version", "changed"),
)


def _new_session(op: Operation, plan: _Plan) -> Session:
    transcript = plan.transcript
    first = transcript.created or (plan.drafts[0].created_at if plan.drafts else None) or op.at
    session = Session(account=op.account, uuid=plan.uuid, pinned=transcript.pinned, version=0)
    known = workflows.known()
    session.workflow = transcript.workflow if transcript.workflow in known else workflows.IMPORTED
    session.created_at = first
    session.updated_at = session.last_activity = transcript.updated or first
    return session


def _fill(op: Operation, plan: _Plan, titles: list[Doc]) -> None:
    session, transcript = plan.session, plan.transcript
    assert session is not None  # noqa: S101  (both branches of _write made one)
    old_head = session.head_seq
    before = None if session.version == 0 else {"head_seq": old_head, "last_seq": session.last_seq}
    pipeline.store(op, session, plan.drafts)
    _keep_revisions(op, session, plan)
    head = plan.seqs.get(transcript.head) if transcript.head else None
    session.head_seq = head or session.head_seq
    if before is None:
        _describe(op, session, plan, titles)
    _refresh(op, session, plan)
    session.version += 1
    session.changed = op.record("session", session.uuid, session=session, before=before)


def _describe(op: Operation, session: Session, plan: _Plan, titles: list[Doc]) -> None:
    transcript = plan.transcript
    title = _title(transcript)
    if title is not None:
        session.title_source = transcript.title_source
    else:
        asked = next((d for d in plan.drafts if d.role == "user" and not d.deleted_at), None)
        title = text.title_from(asked.body.content) if asked else None
    if title:
        records.set_column(session, "title", title)
        keyed = keyring.account_keys(op.account).search
        titles.append(Doc(session.pk, keyed.of_text(title)))
        session.indexed = VERSION
    if transcript.metadata:
        records.set_column(session, "metadata", transcript.metadata)
    if transcript.tags:
        session.tags.set([tag_row(op, name) for name in transcript.tags])


def _refresh(op: Operation, session: Session, plan: _Plan) -> None:
    by_seq = {plan.seqs[turn.id]: d for turn, d in zip(plan.new, plan.drafts, strict=True)}
    shown = by_seq.get(session.head_seq or 0)
    if shown is not None and not shown.deleted_at:
        records.set_column(session, "preview", text.preview_of(shown.body.content))
    times = [draft.created_at for draft in plan.drafts if draft.created_at]
    if times:
        newest = max(times)
        session.last_activity = max(newest, session.last_activity) if session.version else newest
        session.updated_at = max(session.updated_at, session.last_activity)


def _keep_revisions(op: Operation, session: Session, plan: _Plan) -> None:
    for turn, draft in zip(plan.new, plan.drafts, strict=True):
        if turn.revisions:
            message = Message.objects.get(uuid=draft.uuid)
            for number, old in enumerate(turn.revisions, start=1):
                packed = Body(text.mend(old["content"])).pack()
                said = old.get("edited") or draft.created_at or op.at
                pipeline.keep_revision(
                    op, message, session, old.get("revision", number), packed, said
                )


def _title(transcript: Transcript) -> str | None:
    title = " ".join(text.mend(transcript.title or "").split())
    return title[: settings.MAX_TITLE_LENGTH] or None


def export_sessions(user: Any, sessions: Iterable[Session]) -> Iterator[dict[str, Any]]:
    """Yield sessions as objects for ``formats.native.write``.

    Complete enough to import again to the same thing: branches, revisions, raw items. Raises
    NotFound or NotAllowed at the first that ``user`` may not export.
    """
    for session in sessions:
        require(user, session, "export")
        messages = session.messages.order_by("seq").prefetch_related("revisions")
        rows = list(messages)
        parents = represent.parent_ids(session, rows)
        owned = user is None or session.account.user_id == user.pk
        exported = represent.session_json(session, owned=owned)
        exported["head_id"] = parents.get(session.head_seq or 0)
        exported["messages"] = (_exported(row, session, parents) for row in rows)
        yield exported


def _exported(row: Message, session: Session, parents: dict[int, str]) -> dict[str, Any]:
    shown = represent.message_json(row, session, parents)
    if row.deleted_at is not None or shown["damaged"]:
        return shown | {"content": shown["content"] or ""}
    body = records.open_body(row, session)
    revisions = [
        {
            "revision": old.revision,
            "content": earlier.content,
            "edited_at": represent.moment(old.said_at),
        }
        for old in sorted(row.revisions.all(), key=lambda old: old.revision)
        if (earlier := records.or_damaged(records.open_revision, old, session)) is not None
    ]
    return shown | {"metadata": body.metadata, "raw": body.raw, "revisions": revisions}
