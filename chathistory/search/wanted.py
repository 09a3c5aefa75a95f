"""What the index must hold of a text that a query finds: tokens, of each owner's key.

A word that is only begun stands for the words of the owner's vocabulary that begin so. Only the
asker's own vocabulary is ever looked into: what others say is found by opening what they share.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest
from itertools import chain

from .base import Either, Wanted
from .matcher import unwanted, whole
from .tokens import IS_CJK, LONGEST, Keyed, fold, pairs, query_forms
from .tree import Node, Or, Term, conjuncts
from .vocabulary import Words

#: Words that a beginning stands for; where there are more, texts are opened instead.
MOST = 128
#: The same of all beginnings in one query.
_ALL = 4 * MOST


class Wanting:
    """What one owner's texts must have."""

    def __init__(self, keyed: Keyed, words: Words | None, *, cut: bool = False) -> None:
        """``words`` are all that the owner has, if known; ``cut`` lets the commonest do."""
        self._keyed, self._words, self._may_cut = keyed, words, cut
        self._left = _ALL
        #: Whether some words that begin so were left out.
        self.is_cut = False

    def of(self, tree: Node) -> Wanted | None:
        """Return the tokens that every text has which the tree finds; empty if nothing is sure.

        None where it can find nothing.
        """
        forms: set[str] = set()
        others: list[Either] = []
        for one in conjuncts(tree):
            either = self._any(one) if isinstance(one, Or) else None
            if isinstance(one, Term):
                said = whole(one)
                forms.update(chain.from_iterable(map(query_forms, said)), pairs(said))
                either = self._begun(one)
            if either is not None and not either.branches:
                return None
            others += [either] if either else []
        return [*self._keyed.tokens(forms), *others]

    def _any(self, tree: Or) -> Either | None:
        """Return what one of the branches must have; None where of some nothing is sure."""
        found = [self.of(part) for part in tree.parts]
        possible = [one for one in found if one is not None]
        return Either(possible) if all(possible) else None

    def _begun(self, term: Term) -> Either | None:
        """Return the words that the last of a term may be; None where that is not known."""
        if not term.prefix or self._words is None:
            return None
        start = fold(term.words[-1])
        if IS_CJK.search(start) or len(start) > LONGEST:  # words are not kept so
            return None
        found = self._words.beginning(start)
        most = min(MOST, self._left)
        if len(found) > most:
            if not self._may_cut:
                return None
            self.is_cut = True
        self._left -= min(len(found), most)
        common = nlargest(most, found, key=lambda word: found[word])
        return Either([[token] for token in self._keyed.tokens(common)])


def excluded(keyed: Sequence[Keyed], tree: Node) -> list[str]:
    """Return the tokens of which a text that the tree finds has none."""
    forms = [form for one in conjuncts(tree) for form in unwanted(one)]
    return sorted({token for one in keyed for token in one.tokens(forms)})
