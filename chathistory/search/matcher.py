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
#: A word character, or a mark on one, beyond ASCII; and a word that has one.
_BEYOND = re.compile(f"(?![\x00-\x7f\u2010-\u203a]){WORD_CLASS}")
_BEYOND_WORD = re.compile(f"{_BEFORE}[a-zA-Z0-9_]*(?![\x00-\x7f]){WORD_CLASS}+")

_forms = lru_cache(maxsize=50_000)(forms)
_fold = lru_cache(maxsize=50_000)(fold)


class Matcher:
    """What one query asks of an opened text."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self._wanted = [_Phrase(t.words) for t in terms if not t.negated and _is_unsure(t)]
        self._unwanted = [_Phrase(t.words) for t in terms if t.negated and _is_unsure(t)]
        self._words = {
            form for t in terms if not t.negated for word in t.words for form in query_forms(word)
        }
        asked = {_fold(word) for t in terms if not t.negated for word in t.words}
        self._literal = re.compile("|".join(map(re.escape, sorted(asked, key=len, reverse=True))))
        self._likely = re.compile("|".join(map(re.escape, sorted(self._words))))
        self._phrases = [_Phrase(t.words) for t in terms if not t.negated and len(t.words) > 1]

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
        folded, plain = _fold_words(text)
        return all(p.search(folded, plain) for p in self._wanted) and not any(
            p.search(folded, plain) for p in self._unwanted
        )

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where the words looked for stand in ``text``."""
        words = self._near(text) if text.isascii() and self._words else WORD.finditer(text)
        found = (word for word in words if _forms(word[0]) & self._words)
        return chain.from_iterable(map(self._inside, found))

    def _inside(self, word: re.Match[str]) -> list[tuple[int, int]]:
        """Return what to mark of a word: all of it, but of a CJK run only what was asked for."""
        folded = _fold(word[0]) if IS_CJK.search(word[0]) else ""
        if len(folded) != len(word[0]):
            return [word.span()]
        start = word.start()
        return [(start + m.start(), start + m.end()) for m in self._literal.finditer(folded)]

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
        folded, plain = _fold_words(text)
        return sum(1 for phrase in self._phrases if phrase.search(folded, plain))


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


def _fold_words(text: str) -> tuple[str, bool]:
    """Return a text folded word by word, as it was indexed, and whether its words are all ASCII.

    What stands between words, such as a curly quotation mark or ™, stays as it is.
    """
    if text.isascii() or not _BEYOND.search(text):
        return text.lower(), True
    pieces = (piece if piece.isascii() else _fold_piece(piece) for piece in text.split(" "))
    return " ".join(pieces).lower(), False


def _fold_piece(piece: str) -> str:
    return _BEYOND_WORD.sub(lambda word: _fold(word[0]), piece)


def _is_unsure(term: Term) -> bool:
    return term.phrase or any(IS_CJK.search(word) and len(word) > 1 for word in term.words)


class _Phrase:
    """Consecutive words of a folded text."""

    def __init__(self, words: Sequence[str]) -> None:
        folded = [fold(word) for word in words]
        body = _GAP.join(map(re.escape, folded))
        self._pattern = re.compile(body if IS_CJK.match(folded[-1][-1:]) else body + _AFTER)
        # For texts of ASCII words, on which `re` is four times as fast when told so.
        plain = all(map(str.isascii, folded))
        body = r"\W+".join(map(re.escape, folded)) + r"(?!\w)"
        self._ascii = re.compile(body, re.ASCII) if plain else None
        self._anywhere = IS_CJK.match(folded[0]) is not None

    def search(self, folded: str, plain: bool) -> bool:
        """Tell whether the text holds the words one after the other."""
        pattern = self._ascii if plain else self._pattern
        start = 0
        # Begins with a letter, which `re` looks for ten times as fast as for a look-behind.
        while pattern and (found := pattern.search(folded, start)):
            before = folded[found.start() - 1 : found.start()]
            if self._anywhere or not WORD.match(before):
                return True
            start = found.start() + 1
        return False
