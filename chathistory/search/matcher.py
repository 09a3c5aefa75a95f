"""Holding an opened text against a query: what the index cannot tell, and where the words are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, takewhile

from .query import Term
from .tokens import IS_CJK, WORD, WORD_CLASS, fold, forms, query_forms

_BEFORE, _AFTER = f"(?<!{WORD_CLASS})", f"(?!{WORD_CLASS})"
_GAP = f"[^{WORD_CLASS[1:-1]}]+"
SNIPPET = 160

_forms = lru_cache(maxsize=50_000)(forms)


class Matcher:
    """What one query asks of an opened text."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self._wanted = [_pattern(t.words) for t in terms if not t.negated and _is_unsure(t)]
        self._unwanted = [_pattern(t.words) for t in terms if t.negated and _is_unsure(t)]
        self._words = {
            form for t in terms if not t.negated for word in t.words for form in query_forms(word)
        }
        self._likely = re.compile("|".join(map(re.escape, sorted(self._words))))
        self._phrases = [_pattern(t.words) for t in terms if not t.negated and len(t.words) > 1]

    @property
    def must_open(self) -> bool:
        """Whether the index alone cannot tell that a text matches."""
        return bool(self._wanted or self._unwanted)

    @property
    def words(self) -> set[str]:
        """The folded forms looked for."""
        return self._words

    def holds(self, text: str) -> bool:
        """Tell whether ``text`` has every phrase wanted and none unwanted."""
        if not self.must_open:
            return True
        folded = fold(text)
        return all(p.search(folded) for p in self._wanted) and not any(
            p.search(folded) for p in self._unwanted
        )

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where the words looked for stand in ``text``."""
        words = self._near(text) if text.isascii() and self._words else WORD.finditer(text)
        return (word.span() for word in words if _forms(word[0]) & self._words)

    def _near(self, text: str) -> Iterator[re.Match[str]]:
        """Yield the words of an ASCII text around each place that reads like one looked for."""
        lowered, end = text.lower(), 0
        while found := self._likely.search(lowered, end):
            start = found.start()
            while start > end and WORD.match(text[start - 1]):
                start -= 1
            word = WORD.match(text, start)
            assert word is not None  # noqa: S101  (forms are made of word characters)
            yield word
            end = word.end()

    def bonus(self, text: str) -> int:
        """Return how many of the query's phrases ``text`` has."""
        folded = fold(text)
        return sum(1 for pattern in self._phrases if pattern.search(folded))


def snippet(text: str, spans: Iterable[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """Return about 160 characters around the first hit, and where the hits stand in them."""
    rest = iter(spans)
    first = next(rest, (0, 0))
    start = max(0, first[0] - SNIPPET // 3)
    if start:
        space = text.find(" ", start, first[0])
        start = space + 1 if space >= 0 else start
    end = min(len(text), start + SNIPPET)
    lead = "…" if start else ""
    shift = len(lead) - start
    near = takewhile(lambda span: span[1] <= end, chain([first] if first[1] else [], rest))
    inside = [(a + shift, b + shift) for a, b in near]
    return lead + text[start:end] + ("…" if end < len(text) else ""), inside


def _is_unsure(term: Term) -> bool:
    return term.phrase or any(IS_CJK.search(word) and len(word) > 1 for word in term.words)


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    folded = [fold(word) for word in words]
    body = _GAP.join(re.escape(word) for word in folded)
    before = "" if IS_CJK.match(folded[0]) else _BEFORE
    after = "" if IS_CJK.match(folded[-1][-1:]) else _AFTER
    return re.compile(before + body + after)
