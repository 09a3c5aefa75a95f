"""Bringing the index after rows that were changed beneath it: many at a time.

``Message.indexed`` and ``Session.indexed`` say what the index holds (see ``generations``). Taking
out hands over exactly the tokens that went in; of a text that no longer opens they are read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from chathistory import bulk, keyring, records, text
from chathistory.exceptions import Damaged
from chathistory.models import Account, Change, Message, Session, Vocabulary

from .base import Doc, index, stored

_AT_ONCE = 500


def drop(messages: Sequence[Message]) -> None:
    """Take messages out of the index; their sessions, with the account, must be at hand."""
    held = [row for row in messages if row.indexed]
    _take_out(held, message_tokens, {row.place: row for row in held}, titles=False)


def drop_titles(sessions: Sequence[Session]) -> None:
    """Take sessions' titles out of the index; their account must be at hand."""
    held = [row for row in sessions if row.indexed]
    _take_out(held, title_tokens, {row.pk: row for row in held}, titles=True)


def add(messages: Sequence[Message]) -> list[Message]:
    """Put messages into the index that are not in it; return those that do not open."""
    waiting = _outside([row for row in messages if not row.deleted_at and row.revision])
    return _put_in(waiting, message_tokens, titles=False)


def add_titles(sessions: Sequence[Session]) -> list[Session]:
    """Put sessions' titles into the index that are not in it; return those that do not open."""
    waiting = _outside(list(filter(is_titled, sessions)))
    return _put_in(waiting, title_tokens, titles=True)


def is_in(row: Message | Session) -> bool:
    """Tell whether a message or a session's title is in the index in use."""
    return generation(row) >= index().generations.live.number


def generation(row: Message | Session) -> int:
    """Return the number of the newest index that a message, or a session's title, is in."""
    return (row.indexed + 1) // 2 if isinstance(row, Session) else row.indexed


def doc(row: Message | Session, tokens: str) -> Doc:
    """Return what a message or a session is known by in the index, and where it is by now."""
    place = row.pk if isinstance(row, Session) else row.place
    return Doc(place, tokens, generation(row))


def number(*, titles: bool = False) -> int:
    """Return what ``indexed`` is of a message, or a session, that is put in at this moment.

    0 where it does not stay.
    """
    if not index().at_rest:
        return 0
    newest = index().generations.newest
    return 2 * newest if titles else newest


def is_titled(session: Session) -> bool:
    """Tell whether there is anything that the index of titles holds of a session."""
    return session.title is not None or session.metadata is not None


def title_tokens(session: Session) -> str:
    """Return the tokens that the index of titles holds of a session, or should hold.

    Those of its title, and unless that went in alone of the texts in its metadata. Raises Damaged.
    """
    title = records.title_of(session) if session.title is not None else ""
    metadata = records.metadata_of(session) if session.indexed % 2 == 0 else {}
    return keyring.account_keys(session.account).search.of_text(title_text(title, metadata))


def title_text(title: str, metadata: dict[str, Any]) -> str:
    """Return what a session with this title and these metadata is found by."""
    return "\n".join([title, *text.strings(metadata)])


def whole_title(session: Session) -> tuple[str | None, bool]:
    """Return what should be in the index of a session, and whether that is its title alone.

    None where not even that opens.
    """
    kept = session.indexed
    try:
        for alone in (False, True):
            session.indexed = int(alone)
            tokens = records.or_damaged(title_tokens, session)
            if tokens is not None:
                return tokens, alone
    finally:
        session.indexed = kept
    return None, False


def title_docs(session: Session) -> list[Doc]:
    """Return what is to be taken out of the index of titles for a session that is in it."""
    try:
        return [doc(session, title_tokens(session))]
    except Damaged:
        return index().read([session.pk], titles=True)


def fill(step: Callable[[int], None] = lambda _done: None) -> list[Any]:
    """Put everything into the index that is not in it; return the rows that do not open.

    ``step`` is told from time to time how many rows were looked at.
    """
    live = index().generations.live.number
    said = Message.objects.filter(indexed__lt=live, deleted_at=None, revision__gt=0)
    titled = Q(title__isnull=False) | Q(metadata__isnull=False)
    named = Session.objects.filter(titled, indexed__lt=2 * live - 1).select_related("account")
    closed: list[Any] = []
    done = 0
    for rows, put in ((said.select_related("session__account"), add), (named, add_titles)):
        for batch in _batches(rows):
            closed += put(batch)
            done += len(batch)
            step(done)
    return closed


def settle() -> None:
    """Bring what is at rest after the backend that the site has chosen.

    Where nothing may stand at rest, what another backend left is forgotten, at once; where
    everything should, what is missing goes in. Raises MasterKeyError.
    """
    if index().at_rest:
        fill()
        return
    if any(left().values()):
        with transaction.atomic(using=bulk.connection(Message).alias):
            for model in (Message, Session):
                model._default_manager.filter(indexed__gt=0).update(indexed=0)
            Vocabulary.objects.all().delete()
            stored().clear()
            stored().mark()


def left() -> dict[str, int]:
    """Return how much is at rest of each kind that another backend may have left."""
    return {
        "messages": Message.objects.filter(indexed__gt=0).count(),
        "titles": Session.objects.filter(indexed__gt=0).count(),
        "vocabularies": Vocabulary.objects.count(),
    }


def has_lost(account: Account, since: int) -> bool:
    """Tell whether anything was removed for good after a Change: no memory may keep it then."""
    changes = Change.objects.filter(account=account, seq__gt=since)
    emptied = Message.objects.filter(account=account, changed__gt=since, revision=0)
    gone = (
        changes.filter(~Exists(model._base_manager.filter(uuid=OuterRef("row"))), table=table)
        for table, model in (("message", Message), ("session", Session))
    )
    return emptied.exists() or any(rows.exists() for rows in gone)


def _outside(rows: Sequence[Any]) -> list[Any]:
    """Return the rows that are not in the index in use."""
    live = index().generations.live.number
    found = [row for row in rows if generation(row) < live]
    for row in found:
        row.indexed = 0
    return found


def _batches(rows: QuerySet[Any, Any]) -> Iterable[list[Any]]:
    """Yield rows by their keys: those that went in are no longer among them."""
    last = 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk")[:_AT_ONCE]):
        last = batch[-1].pk
        yield batch


def _take_out(
    held: Sequence[Any], read: Callable[[Any], str], by_place: dict[int, Any], *, titles: bool
) -> None:
    load_keys(held)
    docs, lost = [], []
    for place, row in by_place.items():
        try:
            docs.append(doc(row, read(row)))
        except Damaged:
            lost.append(place)
    index().remove(docs + (index().read(lost, titles=titles) if lost else []), titles=titles)
    note(held, 0)


def cut(
    rows: Sequence[Any], read: Callable[[Any], str] | None = None
) -> tuple[list[tuple[Any, Doc]], list[Any]]:
    """Return rows, messages if not told, with what is to be put in; and those that do not open."""
    found = [(row, doc(row, said)) for row, said in opened(rows, read or message_tokens)]
    known = {row.pk for row, _doc in found}
    return found, [row for row in rows if row.pk not in known]


def _put_in(waiting: Sequence[Any], read: Callable[[Any], str], *, titles: bool) -> list[Any]:
    found, closed = cut(waiting, read)
    index().add([one for _row, one in found], titles=titles)
    if index().at_rest:
        note([row for row, _one in found], number(titles=titles))
    return closed


def note(rows: Sequence[Any], number: int) -> None:
    """Save the number of the newest index that rows are in."""
    for row in rows:
        row.indexed = number
    bulk.update_all(rows, ["indexed"])


def opened(rows: Sequence[Any], read: Callable[[Any], str]) -> Iterator[tuple[Any, str]]:
    """Yield the rows that open, with what ``read`` makes of them; their accounts at hand."""
    load_keys(rows)
    for row in rows:
        try:
            yield row, read(row)
        except Damaged:
            continue


def message_tokens(row: Message) -> str:
    """Return the tokens of a message; its session, with the account, at hand. Raises Damaged."""
    keyed = keyring.account_keys(row.session.account).search
    return keyed.of_text(records.content_of(records.open_packed(row, row.session)))


def load_keys(rows: Sequence[Any]) -> None:
    """Load the keys of the rows' sessions, an account's in one query; without, they do not open."""
    sessions = {(one := getattr(row, "session", row)).pk: one for row in rows}
    ordered = sorted(sessions.values(), key=_account)
    for _, group in groupby(ordered, key=_account):
        own = list(group)
        try:
            keyring.load_sessions(own[0].account, [(one.pk, one.uuid) for one in own])
        except Damaged:
            continue  # each is asked again by itself


def _account(session: Session) -> int:
    return session.account_id
