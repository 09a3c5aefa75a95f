"""How well an opened text answers a query: BM25, closeness, title, pins, and how new it is.

Of many texts all are scored cheaply, and the best of these with care: where the words stand.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, islice, pairwise
from typing import NamedTuple

from django.db.models import Sum

from chathistory import bulk, keyring
from chathistory.lru import Lru
from chathistory.models import Account, Session

from .asked import Asked, Found
from .matcher import fold_words, whole
from .tokens import query_forms
from .tree import Term, leaves

_K1, _B, _TYPICAL = 1.2, 0.95, 700.0  # BM25's; characters of a typical message
_COUNTED = 8_000  # messages with a word that are counted; of more it is guessed
_FEWEST = 20_000  # messages among which a word is taken to stand, at the least
_CAREFUL = 100  # texts whose words are looked at one by one
_PLACES = 2_000  # of words looked for, in one text
_PHRASE, _BESIDE, _NEAR = 2.0, 0.8, 0.1  # the latter two of the rarer word's weight
_NEAR_BY = 40  # characters between two words that are near each other
_TITLED, _PINNED, _NEW = 0.5, 0.25, 0.1
_PRECISION = 50  # counted anew when the journal has grown by one part in so many

#: About how many messages accounts have.
_totals: Lru[int] = Lru(10_000)


class Scored(NamedTuple):
    """A message found, and how good an answer it is."""

    found: Found
    score: float


class Ranking:
    """What makes one text a better answer to a query than another."""

    def __init__(self, asked: Asked, titled: Iterable[int] = ()) -> None:
        """``titled`` are sessions whose title answers the query."""
        self._asked = asked
        self._titled = frozenset(titled)
        terms = [leaf for leaf, out in leaves(asked.tree) if isinstance(leaf, Term) and not out]
        said = [query_forms(word) for term in terms for word in whole(term)]
        sole = [next(iter(one)) if len(one) == 1 else "" for one in said]
        self._pairs = {pair for pair in pairwise(sole) if all(pair)}
        self._weights = self._weigh()

    def order(self, found: Sequence[Found]) -> list[Scored]:
        """Return what was found, newest first, as the best first."""
        extras = self._extras(found)
        rough = [
            Scored(one, self._roughly(one.text) + extra)
            for one, extra in zip(found, extras, strict=True)
        ]
        order = sorted(range(len(rough)), key=lambda at: -rough[at].score)
        careful = [
            Scored(found[at], self.score(found[at].text) + extras[at]) for at in order[:_CAREFUL]
        ]
        careful.sort(key=lambda one: -one.score)
        least = careful[-1].score if careful else 0.0
        rest = (rough[at] for at in order[_CAREFUL:])
        return careful + [Scored(one.found, min(one.score, least)) for one in rest]

    def score(self, text: str) -> float:
        """BM25 (Robertson and Zaragoza, 2009), and more where words stand together as asked."""
        places = list(islice(self._asked.matcher.places(text), _PLACES))
        counts = Counter(chain.from_iterable(forms for _start, _end, forms in places))
        phrases = _PHRASE * self._asked.matcher.bonus(text)
        return self._bm25(counts, len(text)) + phrases + self._closeness(places)

    def _roughly(self, text: str) -> float:
        folded, _plain = fold_words(text)
        return self._bm25({form: folded.count(form) for form in self._weights}, len(text))

    def _bm25(self, counts: dict[str, int], length: int) -> float:
        norm = _K1 * (1 - _B + _B * length / _TYPICAL)
        found = ((weight, counts.get(form, 0)) for form, weight in self._weights.items())
        return sum(weight * count * (_K1 + 1) / (count + norm) for weight, count in found)

    def _closeness(self, places: Sequence[tuple[int, int, set[str]]]) -> float:
        if not self._pairs:
            return 0.0
        best: dict[tuple[str, str], float] = {}
        for (_, end, left), (start, _, right) in pairwise(places):
            gap = start - end
            if gap > _NEAR_BY:
                continue
            for pair in self._pairs:
                a, b = pair
                if a in left and b in right:
                    how = _BESIDE if gap <= 2 else _NEAR
                elif b in left and a in right:
                    how = _NEAR
                else:
                    continue
                best[pair] = max(best.get(pair, 0.0), how)
        return sum(how * self._rarer(pair) for pair, how in best.items())

    def _rarer(self, pair: tuple[str, str]) -> float:
        return max(map(self._weights.__getitem__, pair))

    def _extras(self, found: Sequence[Found]) -> list[float]:
        """Return what is added for each text of those found, newest first."""
        own = Session.objects.filter(account__in=self._asked.asker.accounts, pinned=True)
        there = own.filter(pk__in={one.candidate.session for one in found})
        pinned = set(there.values_list("pk", flat=True))
        step = _NEW / max(len(found), 1)
        sessions = enumerate(one.candidate.session for one in found)
        return [
            _TITLED * (session in self._titled) + _PINNED * (session in pinned) - age * step
            for age, session in sessions
        ]

    def _weigh(self) -> dict[str, float]:
        """Return how much each word tells, by the asker's own messages.

        Those of others are not counted: a score would tell how often somebody else said a word.
        """
        total = sum(map(_messages, self._asked.asker.accounts))
        return {form: _weight(total, self._count(form)) for form in self._asked.matcher.words}

    def _count(self, form: str) -> int:
        """Return how many of the asker's own messages have a word; none where none is counted."""
        reader = self._asked.reader
        if reader is None:
            return 0
        keyed = {row.pk: keyring.account_keys(row).search for row in self._asked.asker.accounts}
        return sum(reader.counts(pk, [one.token(form)], _COUNTED)[0] for pk, one in keyed.items())


def _messages(account: Account) -> int:
    """Return about how many messages an account has: of many, counting takes a while."""

    def count() -> tuple[int, bool]:
        held = Session.objects.filter(account=account)
        return held.aggregate(total=Sum("message_count"))["total"] or 0, True

    grown = int(_PRECISION * math.log(account.seq + 1))
    alias = bulk.connection(Session).alias
    return _totals.obtain((alias, account.uuid, account.epoch, grown), count)


def _weight(total: int, count: int) -> float:
    total = max(total, _FEWEST)  # among few messages too, words tell more than what is newer
    if count >= _COUNTED:
        count = math.isqrt(count * total)
    return math.log(1 + (max(total - count, 0) + 0.5) / (count + 0.5))
