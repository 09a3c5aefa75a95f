"""Holding an opened text against a query: what the index cannot tell, and where the words are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import chain, takewhile

from chathistory.text import facts as facts_of

from .tokens import IS_CJK, WORD, WORD_CLASS, fold, forms, query_forms, words
from .tree import TITLES, And, Filter, Node, Not, Or, Term, conjuncts, disjuncts, leaves

#: Filters that only an opened record answers.
SEALED = ("has", "meta")

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

    def __init__(self, tree: Node, *, indexed: bool = True) -> None:
        """``indexed``: texts come from the index, which vouches for what it can tell."""
        self._asked = [
            one
            for one in conjuncts(tree)
            if not (in_columns(one) or one == TITLES or (indexed and _is_sure(one)))
        ]
        terms = [leaf for leaf, _negated in leaves(tree) if isinstance(leaf, Term)]
        wanted = [leaf for leaf, out in leaves(tree) if isinstance(leaf, Term) and not out]
        self._words = {form for t in wanted for word in whole(t) for form in query_forms(word)}
        self._begun = tuple(sorted({_fold(t.words[-1]) for t in wanted if t.prefix}))
        asked = {_fold(word) for t in wanted for word in t.words}
        self._literal = re.compile("|".join(map(re.escape, sorted(asked, key=len, reverse=True))))
        self._likely = re.compile("|".join(map(re.escape, sorted({*self._words, *self._begun}))))
        self._phrases = {t: _Phrase(t) for t in terms if len(t.words) > 1 or _is_run(t)}
        self._bonus = [self._phrases[t] for t in wanted if len(t.words) > 1]

    @property
    def must_open(self) -> bool:
        """Whether index and columns alone cannot tell that a text matches."""
        return bool(self._asked)

    @property
    def words(self) -> set[str]:
        """The folded forms looked for."""
        return self._words

    @property
    def facts(self) -> list[Filter]:
        """The filters that ``holds`` asks its ``facts`` about."""
        found = (leaf for one in self._asked for leaf, _negated in leaves(one))
        return [leaf for leaf in found if isinstance(leaf, Filter) and leaf.name != "has"]

    def holds(self, *texts: str, facts: Callable[[Filter], bool] = lambda _filter: False) -> bool:
        """Tell whether texts that stand apart have all that is asked; ``facts`` answer filters."""
        if not self._asked:
            return True
        subject = _Subject(texts)
        return all(self._is(one, subject, facts) for one in self._asked)

    def _is(self, node: Node, subject: _Subject, facts: Callable[[Filter], bool]) -> bool:
        if isinstance(node, Not):
            return not self._is(node.part, subject, facts)
        if isinstance(node, And):
            return all(self._is(one, subject, facts) for one in node.parts)
        if isinstance(node, Or):
            return any(self._is(one, subject, facts) for one in node.parts)
        if isinstance(node, Filter):
            return subject.has(node.value) if node.name == "has" else facts(node)
        phrase = self._phrases.get(node)
        if phrase is not None:
            return any(phrase.search(folded, plain) for folded, plain in subject.folded)
        return subject.begins(node.words[0]) if node.prefix else subject.says(node.words[0])

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where the words looked for stand in ``text``."""
        if not (self._words or self._begun):
            return iter(())
        words = self._near(text) if text.isascii() else WORD.finditer(text)
        found = (word for word in words if self._is_looked_for(_forms(word[0])))
        return chain.from_iterable(map(self._inside, found))

    def _is_looked_for(self, forms_: set[str]) -> bool:
        if not self._begun:
            return not forms_.isdisjoint(self._words)
        return any(form in self._words or form.startswith(self._begun) for form in forms_)

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
        return sum(1 for phrase in self._bonus if phrase.search(folded, plain))


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


def in_columns(tree: Node) -> bool:
    """Tell whether columns in the clear say all that the tree asks."""
    found = (leaf for leaf, _negated in leaves(tree))
    return all(isinstance(leaf, Filter) and leaf.name not in SEALED for leaf in found)


def whole(term: Term) -> tuple[str, ...]:
    """Return the words of a term that are not only begun."""
    return term.words[:-1] if term.prefix else term.words


def unwanted(tree: Node) -> list[str]:
    """Return the forms of which the index lets none through; empty where it cannot tell."""
    if not isinstance(tree, Not):
        return []
    found = [_alone(one) for one in disjuncts(tree.part)]
    return [] if "" in found else found


def _alone(node: Node) -> str:
    """Return the form of a lone word that has only one, or nothing."""
    if not isinstance(node, Term) or node.phrase or node.prefix:
        return ""
    found = query_forms(node.words[0])
    return next(iter(found)) if len(found) == 1 else ""


def _is_sure(node: Node) -> bool:
    """Tell whether the index lets through only what holds this."""
    if isinstance(node, Not):
        terms = [one for one in disjuncts(node.part) if isinstance(one, Term)]
        return bool(unwanted(node)) and not any(map(_is_unsure, terms))
    if isinstance(node, And | Or):
        return all(not isinstance(one, Not) and _is_sure(one) for one in node.parts)
    return isinstance(node, Term) and not _is_unsure(node)


def _is_unsure(term: Term) -> bool:
    return term.phrase or term.prefix or _is_run(term)


def _is_run(term: Term) -> bool:
    """Tell whether a term is looked for as it stands: in quotation marks, or run together."""
    is_cjk = any(IS_CJK.search(word) and len(word) > 1 for word in term.words)
    return (term.phrase or is_cjk) and not (term.prefix and len(term.words) == 1)


class _Subject:
    """Texts under examination, of which each view is made at most once."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    @cached_property
    def folded(self) -> list[tuple[str, bool]]:
        """Each text folded, and whether its words are all ASCII."""
        return list(map(_fold_words, self._texts))

    @cached_property
    def _forms(self) -> set[str]:
        found = {word for text in self._texts for word in words(text)}
        return set().union(*map(_forms, found))

    def says(self, word: str) -> bool:
        """Tell whether a word, or a part of an identifier, reads so."""
        wanted = query_forms(word)
        return all(map(self._is_near, wanted)) and wanted <= self._forms

    def begins(self, word: str) -> bool:
        """Tell whether a word, or a part of an identifier, begins so."""
        start = _fold(word)
        return self._is_near(start) and any(form.startswith(start) for form in self._forms)

    def has(self, what: str) -> bool:
        """Tell whether there is ``code`` or a ``link``."""
        name = {"code": "code_blocks", "link": "links"}[what]
        return any(name in facts_of(text) for text in self._texts)

    def _is_near(self, form: str) -> bool:
        """Tell cheaply whether a form may be there at all."""
        return any(form in folded for folded, _plain in self.folded)


class _Phrase:
    """Consecutive words of a folded text."""

    def __init__(self, term: Term) -> None:
        folded = [fold(word) for word in term.words]
        body = _GAP.join(map(re.escape, folded))
        is_open = term.prefix or IS_CJK.match(folded[-1][-1:])
        self._pattern = re.compile(body if is_open else body + _AFTER)
        # For texts of ASCII words, on which `re` is four times as fast when told so.
        plain = all(map(str.isascii, folded))
        body = r"\W+".join(map(re.escape, folded)) + ("" if is_open else r"(?!\w)")
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
