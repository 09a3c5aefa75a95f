"""The query language, first cut: words, ``"phrases"`` and ``-not``; a pure parser."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chathistory.exceptions import InvalidQuery

from .tokens import WORD, query_forms

MAX_LENGTH = 1_000
_PART = re.compile(r'\s*(?P<minus>-(?=\S))?(?:"(?P<phrase>[^"]*)(?P<closed>")?|(?P<word>[^\s"]+))')
_UNUSABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Term:
    """One thing a text must hold, or must not: consecutive words if it is a phrase."""

    words: tuple[str, ...]
    phrase: bool = False
    negated: bool = False


def parse(query: str) -> tuple[Term, ...]:
    """Return the terms of a query, all of which must hold.

    Raises InvalidQuery with the position of the first character that cannot be used.
    """
    _check(query)
    terms: list[Term] = []
    position = 0
    while position < len(query) and query[position:].strip():
        match = _PART.match(query, position)
        if match is None:  # a lone minus before a space
            raise InvalidQuery("A word is missing after the minus.", position=position)
        terms.append(_term(match))
        position = match.end()
    if not any(not term.negated for term in terms):
        raise InvalidQuery("At least one word to look for is needed.", position=0)
    return tuple(terms)


def _check(query: str) -> None:
    if not isinstance(query, str) or not query.strip():
        raise InvalidQuery("The query is empty.", position=0)
    if len(query) > MAX_LENGTH:
        raise InvalidQuery(
            f"At most {MAX_LENGTH:,} characters; given {len(query):,}.", position=MAX_LENGTH
        )
    if unusable := _UNUSABLE.search(query):
        raise InvalidQuery("A character that no text can hold.", position=unusable.start())


def _term(match: re.Match[str]) -> Term:
    if match["phrase"] is not None and match["closed"] is None:
        raise InvalidQuery("The quotation is not closed.", position=match.start("phrase") - 1)
    text = match["phrase"] if match["phrase"] is not None else match["word"]
    words = tuple(filter(query_forms, WORD.findall(text)))  # a lone accent is no word
    if not words:
        start = match.start("word") if match["word"] else match.start("phrase") - 1
        raise InvalidQuery("There is no word here.", position=start)
    phrase = match["phrase"] is not None or len(words) > 1
    return Term(words, phrase=phrase, negated=match["minus"] is not None)
