"""What an import is going to do, found out before anything is locked: ids, drafts, what is new."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum, auto
from hashlib import blake2b
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chathistory import ids, records, text
from chathistory.conf import settings
from chathistory.exceptions import ChatHistoryError, Conflict, LimitExceeded
from chathistory.formats.base import Transcript, Turn
from chathistory.formats.times import to_iso
from chathistory.models import Account, Message, Revision, Session
from chathistory.records import Body
from chathistory.states import State

from .pipeline import Draft
from .sessions import clean_metadata, clean_tags

_AT_ONCE = 500  # ids of one query
_NAMED = 100  # characters that a turn is named by
_STATUSES = frozenset(Message.Status.values)
_METADATA = 2_000_000  # bytes: what a provider keeps of a chat beside its messages
_COMPUTED = ("total_tokens", "last_activity", "compressed")
#: Under which name a time that cannot be is kept among the metadata.
_CHAT_TIMES = {"created": "given_created_at", "updated": "given_updated_at"}
_TURN_TIMES = {
    "created": "given_timestamp",
    "edited": "given_edited_at",
    "deleted": "given_deleted_at",
}


class Naming(StrEnum):
    """Which ids what comes in is given."""

    #: From the account's and its own: the same again is found again.
    DERIVED = auto()
    #: New ones, each time.
    NEW = auto()
    #: Its own, where nobody has them; for what was this account's before.
    KEPT = auto()


@dataclass(slots=True)
class Outcome:
    """What became of one chat: new, extended, unchanged, empty or failed.

    ``messages`` are those added, ``reason`` is why it failed, ``note`` what is other than given;
    ``format`` is where it comes from, and the times are those of its first and last message.
    """

    where: str
    id: str | None
    title: str | None
    outcome: str
    messages: int = 0
    session_id: str | None = None
    reason: str = ""
    note: str = ""
    format: str = ""
    first_at: datetime | None = None
    last_at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        times = {"first_at": to_iso(self.first_at), "last_at": to_iso(self.last_at)}
        return asdict(self) | times

    def __post_init__(self) -> None:
        """Make fit to be sent what repeats the file's own words."""
        self.where, self.reason = text.mend(self.where), text.mend(self.reason)
        self.id = None if self.id is None else text.mend(self.id)
        self.title = None if self.title is None else text.mend(self.title)


@dataclass(slots=True)
class Plan:
    """One chat on its way in: its session, perhaps there already, and what is new of it."""

    transcript: Transcript
    uuid: UUID
    #: What its messages' ids are derived from.
    names: tuple[str, ...]
    outcome: Outcome
    #: The one that came with it, on one line and no longer than one may be.
    title: str | None = None
    #: As it was seen last.
    session: Session | None = None
    #: Where its messages are in the session, by the turn's id.
    seqs: dict[str, int] = field(default_factory=dict)
    #: What is new; each turn has its draft.
    new: list[Turn] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    #: Whether anything of it was taken to be written.
    is_taken: bool = False

    @property
    def has_failed(self) -> bool:
        """Whether nothing more of it may be written."""
        return self.outcome.outcome == "failed"

    @property
    def has_more(self) -> bool:
        """Whether anything of it is still to be taken."""
        return bool(self.drafts) or (self.outcome.outcome == "new" and not self.is_taken)

    def take(self, count: int) -> tuple[list[Turn], list[Draft]]:
        """Give away the first ``count`` turns that are new, with their drafts."""
        self.is_taken = True
        turns, drafts = self.new[:count], self.drafts[:count]
        del self.new[:count], self.drafts[:count]
        return turns, drafts

    def fail(self, error: ChatHistoryError) -> None:
        """Let the chat stay out, or the rest of it, and say why."""
        where = error.data.get("field")
        self.new, self.drafts, self.outcome.outcome = [], [], "failed"
        self.outcome.reason = text.mend(f"{where}: {error}" if where else str(error))


@dataclass(slots=True)
class Part:
    """As much of a chat as one transaction takes."""

    plan: Plan
    turns: Sequence[Turn]
    drafts: Sequence[Draft]
    is_last: bool
    #: What a new session is found by, beside its messages.
    heading: Draft
    #: As the transaction found it, or made it.
    session: Session | None = None
    is_new: bool = False
    #: What nobody has stored before.
    kept: list[tuple[Turn, Draft]] = field(default_factory=list)
    stored: int = 0

    def may_follow(self, row: Session | None) -> bool:
        """Tell whether this can be written where ``row``, now locked, is what there is."""
        self.session, self.is_new, self.stored = row, row is None, 0
        if row is None and self.plan.session is not None:
            self.plan.fail(Conflict(_("The session was removed meanwhile.")))
        elif row is not None and row.state == State.DELETED:
            self.plan.fail(Conflict(_("The session is in the trash; restore it first.")))
        return not self.plan.has_failed

    @property
    def is_ours(self) -> bool:
        """Whether this import made the session."""
        found = self.plan.session is not None and self.plan.outcome.outcome == "new"
        return self.is_new or found

    def settle(self) -> None:
        """Count what is committed."""
        plan, outcome = self.plan, self.plan.outcome
        if plan.has_failed:
            return
        outcome.messages += self.stored
        if not self.is_ours:
            outcome.outcome = "extended" if outcome.messages else "unchanged"
        plan.session = self.session


class Planner:
    """Plans what comes into one account.

    ``space`` is what ids are derived in: by default the account, a new one for new ids.
    """

    def __init__(self, account: Account, naming: Naming, space: UUID | None = None) -> None:
        self._account, self._naming = account, naming
        self._longest = settings.MAX_MESSAGE_LENGTH
        self._promised: dict[UUID, dict[UUID, int]] = {}
        self._space = space or (ids.new_id() if naming == Naming.NEW else account.uuid)

    def begin(self, transcript: Transcript) -> Plan:
        """Return a plan that only knows its session's id."""
        own = _uuid(transcript.id) if transcript.origin == "native" else None
        names: tuple[str, ...] = (transcript.origin, str(own) if own else transcript.id)
        names += (transcript.apart,) if transcript.apart else ()
        uuid = own if own and self._may_keep(own) else ids.derived_id(self._space, *names)
        outcome = Outcome(transcript.where, transcript.id, None, "new")
        outcome.format = text.mend(transcript.origin)
        if given := [turn.created for turn in transcript.turns if turn.created]:
            outcome.first_at, outcome.last_at = min(given), max(given)
        line = " ".join(text.mend(transcript.title or "").split())
        plan = Plan(transcript, uuid, names, outcome, line[: settings.MAX_TITLE_LENGTH] or None)
        outcome.title, outcome.session_id = plan.title, str(uuid)
        return plan

    def _may_keep(self, own: UUID) -> bool:
        if self._naming == Naming.NEW:
            return False
        owners = list(Session.objects.filter(uuid=own).values_list("account", flat=True))
        return owners == [self._account.pk] or (self._naming == Naming.KEPT and not owners)

    def finish(self, plans: Collection[Plan]) -> None:
        """Find out what of each is new and make drafts of it.

        Nothing is written yet, so a chat that is wrong anywhere stays out as a whole.
        """
        # In this order: what another import stores in between is known, if no longer free.
        free = self._find_free(plans) if self._naming == Naming.KEPT else {}
        known = self._find(plans)
        now = timezone.now()
        for plan in plans:
            own = known.get(plan.uuid, {}) | self._promised.get(plan.uuid, {})
            try:
                self._look(plan, own, free.get(plan.uuid, set()), now)
            except ChatHistoryError as error:
                plan.fail(error)

    def promise(self, plans: Iterable[Plan]) -> None:
        """Take what was planned for done, where it is only to be told what would be done."""
        for plan in plans:
            if plan.outcome.session_id is not None and not plan.has_failed:
                plan.outcome.messages = len(plan.drafts)
                found = self._promised.setdefault(plan.uuid, {})
                found.update((draft.uuid, 0) for draft in plan.drafts)

    def _find(self, plans: Iterable[Plan]) -> dict[UUID, dict[UUID, int]]:
        """Look up in two queries which sessions are there, and return their messages' seqs."""
        wanted = {plan.uuid: plan for plan in plans}
        rows = sessions_of(self._account, wanted)
        found = {session.pk: session.uuid for session in rows}
        for session in rows:
            session.account = self._account
            wanted[session.uuid].session = session
        known: dict[UUID, dict[UUID, int]] = {uuid: {} for uuid in found.values()}
        messages = Message.objects.filter(session__in=found)
        for pk, uuid, seq in messages.values_list("session_id", "uuid", "seq"):
            known[found[pk]][uuid] = seq
        return known

    def _find_free(self, plans: Iterable[Plan]) -> dict[UUID, set[UUID]]:
        """Look up which of the turns' own ids nobody has."""
        wanted = {
            uuid: plan.uuid
            for plan in plans
            for turn in plan.transcript.turns
            if (uuid := _uuid(turn.id))
        }
        asked = list(wanted)
        taken: set[UUID] = set()
        for start in range(0, len(asked), _AT_ONCE):
            some = Message.objects.filter(uuid__in=asked[start : start + _AT_ONCE])
            taken.update(some.values_list("uuid", flat=True))
        free: dict[UUID, set[UUID]] = {}
        for uuid in wanted.keys() - taken:
            free.setdefault(wanted[uuid], set()).add(uuid)
        return free

    def _look(self, plan: Plan, known: dict[UUID, int], free: set[UUID], now: datetime) -> None:
        transcript = plan.transcript
        if plan.session is not None and plan.session.state == State.DELETED:
            raise Conflict(_("The session is in the trash; restore it first."))
        is_there = plan.session is not None or plan.uuid in self._promised
        if not transcript.turns and not is_there and self._naming != Naming.KEPT:
            plan.outcome.outcome, plan.outcome.session_id = "empty", None
            return
        _note_late(plan, now)
        _clean(transcript)
        self._draft_new(plan, known, free)
        if is_there:
            plan.outcome.outcome = "extended" if plan.drafts else "unchanged"

    def _draft_new(self, plan: Plan, known: dict[UUID, int], free: set[UUID]) -> None:
        turns = plan.transcript.turns
        # What has no time was said when the one before was, and what comes first before the next.
        last = plan.transcript.created or next((one.created for one in turns if one.created), None)
        derive = ids.derived_ids(self._space, *plan.names)
        changed = _changed(plan, known, derive)
        for turn in turns:
            uuid = _own_id(turn, known, free) or derive(turn.id)
            last = turn.created or last
            seq = known.pop(uuid, None)
            if uuid in changed:
                uuid = derive(_version(turn))
                seq = known.pop(uuid, None)
            if seq is not None:
                plan.seqs[turn.id] = seq
                continue
            plan.new.append(turn)
            plan.drafts.append(_draft(turn, uuid, last, self._longest))


def sessions_of(account: Account, uuids: Collection[UUID]) -> list[Session]:
    """Return which of these sessions there are, and are the account's."""
    # Asked for the account as well, SQLite walks all that it owns.
    return [row for row in Session.objects.filter(uuid__in=uuids) if row.account_id == account.pk]


def _changed(
    plan: Plan, known: Collection[UUID], derive: Callable[[str], UUID]
) -> Collection[UUID]:
    """Return which of the messages that are there say something else, and never said this.

    They come in beside those, as another version: nothing that either file says is lost.
    """
    session = plan.session
    if session is None or not known:
        return ()
    said: dict[UUID, Turn] = {}
    for turn in plan.transcript.turns:
        own = _uuid(turn.id)
        said[own if own is not None and own in known else derive(turn.id)] = turn
    rows = session.messages.filter(deleted_at=None).iterator(_AT_ONCE)
    return {row.uuid for row in rows if not _says(row, session, said.get(row.uuid))}


def _says(row: Message, session: Session, turn: Turn | None) -> bool:
    """Tell whether a message says this, or said it once; of one that does not open, yes."""
    body = None if turn is None else records.or_damaged(records.open_body, row, session)
    if turn is None or body is None or body.content == (given := text.mend(turn.content)):
        return True
    if turn.raw and body.raw == _mended(turn.raw):  # only read otherwise, by another release
        return True
    earlier = Revision.objects.filter(message=row) if row.revision > 1 else ()
    found = (records.or_damaged(records.open_revision, old, session) for old in earlier)
    return any(one is not None and one.content == given for one in found)


def _version(turn: Turn) -> str:
    digest = blake2b(turn.content.encode("utf-8", "surrogatepass"), digest_size=16)
    return f"{turn.id} {digest.hexdigest()}"


def _own_id(turn: Turn, known: dict[UUID, int], free: set[UUID]) -> UUID | None:
    """Return a turn's own id once, where it may be kept: other spellings are other turns."""
    own = _uuid(turn.id) if known or free else None
    if own is not None and (own in known or own in free):
        free.discard(own)
        return own
    return None


def _uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


def _note_late(plan: Plan, now: datetime) -> None:
    """Give what is said to be later than now the time of the import."""
    late = _bring_to(now, plan.transcript, _CHAT_TIMES)
    late += sum(_bring_to(now, turn, _TURN_TIMES) for turn in plan.transcript.turns)
    if late:
        plan.outcome.note = ngettext(
            "%(count)d time is later than now; it is kept in the metadata, and the time of the"
            " import stands instead.",
            "%(count)d times are later than now; they are kept in the metadata, and the time of"
            " the import stands instead.",
            late,
        ) % {"count": late}


def _bring_to(now: datetime, item: Transcript | Turn, names: dict[str, str]) -> int:
    count = 0
    for name, kept in names.items():
        given = getattr(item, name)
        if given is not None and given > now:
            item.metadata = item.metadata | {kept: to_iso(given)}
            setattr(item, name, now)
            count += 1
    return count


def _clean(transcript: Transcript) -> None:
    transcript.tags = clean_tags([text.mend(tag) for tag in transcript.tags if tag.strip()])
    own = {k: v for k, v in transcript.metadata.items() if k not in _COMPUTED}
    transcript.metadata = clean_metadata(_mended(own), _METADATA)


def _draft(turn: Turn, uuid: UUID, created: datetime | None, longest: int) -> Draft:
    content = _text(turn, turn.content, longest)
    body = Body(
        content,
        turn.blocks and _mended(turn.blocks),
        turn.metadata and _mended(turn.metadata),
        turn.raw and _mended(turn.raw),
        text.mend(turn.author),
    )
    status = turn.status if turn.status in _STATUSES else Message.Status.COMPLETE
    draft = Draft(turn.role, body, uuid, None, status, turn.tokens, created)
    draft.edited_at, draft.deleted_at = turn.edited, turn.deleted
    draft.revision = max(turn.revision or 1, 1 + _earlier(turn, longest))
    return draft


def _earlier(turn: Turn, longest: int) -> int:
    """Number a turn's earlier texts where the source does not; return the last number."""
    for number, old in enumerate(turn.revisions, start=1):
        old.setdefault("revision", number)
        old["content"] = _text(turn, old["content"], longest)
    return max((old["revision"] for old in turn.revisions), default=0)


def _text(turn: Turn, content: str, limit: int) -> str:
    if len(content) > limit:
        where = text.shorten(turn.id, _NAMED)
        raise LimitExceeded(_("Characters of a message"), limit, len(content), field=where)
    return text.mend(content)


def _mended(value: Any) -> Any:
    """Return JSON with every text in it fit to be stored."""
    if isinstance(value, str):
        return text.mend(value)
    if isinstance(value, dict):
        return {text.mend(k): _mended(v) for k, v in value.items()}
    return [_mended(v) for v in value] if isinstance(value, list) else value
