"""Bringing the index after rows that were changed beneath it: many at a time.

``Message.indexed`` and ``Session.indexed`` say what the index holds. Taking out hands over exactly
the tokens that went in; of a text that no longer opens they are read back from the index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from chathistory import bulk, keyring, records, text
from chathistory.exceptions import Damaged
from chathistory.models import Message, Session

from .base import Doc, index, stored, version

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
    waiting = [row for row in messages if not row.indexed and not row.deleted_at and row.revision]
    return _put_in(waiting, message_tokens, titles=False)


def add_titles(sessions: Sequence[Session]) -> list[Session]:
    """Put sessions' titles into the index that are not in it; return those that do not open."""
    waiting = [row for row in sessions if not row.indexed and is_titled(row)]
    return _put_in(waiting, title_tokens, titles=True)


def is_titled(session: Session) -> bool:
    """Tell whether there is anything that the index of titles holds of a session."""
    return session.title is not None or session.metadata is not None


def title_tokens(session: Session) -> str:
    """Return the tokens that the index of titles holds of a session, or should hold.

    Those of its title, and but for version 1 of the texts in its metadata. Raises Damaged.
    """
    title = records.title_of(session) if session.title is not None else ""
    found = text.strings(records.metadata_of(session)) if session.indexed != 1 else ()
    return keyring.account_keys(session.account).search.of_text("\n".join([title, *found]))


def title_docs(session: Session) -> list[Doc]:
    """Return what is to be taken out of the index of titles for a session that is in it."""
    try:
        return [Doc(session.pk, title_tokens(session))]
    except Damaged:
        return index().read([session.pk], titles=True)


def fill(step: Callable[[int], None] = lambda _done: None) -> list[Any]:
    """Put everything into the index that is not in it; return the rows that do not open.

    ``step`` is told from time to time how many rows were looked at.
    """
    said = Message.objects.filter(indexed=0, deleted_at=None, revision__gt=0)
    titled = Q(title__isnull=False) | Q(metadata__isnull=False)
    named = Session.objects.filter(titled, indexed=0).select_related("account")
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
    held = Message.objects.filter(indexed__gt=0), Session.objects.filter(indexed__gt=0)
    if any(rows.exists() for rows in held):
        with transaction.atomic(using=bulk.connection(Message).alias):
            for rows in held:
                rows.update(indexed=0)
            stored().clear()
            stored().mark()


def _batches(rows: QuerySet[Any, Any]) -> Iterable[list[Any]]:
    """Yield rows by their keys: those that went in are no longer among them."""
    last = 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk")[:_AT_ONCE]):
        last = batch[-1].pk
        yield batch


def _take_out(
    held: Sequence[Any], read: Callable[[Any], str], by_place: dict[int, Any], *, titles: bool
) -> None:
    _load_keys(held)
    docs, lost = [], []
    for place, row in by_place.items():
        try:
            docs.append(Doc(place, read(row)))
        except Damaged:
            lost.append(place)
    index().remove(docs + (index().read(lost, titles=titles) if lost else []), titles=titles)
    _note(held, 0)


def _put_in(waiting: Sequence[Any], read: Callable[[Any], str], *, titles: bool) -> list[Any]:
    found = dict(opened(waiting, read))
    index().add(
        [Doc(row.pk if titles else row.place, said) for row, said in found.items()], titles=titles
    )
    if index().at_rest:
        _note(list(found), version(titles=titles))
    return [row for row in waiting if row not in found]


def _note(rows: Sequence[Any], version: int) -> None:
    for row in rows:
        row.indexed = version
    bulk.update_all(rows, ["indexed"])


def opened(rows: Sequence[Any], read: Callable[[Any], str]) -> Iterator[tuple[Any, str]]:
    """Yield the rows that open, with what ``read`` makes of them; their accounts at hand."""
    _load_keys(rows)
    for row in rows:
        try:
            yield row, read(row)
        except Damaged:
            continue


def message_tokens(row: Message) -> str:
    """Return the tokens that a message is found by. Raises Damaged."""
    keyed = keyring.account_keys(row.session.account).search
    return keyed.of_text(records.content_of(records.open_packed(row, row.session)))


def _load_keys(rows: Sequence[Any]) -> None:
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
