"""What may have been meant by words that the asker has never said or been told.

Only the asker's own vocabulary is looked into, and what is suggested finds something they may
read: nobody learns from it what others say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from chathistory import keyring
from chathistory.exceptions import InvalidQuery
from chathistory.models import Account

from . import learned
from .base import Reader
from .query import parse
from .tokens import WORD_CLASS, query_forms
from .tree import Node, Term, leaves, with_terms

#: Suggestions that are tried.
_TRIED = 3


def suggestions(query: str, tree: Node, own: Account, reader: Reader) -> Iterator[tuple[str, Node]]:
    """Yield queries in which words of ``own`` stand for those never met, likeliest first.

    All else in them stands as it was typed. ``reader`` tells what was met.
    """
    new = [word for word in _words(tree) if not _is_known(word, own, reader)]
    known = learned.of(own) if new else None
    if known is None:
        return
    near = {word: known.words.near(next(iter(query_forms(word))), _TRIED) for word in new}
    if not near or not all(near.values()):
        return
    for rank in range(max(map(len, near.values()))):
        meant = {word: found[min(rank, len(found) - 1)] for word, found in near.items()}
        if (found := _typed(query, tree, meant)) is not None:
            yield found


def _words(tree: Node) -> set[str]:
    """Return the words looked for that are wholly typed."""
    wanted = [one for one, out in leaves(tree) if isinstance(one, Term) and not out]
    return {word for term in wanted for word in (term.words[:-1] if term.prefix else term.words)}


def _is_known(word: str, own: Account, reader: Reader) -> bool:
    """Tell whether the asker's own messages or titles have all that a word is found by."""
    tokens = keyring.account_keys(own).search.tokens(query_forms(word))
    said = reader.counts(own.pk, tokens, 1)
    return all(said) or all(map(max, said, reader.counts(own.pk, tokens, 1, titles=True)))


def _typed(query: str, tree: Node, meant: dict[str, str]) -> tuple[str, Node] | None:
    """Return the query with other words in it, if that changes nothing else of it."""
    sought = "|".join(map(re.escape, sorted(meant, key=len, reverse=True)))
    pattern = re.compile(f"(?<!{WORD_CLASS})(?:{sought})(?!{WORD_CLASS})")
    text = pattern.sub(lambda found: meant[found[0]], query)
    try:
        other = parse(text)
    except InvalidQuery:
        return None
    return (text, other) if other == with_terms(tree, lambda term: _meant(term, meant)) else None


def _meant(term: Term, meant: dict[str, str]) -> Term:
    return Term(tuple(meant.get(word, word) for word in term.words), term.phrase, term.prefix)
