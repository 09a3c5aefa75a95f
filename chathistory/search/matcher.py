"""Holding an opened text against a query: what the index cannot tell, and where the words are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import chain, takewhile

from chathistory.text import facts as facts_of

from .tokens import ANY_CLASS, HANGING_CLASS, IS_CJK, WORD, fold, forms, query_forms
from .tree import TITLES, And, Filter, Node, Not, Or, Term, conjuncts, disjuncts, leaves

#: Filters that only an opened record answers.
SEALED = ("has", "meta")

_GAP = f"[^{ANY_CLASS[1:-1]}]+"
SNIPPET = 160
#: Of a word beyond ASCII; and letters with one, words that touch among them.
_BEYOND = re.compile(f"(?![\x00-\x7f\u2010-\u203a]){ANY_CLASS}")
_BEYOND_WORD = re.compile(f"(?<!{ANY_CLASS})[a-zA-Z0-9_]*(?![\x00-\x7f]){ANY_CLASS}+")
#: A character and what hangs on it, as folding may make one of them.
_CLUSTER = re.compile(
    "[\u1100-\u115f\ua960-\ua97c]+[\u1160-\u11a7\ud7b0-\ud7c6]*[\u11a8-\u11ff\ud7cb-\ud7fb]*"
    f"|.{HANGING_CLASS}*",
    re.DOTALL,
)
_ANY = re.compile(ANY_CLASS)
#: From one letter beyond ASCII to the last of those near it.
_APART = re.compile("[^\x00-\x7f]+(?:[\x00-\x7f]{1,20}[^\x00-\x7f]+)*")
_HANGING = re.compile(f"(?:{HANGING_CLASS}|(?<=\u200d).)*")

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
        said = "|".join(map(re.escape, sorted(asked, key=len, reverse=True)))
        self._literal = re.compile(f"(?:{said})(?!{HANGING_CLASS})")
        self._likely = re.compile("|".join(map(re.escape, sorted({*self._words, *self._begun}))))
        self._phrases = {t: _Phrase(t) for t in terms if len(t.words) > 1 or _is_run(t)}
        self._bonus = [self._phrases[t] for t in wanted if len(t.words) > 1]
        self._runs = [_Run(t) for t in wanted if len(t.words) > 1]
        lone = [word for t in wanted if len(t.words) == 1 for word in whole(t)]
        self._lone = {form for word in lone for form in query_forms(word)}
        self._lone_begun = tuple(
            {_fold(t.words[0]) for t in wanted if t.prefix and len(t.words) == 1}
        )

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
        """Yield where what was looked for stands in ``text``: of a phrase not each of its words."""
        if not (self._words or self._begun):
            return iter(())
        found = self._in_phrases(text) if self._runs else []
        return chain.from_iterable(map(self._inside, found or self._looked_for(text)))

    def places(self, text: str) -> Iterator[tuple[int, int, set[str]]]:
        """Yield where each word with one looked for stands, and the forms that it has of those."""
        for word in self._looked_for(text) if self._words or self._begun else ():
            yield word.start(), word.end(), _forms(word[0]) & self._words

    def _looked_for(self, text: str) -> Iterator[re.Match[str]]:
        words = _near(text, self._likely)
        return (w for w in words if _is_one(_forms(w[0]), self._words, self._begun))

    def _in_phrases(self, text: str) -> list[re.Match[str]]:
        """Return the words looked for by themselves or in a phrase; none if no phrase is there."""
        words = [word for word in WORD.finditer(text) if _fold(word[0])]
        folded = [_fold(word[0]) for word in words]
        inside = {at for run in self._runs for at in run.places(folded)}
        if not inside:
            return []
        return [
            word
            for at, word in enumerate(words)
            if at in inside or _is_one(_forms(word[0]), self._lone, self._lone_begun)
        ]

    def _inside(self, word: re.Match[str]) -> list[tuple[int, int]]:
        """Return what to mark of a word: all of it, but of a CJK run only what was asked for."""
        folded = _fold(word[0])
        if not IS_CJK.search(folded):
            return [word.span()]
        clusters = [piece[0] for piece in _CLUSTER.finditer(word[0])]
        starts, ends, read = [], [], 0
        for cluster in clusters:
            length = len(fold(cluster))
            starts += [word.start() + read] * length
            read += len(cluster)
            ends += [word.start() + read] * length
        if len(starts) != len(folded):
            return [word.span()]
        return [(starts[m.start()], ends[m.end() - 1]) for m in self._literal.finditer(folded)]

    def bonus(self, text: str) -> int:
        """Return how many of the query's phrases ``text`` has."""
        if not self._bonus:
            return 0
        folded, plain = fold_words(text)
        return sum(1 for phrase in self._bonus if phrase.search(folded, plain))


def snippet(text: str, spans: Iterable[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """Return about 160 characters around the first hit, and where the hits stand in them."""
    rest = iter(spans)
    first = next(rest, (0, 0))
    start = max(0, first[0] - SNIPPET // 3)
    if start:
        space = text.find(" ", start, first[0])
        start = space + 1 if space >= 0 else start
        start = _whole(text, start)
    end = _whole(text, min(len(text), start + SNIPPET))
    lead = "…" if start else ""
    shift = len(lead) - start
    near = takewhile(lambda span: span[1] <= end, chain([first] if first[1] else [], rest))
    inside = [(a + shift, b + shift) for a, b in near]
    return lead + text[start:end] + ("…" if end < len(text) else ""), inside


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the ASCII stretches of a text begin and end, and those between, word by word."""
    end = 0
    for found in () if text.isascii() else _APART.finditer(text):
        if found.end() <= end:
            continue
        start = max(end, text.rfind(" ", end, found.start()) + 1)
        yield end, start
        end = text.find(" ", found.end()) + 1 or len(text)
        yield start, end
    yield end, len(text)


def _near(text: str, likely: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """Yield the words of ``text`` that may have a form like it; of ASCII ones no others."""
    for start, end in _stretches(text):
        part = text[start:end]
        yield from (
            _in_ascii(text, start, part, likely)
            if part.isascii()
            else (WORD.finditer(text, start, end))
        )


def _in_ascii(text: str, start: int, part: str, likely: re.Pattern[str]) -> Iterator[re.Match[str]]:
    lowered, read = part.lower(), 0
    while found := likely.search(lowered, read):
        first = found.start()
        while first > read and WORD.match(part[first - 1]):
            first -= 1
        word = WORD.match(text, start + first)
        assert word is not None  # noqa: S101  (forms are made of word characters)
        yield word
        read = word.end() - start


@lru_cache(maxsize=1_000)
def _like(form: str) -> re.Pattern[str]:
    return re.compile(re.escape(form))


def _whole(text: str, at: int) -> int:
    """Return ``at`` or the next place at which no character is torn from what hangs on it."""
    found = _HANGING.match(text, at, at + 32)
    return found.end() if found else at


def _is_one(forms_: set[str], words_: set[str], begun: tuple[str, ...]) -> bool:
    if not begun:
        return not forms_.isdisjoint(words_)
    return any(form in words_ or form.startswith(begun) for form in forms_)


def fold_words(text: str) -> tuple[str, bool]:
    """Return a text folded word by word, as it was indexed, and whether its words are all ASCII.

    What stands between words, such as a curly quotation mark or ™, stays as it is.
    """
    if text.isascii() or not _BEYOND.search(text):
        return text.lower(), True
    pieces = (text[start:end] for start, end in _stretches(text))
    folded = (one if one.isascii() else _BEYOND_WORD.sub(_fold_apart, one) for one in pieces)
    return "".join(folded).lower(), False


def _fold_apart(run: re.Match[str]) -> str:
    """Return words that touch, as those of two scripts do, folded and with spaces between."""
    return " ".join(filter(None, map(_fold, WORD.findall(run[0]))))


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
    is_cjk = any(len(word) > 1 and IS_CJK.search(word) for word in map(_fold, term.words))
    return (term.phrase or is_cjk) and not (term.prefix and len(term.words) == 1)


class _Subject:
    """Texts under examination, of which each view is made at most once."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    @cached_property
    def folded(self) -> list[tuple[str, bool]]:
        """Each text folded, and whether its words are all ASCII."""
        return list(map(fold_words, self._texts))

    def says(self, word: str) -> bool:
        """Tell whether a word, or a part of an identifier, reads so."""
        wanted = query_forms(word)
        return all(any(form in found for found in self._forms_like(form)) for form in wanted)

    def begins(self, word: str) -> bool:
        """Tell whether a word, or a part of an identifier, begins so."""
        start = _fold(word)
        found = chain.from_iterable(self._forms_like(start))
        return any(form.startswith(start) for form in found)

    def _forms_like(self, form: str) -> Iterator[set[str]]:
        """Yield the forms of each word that may have one that holds ``form``."""
        for text, (folded, _plain) in zip(self._texts, self.folded, strict=True):
            if form in folded:
                yield from (_forms(word[0]) for word in _near(text, _like(form)))

    def has(self, what: str) -> bool:
        """Tell whether there is ``code`` or a ``link``."""
        name = {"code": "code_blocks", "link": "links"}[what]
        return any(name in facts_of(text) for text in self._texts)


class _Run:
    """The words of a phrase among the folded words of a text."""

    def __init__(self, term: Term) -> None:
        self._words = [_fold(word) for word in term.words]
        self._is_open = term.prefix or IS_CJK.match(self._words[-1][-1:]) is not None
        self._is_anywhere = IS_CJK.match(self._words[0]) is not None

    def places(self, folded: Sequence[str]) -> Iterator[int]:
        """Yield where the words of each occurrence are."""
        first, *middle, last = self._words
        for at in range(len(folded) - len(middle) - 1):
            end = at + len(middle) + 1
            begins = folded[at] == first or (self._is_anywhere and folded[at].endswith(first))
            if begins and folded[at + 1 : end] == middle and self._ends(folded[end], last):
                yield from range(at, end + 1)

    def _ends(self, word: str, last: str) -> bool:
        return word == last or (self._is_open and word.startswith(last))


class _Phrase:
    """Consecutive words of a folded text."""

    def __init__(self, term: Term) -> None:
        folded = [fold(word) for word in term.words]
        *first, last = folded
        ended = [re.escape(word) + _end(word, ANY_CLASS) for word in first]
        tail = "" if term.prefix else _end(last, ANY_CLASS)
        self._pattern = re.compile(_GAP.join([*ended, re.escape(last) + tail]))
        # For texts of ASCII words, on which `re` is four times as fast when told so.
        ended = [re.escape(word) + _end(word, r"\w") for word in first]
        tail = "" if term.prefix else _end(last, r"\w")
        body = r"\W+".join([*ended, re.escape(last) + tail])
        self._ascii = re.compile(body, re.ASCII) if all(map(str.isascii, folded)) else None
        self._anywhere = IS_CJK.match(folded[0]) is not None

    def search(self, folded: str, plain: bool) -> bool:
        """Tell whether the text holds the words one after the other."""
        pattern = self._ascii if plain else self._pattern
        start = 0
        # Begins with a letter, which `re` looks for ten times as fast as for a look-behind.
        while pattern and (found := pattern.search(folded, start)):
            before = folded[found.start() - 1 : found.start()]
            if self._anywhere or not _ANY.match(before):
                return True
            start = found.start() + 1
        return False


def _end(word: str, class_: str) -> str:
    """Return what tells that a word is at its end: it is not a longer one, nor is C one of C++."""
    if IS_CJK.match(word[-1:]):
        return f"(?!{HANGING_CLASS})"
    signs = rf"|\+\+(?!{class_})" + (rf"|#(?!{class_})" if word in ("c", "f") else "")
    return f"(?!{class_}{signs})"
