"""Chats that hold all words of a query, but in no one message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from functools import reduce
from operator import or_
from typing import NamedTuple

from .asked import Asked, Found
from .matcher import Matcher
from .tree import Node, Or, Term, all_of, conjuncts

#: Of each word the newest messages looked at; chats opened; messages of them opened.
NEWEST, SESSIONS, OPENED = 200, 20, 300
_MOST = 8


class Spread(NamedTuple):
    """The best message of each such chat, and whether the work allowed was enough for all."""

    found: list[Found]
    complete: bool


def find(asked: Asked, known: Collection[int], limit: int) -> Spread:
    """Return chats but the ``known`` with every word that is asked for in some message.

    Those with more of the words in one message come first, then newer ones. Everything passes the
    gate, and what is not a word holds for each message.
    """
    tree = asked.tree
    words = [one for one in conjuncts(tree) if _is_said(one)]
    rest = [one for one in conjuncts(tree) if not _is_said(one)]
    if not 2 <= len(words) <= _MOST:
        return Spread([], True)
    newest = [asked.again(all_of([one, *rest])).candidates(None, NEWEST) for one in words]
    fewest = min(newest, key=len)
    if not fewest:
        return Spread([], True)
    # The rarest word's chats; those first that the newest messages with the other words are of.
    met = Counter(pk for block in newest for pk in {one.session for one in block})
    chats = dict.fromkeys(one.session for one in fewest if one.session not in known)
    chosen = sorted(chats, key=lambda pk: -met[pk])[:SESSIONS]
    if not chosen:
        return Spread([], len(fewest) < NEWEST)
    any_said = asked.again(all_of(rest), indexed=False)
    block = any_said.candidates(None, OPENED, sessions=chosen)
    found = _best(any_said.opened(block), words)
    all_looked_at = len(fewest) < NEWEST and len(chosen) == len(chats) and len(block) < OPENED
    return Spread(found[:limit], all_looked_at)


def _is_said(node: Node) -> bool:
    if isinstance(node, Or):
        return all(map(_is_said, node.parts))
    return isinstance(node, Term)


def _best(opened: Iterable[Found], words: list[Node]) -> list[Found]:
    """Return the message with the most words of each session that has all of them."""
    matchers = [Matcher(one, indexed=False) for one in words]
    held: dict[int, list[tuple[frozenset[int], Found]]] = {}
    for one in opened:
        which = frozenset(at for at, matcher in enumerate(matchers) if matcher.holds(one.text))
        held.setdefault(one.candidate.session, []).append((which, one))
    every = frozenset(range(len(words)))
    whole = [said for said in held.values() if reduce(or_, (which for which, _ in said)) == every]
    best = [max(said, key=lambda one: len(one[0])) for said in whole]
    best.sort(key=lambda one: (len(one[0]), one[1].candidate.position), reverse=True)
    return [one for _which, one in best]
