"""A query as a tree of frozen dataclasses. ``str`` of a node is its canonical text.

``parse(str(tree)) == tree`` for every tree that ``parse`` gave, and that text is never longer
than what was typed, spaces aside: phrases are joined by hyphens, values quoted where they must be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from .tokens import WORD

_BARE = re.compile(r'[^\s"()]+')


@dataclass(frozen=True, slots=True)
class Term:
    """Words that follow each other if it is a phrase; of a prefix the last is only begun."""

    words: tuple[str, ...]
    phrase: bool = False
    prefix: bool = False

    def __str__(self) -> str:
        text = _joined(self.words) + "*" * self.prefix
        return f'"{text}"' if self.phrase and len(self.words) == 1 and not self.prefix else text


@dataclass(frozen=True, slots=True)
class Filter:
    """A fact about the message or its session: ``name:value``, of metadata ``meta:key=value``."""

    name: str
    value: str
    key: str = ""

    def __str__(self) -> str:
        key = _quoted(self.key) + "=" if self.key else ""
        return f"{self.name}:{key}{_quoted(self.value)}"


#: Only titles are looked through; it stands for the whole query.
TITLES = Filter("in", "title")


@dataclass(frozen=True, slots=True)
class Not:
    """What must not be."""

    part: Node

    def __str__(self) -> str:
        return "-" + (f"({self.part})" if isinstance(self.part, And | Or) else str(self.part))


@dataclass(frozen=True, slots=True)
class And:
    """All of these, in the order given; two or more, none of them an And."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " ".join(map(str, self.parts))


@dataclass(frozen=True, slots=True)
class Or:
    """Any of these; two or more, none of them an Or."""

    parts: tuple[Node, ...]

    def __str__(self) -> str:
        return " OR ".join(f"({one})" if isinstance(one, And) else str(one) for one in self.parts)


Node = Term | Filter | Not | And | Or


def all_of(parts: Iterable[Node]) -> Node:
    """Return the conjunction of ``parts``, flat; of one part that part."""
    flat = tuple(inner for one in parts for inner in conjuncts(one))
    return flat[0] if len(flat) == 1 else And(flat)


def any_of(parts: Iterable[Node]) -> Node:
    """Return the disjunction of ``parts``, flat; of one part that part."""
    flat = tuple(inner for one in parts for inner in disjuncts(one))
    return flat[0] if len(flat) == 1 else Or(flat)


def negate(part: Node) -> Node:
    """Return what holds where ``part`` does not."""
    return part.part if isinstance(part, Not) else Not(part)


def conjuncts(tree: Node) -> tuple[Node, ...]:
    """Return what must all hold."""
    return tree.parts if isinstance(tree, And) else (tree,)


def disjuncts(tree: Node) -> tuple[Node, ...]:
    """Return of what one must hold."""
    return tree.parts if isinstance(tree, Or) else (tree,)


def leaves(tree: Node, *, negated: bool = False) -> Iterator[tuple[Term | Filter, bool]]:
    """Yield each term and filter, and whether it is negated."""
    if isinstance(tree, Not):
        yield from leaves(tree.part, negated=not negated)
    elif isinstance(tree, And | Or):
        for one in tree.parts:
            yield from leaves(one, negated=negated)
    else:
        yield tree, negated


def with_terms(tree: Node, change: Callable[[Term], Term]) -> Node:
    """Return the tree with each of its terms changed."""
    if isinstance(tree, Not):
        return negate(with_terms(tree.part, change))
    if isinstance(tree, And):
        return all_of(with_terms(one, change) for one in tree.parts)
    if isinstance(tree, Or):
        return any_of(with_terms(one, change) for one in tree.parts)
    return change(tree) if isinstance(tree, Term) else tree


def is_anchored(tree: Node) -> bool:
    """Tell whether whatever the tree finds has something that was asked for."""
    if isinstance(tree, And):
        return any(map(is_anchored, tree.parts))
    if isinstance(tree, Or):
        return all(map(is_anchored, tree.parts))
    return not isinstance(tree, Not) and tree != TITLES


def _joined(words: tuple[str, ...]) -> str:
    """Return words as one piece; those of two scripts touch, as they may have been typed."""
    found = words[0]
    for last, word in pairwise(words):
        found += word if WORD.findall(last + word) == [last, word] else f"-{word}"
    return found if WORD.findall(found) == list(words) else "-".join(words)


def _quoted(value: str) -> str:
    return value if _BARE.fullmatch(value) else f'"{value}"'
