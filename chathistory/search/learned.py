"""An owner's vocabulary: opened, brought after what was said since, and sealed again.

It is derived: words of messages and of titles, under the account's key. It goes on from the number
that the journal had when it was last brought up to date, a bounded number of messages at a time;
until it is complete it says so. It only ever grows here; words that nothing says any more leave
it by ``clean``, which asks the index word by word.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction
from django.db.models import Q

from chathistory import bulk, crypto, keyring, maintenance, records, text
from chathistory.crypto import Context
from chathistory.exceptions import Damaged
from chathistory.lru import Lru
from chathistory.models import Account, Change, Message, Session, Vocabulary

from . import base, upkeep, vocabulary
from .base import index
from .tokens import forms, words
from .vocabulary import Words

#: Messages, and titles, that one search reads.
STEP = 500
#: Messages that a process which begins has to read again at most, where a vocabulary is complete.
REFRESH = 500
MEMORY = 64 * 2**20  # bytes of opened vocabularies that one process keeps
_SAVED = 20_000  # messages that ``finish`` reads before it seals them
_EXACT = 5_000  # messages beyond which nobody counts again
_TRIES = 3
_LAST = 2**63 - 1
_HEAD = struct.Struct(">7q")
#: Operations after which every word is still said that was said before.
_KEEPING = (
    *("message.append", "session.create", "session.fork", "session.pack", "session.unpack"),
    *("session.delete", "session.restore", "session.archive", "session.wake", "session.idle"),
    *("session.hold", "session.undo", "session.check"),
)

#: How far rows were read: the number of the last one's Change, and its key.
Mark = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Learned:
    """A vocabulary, and up to where messages (``said``) and titles (``named``) are in it.

    ``known`` is the newest message that was in it when it was last complete, ``top`` the newest
    that is; ``unsaved`` counts messages that the row has not.
    """

    words: Words = field(default_factory=Words)
    said: Mark = (-1, _LAST)
    named: Mark = (-1, _LAST)
    known: int = 0
    top: int = 0
    revision: int = 0
    unsaved: int = 0

    def is_complete(self, account: Account) -> bool:
        """Tell whether all is in it that the account's journal knew when it was read."""
        return min(self.said, self.named) >= (account.seq, _LAST)


_opened: Lru[Learned] = Lru(MEMORY, lambda learned: learned.words.weight)


def forget(account: Account) -> None:
    """Let go of an account's opened vocabularies."""
    mine = account.uuid.int
    _opened.forget(lambda name: isinstance(name, tuple) and name[1] == mine)


def of(account: Account, *, make: bool = True) -> Learned | None:
    """Return an account's vocabulary, brought further by one step where something is new.

    Without ``make``, None where it has none yet. Raises Damaged where the account's keys are gone.
    """
    rows = Vocabulary.objects.filter(account=account)
    revision = rows.values_list("revision", flat=True).first()
    if revision is None and not make:
        return None
    kept = _opened.get(_name(account, revision or 0))
    learned = kept or _load(account, revision)
    if kept and revision is None and upkeep.has_lost(account, min(kept.said, kept.named)[0]):
        learned = Learned()  # of what has a row, ``clean`` takes it out
    if not learned.is_complete(account):
        learned = _step(learned, account)
    is_due = learned.is_complete(account) and learned.unsaved >= REFRESH
    if revision is None or is_due:
        learned = save(account, learned) or learned
    # What a transaction sees may never be committed.
    if learned is not kept and not bulk.connection(Message).in_atomic_block:
        forget(account)
        _opened.put(_name(account, learned.revision), learned)
    return learned


def finish(account: Account, step: Callable[[], None]) -> bool:
    """Bring an account's vocabulary up to date, sealing it from time to time; return whether it is.

    ``step`` is called after every some hundred messages.
    """
    revision = Vocabulary.objects.filter(account=account).values_list("revision", flat=True).first()
    learned = _load(account, revision)
    while not learned.is_complete(account) and not learned.words.is_full:
        learned = _step(learned, account)
        step()
        if learned.unsaved >= _SAVED or learned.is_complete(account):
            saved = save(account, learned)
            if saved is None:  # somebody else was first
                return False
            learned = saved
    return learned.is_complete(account)


def _name(account: Account, revision: int) -> tuple[Any, ...]:
    alias = bulk.connection(Vocabulary).alias
    return alias, account.uuid.int, account.epoch, account.key_version, revision


def _load(account: Account, revision: int | None) -> Learned:
    """Return what the row holds; nothing, to begin anew, where it does not open."""
    row = bulk.get(Vocabulary, account=account.pk) if revision is not None else None
    if row is None:
        return Learned()
    try:
        return open_row(row, account)
    except Damaged:
        return Learned(revision=row.revision)


def open_row(row: Vocabulary, account: Account) -> Learned:
    """Return what a row holds. Raises Damaged."""
    key = keyring.account_keys(account).rows
    packed = crypto.unseal(key, row.words, _context(account, row.revision))
    version, *numbers, known, top = _HEAD.unpack_from(packed)
    if version != base.VERSION:
        raise Damaged("Its words were cut as in another version.")
    said, named = (numbers[0], numbers[1]), (numbers[2], numbers[3])
    found = vocabulary.unpack(packed[_HEAD.size :])
    return Learned(found, said, named, known, top, row.revision)


def _context(account: Account, revision: int) -> Context:
    return Context("vocabulary", "words", account.uuid, None, "", revision)


def _seal(account: Account, learned: Learned) -> bytes:
    numbers = (base.VERSION, *learned.said, *learned.named, learned.known, learned.top)
    packed = _HEAD.pack(*numbers) + learned.words.pack()
    key, context = keyring.account_keys(account).rows, _context(account, learned.revision)
    return crypto.seal_packed(key, *crypto.pack_quickly(packed), context)


def save(account: Account, learned: Learned, **more: Any) -> Learned | None:
    """Seal it into the row; None where somebody else has, or where nothing may be written now."""
    was, saved = learned.revision, replace(learned, words=learned.words.merged(), unsaved=0)
    saved = replace(saved, revision=was + 1)
    values = more | {"words": _seal(account, saved), "revision": was + 1}
    values["mark"] = min(saved.said, saved.named)[0]
    with transaction.atomic(using=bulk.connection(Vocabulary).alias):
        if not _may_write(account):
            return None
        if was:
            done = Vocabulary.objects.filter(account=account, revision=was).update(**values)
        else:
            values |= {"checked": account.seq}
            _row, done = Vocabulary.objects.get_or_create(account=account, defaults=values)
    return saved if done else None


def _may_write(account: Account) -> bool:
    """Take the account's lock; tell whether it is still the one whose keys are at hand.

    Where nothing about search is at rest, this is not either.
    """
    if not index().at_rest:
        return False
    same = Account.objects.select_for_update().filter(pk=account.pk, erased_at=None)
    same = same.filter(key_version=account.key_version, epoch=account.epoch)
    return same.values_list("pk", flat=True).first() is not None and not maintenance.is_on()


# What is new


def _step(learned: Learned, account: Account) -> Learned:
    if learned.words.is_full:
        return learned
    said = Message.objects.filter(deleted_at=None, revision__gt=0).select_related("session")
    messages = _following(said, account, learned.said)
    sessions = _following(Session.objects.all(), account, learned.named)
    _load_keys(account, [*(row.session for row in messages), *sessions])
    new: Counter[bytes] = Counter()
    cut = _Forms()
    for row in messages:
        _count(learned, new, cut.of([_said(row)]), is_known=row.pk <= learned.known)
    new.update(dict.fromkeys(cut.of(one for row in sessions for one in _titled(row)), 0))
    top = max([learned.top, *(row.pk for row in messages)])
    found = replace(
        learned,
        words=learned.words.grown(new),
        said=_mark(messages, account),
        named=_mark(sessions, account),
        top=top,
        unsaved=learned.unsaved + max(len(messages), len(sessions)),
    )
    return replace(found, known=top) if found.is_complete(account) else found


def _following(rows: Any, account: Account, mark: Mark) -> list[Any]:
    """Return the rows after a mark, in the order of their last Changes; many may share one."""
    changed, pk = mark
    mine = rows.filter(account=account, changed__gte=changed, changed__lte=account.seq)
    found = list(mine.exclude(changed=changed, pk__lte=pk).order_by("changed", "pk")[:STEP])
    for row in found:
        getattr(row, "session", row).account = account
    return found


def _mark(rows: Sequence[Any], account: Account) -> Mark:
    if len(rows) < STEP:
        return account.seq, _LAST
    return rows[-1].changed, rows[-1].pk


def _load_keys(account: Account, sessions: Iterable[Session]) -> None:
    with suppress(Damaged):  # each is asked again by itself
        keyring.load_sessions(account, {(one.pk, one.uuid) for one in sessions})


def _said(message: Message) -> str:
    try:
        return records.content_of(records.open_packed(message, message.session))
    except Damaged:  # nothing finds it
        return ""


def _titled(session: Session) -> Iterator[str]:
    """Yield the texts by which a session is found."""
    if session.title is not None:
        yield records.or_damaged(records.title_of, session) or ""
    yield from text.strings(records.or_damaged(records.metadata_of, session))


class _Forms(dict[str, list[bytes]]):
    """The forms of each word met before."""

    def __missing__(self, word: str) -> list[bytes]:
        found = self[word] = [vocabulary.key(form) for form in forms(word)]
        return found

    def of(self, texts: Iterable[str]) -> set[bytes]:
        """Return the forms that texts are found by."""
        said = {word for one in texts for word in words(one)}
        return set().union(*map(self.__getitem__, said))


def _count(learned: Learned, new: Counter[bytes], found: set[bytes], *, is_known: bool) -> None:
    """Count a message's words; of one that was counted before, only those that are new to all."""
    if not is_known:
        new.update(found)
        return
    for form in found:
        if form not in new and learned.words.count(form.decode("utf-8", "surrogatepass")) is None:
            new[form] = 1


# What is said no more


def clean(account: Account, step: Callable[[], None]) -> bool:
    """Take out the words that no text has any more, counting the others anew; return if it is so.

    ``step`` is called after every some thousand words.
    """
    for _try in range(_TRIES):
        row = bulk.get(Vocabulary, account=account.pk)
        if row is None:
            return True
        account.seq = Account.objects.values_list("seq", flat=True).get(pk=account.pk)
        rows = Vocabulary.objects.filter(account=account, revision=row.revision)
        if not _has_lost(account, row.checked):
            rows.update(checked=account.seq)
            return True
        if _waits(account):
            return False
        learned = _load(account, row.revision)
        kept = vocabulary.made(_still(account, learned.words, step))
        if save(account, replace(learned, words=kept), checked=account.seq):
            forget(account)
            return True
    return False  # somebody writes all the time


def _has_lost(account: Account, since: int) -> bool:
    """Tell whether the journal names anything after which a word may be said no more."""
    rows = Change.objects.filter(account=account, seq__gt=since, table__in=("message", "session"))
    is_new = Q(op="session.import", before__isnull=True)
    return rows.exclude(Q(op__in=_KEEPING) | is_new).exists()


def _waits(account: Account) -> bool:
    """Tell whether a text waits to be put into the index, which then cannot tell what is said."""
    known = index().generations
    said = Message.objects.filter(account=account, deleted_at=None, revision__gt=0)
    return not known.is_current or said.filter(indexed__lt=known.live.number).exists()


def _still(account: Account, all_: Words, step: Callable[[], None]) -> Iterator[tuple[str, int]]:
    keyed = keyring.account_keys(account).search
    for some in all_.chunks():
        tokens = [keyed.token(form) for form, _count in some]
        counts = index().counts(tokens, _EXACT)
        absent = [token for token, count in zip(tokens, counts, strict=True) if not count]
        titled = dict(zip(absent, index().counts(absent, 1, titles=True), strict=True))
        for (form, was), token, count in zip(some, tokens, counts, strict=True):
            if count or titled[token]:
                yield form, max(was, count) if count >= _EXACT else count
        step()
