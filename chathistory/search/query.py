"""The query language: a pure parser from what a person types to a tree.

Words, ``"phrases"``, ``-not``, ``prefix*``, ``OR``, parentheses and filters, of which ``HELP`` has
examples. OR joins only its two neighbours, so that whatever is added to a query narrows it:
``lion OR tiger cage`` asks for a cage and one of the animals.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

from django.utils.translation import gettext_lazy as _

from chathistory.exceptions import InvalidQuery
from chathistory.states import LIVE
from chathistory.text import ROLES

from .tokens import IS_CJK, WORD, WORD_CLASS, query_forms
from .tree import (
    TITLES,
    Filter,
    Node,
    Term,
    all_of,
    any_of,
    conjuncts,
    is_anchored,
    leaves,
    negate,
)

#: Characters of a query, spaces not counted; with them twice as many.
MAX_LENGTH = 1_000
#: Parentheses within each other.
MAX_DEPTH = 20

#: What can be typed, and what it finds.
HELP = (
    ("yeast bread", _("both words")),
    ('"yeast bread"', _("the words one after the other")),
    ("yeast -bread", _("the first without the second")),
    ("yeast OR bread flour", _("flour with one of the two")),
    ("yea*", _("words that begin so")),
    ("role:user", _("only what you asked; role:assistant, only answers")),
    ("after:2026-03 before:2026-06-15", _("from March on, before the 15th of June")),
    ("on:2026-11", _("in November; a year or a day will do too")),
    ("workflow:tutor tag:work state:archived", _("of one kind, tag and state")),
    ("is:pinned is:shared", _("chats pinned by you, chats that others can read too")),
    ("has:code has:link", _("messages with code or a link")),
    ("in:title bread", _("only in titles of chats")),
    ("meta:project=apollo", _("chats with this in their metadata")),
)

_CHOICES = {
    "role": ROLES,
    "state": tuple(map(str, LIVE)),
    "in": ("title",),
    "is": ("pinned", "shared"),
    "has": ("code", "link"),
}
_DATES = ("before", "after", "on")
_NAMES = (*_CHOICES, *_DATES, "workflow", "tag", "session", "meta")
_FILTER = re.compile(rf"({'|'.join(_NAMES)}):", re.IGNORECASE)
_VALUE = re.compile(r'"([^"]*)"|([^\s"()]+)')
_KEY = re.compile(r'(?:"([^"=]+)"|([^\s"()=]+))=')
_OR = re.compile(r'OR(?=[\s()"]|$)')
_WORD = re.compile(r'[^\s"]+')
_TYPED = re.compile(WORD_CLASS + r"{2}\Z")
_SPACE = re.compile(r"\s*")
_GERSHAYIM = re.compile('(?<=[\u05d0-\u05ea])"(?=[\u05d0-\u05ea])')
_UNUSABLE = re.compile("[\0\ud800-\udfff]")
_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def parse(query: str) -> Node:
    """Return the tree of a query.

    Raises InvalidQuery with the position of the first character that cannot be used.
    """
    _check(query)
    # Typed with a quotation mark: as much of a Hebrew abbreviation as an apostrophe is of "don't".
    return _Parser(_GERSHAYIM.sub("\u05f4", query)).tree()


def begun(query: str) -> Node:
    """Return the tree of a query that is still being typed: its last word may be only begun.

    That is from its second letter on, and not where it is left out or part of a filter. Raises
    InvalidQuery as ``parse`` does.
    """
    tree = parse(query)
    if not _TYPED.search(query) or IS_CJK.match(query[-1]):
        return tree
    try:
        other = parse(query + "*")
    except InvalidQuery:
        return tree
    old, new = list(leaves(tree)), list(leaves(other))
    changed = [one for one, was in zip(new, old, strict=False) if one != was]
    fits = (
        len(old) == len(new)
        and len(changed) == 1
        and isinstance(changed[0][0], Term)
        and not changed[0][1]
    )
    return other if fits else tree


def _check(query: str) -> None:
    if not isinstance(query, str) or not query.strip():
        raise InvalidQuery("The query is empty.", position=0)
    if len(query) > MAX_LENGTH:
        _check_length(query)
    if unusable := _UNUSABLE.search(query):
        raise InvalidQuery("A character that no text can hold.", position=unusable.start())


def _check_length(query: str) -> None:
    letters = [at for at, one in enumerate(query[: 2 * MAX_LENGTH]) if not one.isspace()]
    if len(letters) > MAX_LENGTH or len(query) > 2 * MAX_LENGTH:
        position = letters[MAX_LENGTH] if len(letters) > MAX_LENGTH else 2 * MAX_LENGTH
        raise InvalidQuery(f"At most {MAX_LENGTH:,} characters.", position=position)


class _Parser:
    """Recursive descent; ``_at`` is the next character to read."""

    def __init__(self, query: str) -> None:
        self._query = query
        self._at = 0
        self._open: list[int] = []
        self._units: list[tuple[int, Node]] = []

    def tree(self) -> Node:
        """Return the whole query's tree."""
        found = self._all()
        if any(one != TITLES and _has_titles(one) for one in conjuncts(found)):
            what = "It holds for the whole query: neither negated nor with OR."
            raise InvalidQuery(what, position=self._first(_has_titles))
        if not is_anchored(found):
            what = "At least one word or filter to look for is needed."
            raise InvalidQuery(what, position=self._first(lambda one: not is_anchored(one)))
        return found

    def _first(self, is_wrong: Callable[[Node], bool]) -> int:
        return next(start for start, one in self._units if is_wrong(one))

    def _all(self) -> Node:
        """Read up to the end or a closing parenthesis."""
        start = self._skip()
        parts: list[Node] = []
        while self._skip() < len(self._query) and not self._closes():
            parts.append(self._any())
        if self._open and self._at == len(self._query):
            raise InvalidQuery("The parenthesis is not closed.", position=self._open[0])
        if not parts:
            raise InvalidQuery("There is no word here.", position=(self._open or [start])[-1])
        return all_of(parts)

    def _any(self) -> Node:
        """Read units with OR between."""
        if self._is_or():
            raise InvalidQuery("A word is missing before OR.", position=self._at)
        parts = [self._unit()]
        while self._skip() < len(self._query) and self._is_or():
            at, self._at = self._at, self._at + 2
            if self._skip() == len(self._query) or self._closes() or self._is_or():
                raise InvalidQuery("A word is missing after OR.", position=at)
            parts.append(self._unit())
        return any_of(parts)

    def _unit(self) -> Node:
        start = self._at
        found = self._negated(start) if self._query[start] == "-" else self._atom()
        if not self._open:
            self._units.append((start, found))
        return found

    def _negated(self, start: int) -> Node:
        self._at += 1
        if self._at == len(self._query) or self._query[self._at].isspace():
            raise InvalidQuery("A word is missing after the minus.", position=start)
        return negate(self._atom())

    def _atom(self) -> Node:
        if self._query[self._at] == "(":
            return self._group()
        if self._query[self._at] == '"':
            return self._phrase()
        return self._filter() or self._word()

    def _group(self) -> Node:
        self._open.append(self._at)
        if len(self._open) > MAX_DEPTH:
            what = f"More than {MAX_DEPTH} parentheses within each other."
            raise InvalidQuery(what, position=self._at)
        self._at += 1
        found = self._all()
        self._at += 1
        self._open.pop()
        return found

    def _phrase(self) -> Node:
        start, end = self._at, self._query.find('"', self._at + 1)
        if end < 0:
            raise InvalidQuery("The quotation is not closed.", position=start)
        self._at = end + 1
        return Term(_words(self._query[start:end], start), phrase=True)

    def _word(self) -> Node:
        start = self._at
        match = _WORD.match(self._query, start)
        text = self._within(match[0]) if match else ""
        self._at += len(text)
        words = _words(text, start)
        if words == ("OR",):  # here a word, after a minus or before a comma
            words = ("or",)
        prefix = text.endswith("*") and not IS_CJK.match(words[-1][-1])
        return Term(words, phrase=len(words) > 1, prefix=prefix)

    def _within(self, word: str) -> str:
        """Cut a word where it closes a parenthesis that it has not opened."""
        depth = 0
        for at, one in enumerate(word if self._open else ""):
            depth += (one == "(") - (one == ")")
            if depth < 0:
                return word[:at]
        return word

    def _filter(self) -> Node | None:
        start = self._at
        match = _FILTER.match(self._query, start)
        if match is None:
            return None
        self._at, name = match.end(), match[1].lower()
        key = self._key(start) if name == "meta" else ""
        at = self._at
        found = _VALUE.match(self._query, at)
        value = " ".join((found[1] or found[2] or "").split()) if found else ""
        if found is None or not value:
            raise InvalidQuery(f"A value is missing after {match[0]}", position=start)
        self._at = found.end()
        return Filter(name, _checked(name, value, at), key)

    def _key(self, start: int) -> str:
        match = _KEY.match(self._query, self._at)
        key = " ".join((match[1] or match[2]).split()) if match else ""
        if match is None or not key:
            raise InvalidQuery("It is written meta:key=value.", position=start)
        self._at = match.end()
        return key

    def _skip(self) -> int:
        match = _SPACE.match(self._query, self._at)
        self._at = match.end() if match else self._at
        return self._at

    def _closes(self) -> bool:
        return bool(self._open) and self._query[self._at] == ")"

    def _is_or(self) -> bool:
        return _OR.match(self._query, self._at) is not None


def _has_titles(tree: Node) -> bool:
    return any(leaf == TITLES for leaf, _negated in leaves(tree))


def _words(text: str, start: int) -> tuple[str, ...]:
    words = tuple(filter(query_forms, WORD.findall(text)))  # a lone accent is no word
    if not words:
        raise InvalidQuery("There is no word here.", position=start)
    return words


def _checked(name: str, value: str, position: int) -> str:
    """Return a filter's value as the tree keeps it. Raises InvalidQuery."""
    known = _CHOICES.get(name)
    value = value.lower() if known or name == "session" else value
    if known and value not in known:
        raise InvalidQuery(f"One of: {', '.join(known)}.", position=position)
    if name in _DATES and not _is_date(value):
        raise InvalidQuery("A date is 2026-11-23, 2026-11 or 2026.", position=position)
    if name == "session" and not _UUID.fullmatch(value):
        raise InvalidQuery("Not the id of a chat.", position=position)
    return value


def _is_date(value: str) -> bool:
    match = _DATE.fullmatch(value)
    try:
        return match is not None and bool(date(*(int(part or 1) for part in match.groups())))
    except ValueError:
        return False
