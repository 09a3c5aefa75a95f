"""Words to tokens: what a text is found by, before and after keying.

``words`` cuts a text, ``forms`` says under which folded forms one word is found, ``pairs`` which
short words follow each other, and a ``Keyed`` turns all of these into 12 hex digits that only the
owner's search key can make.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from threading import Lock
from typing import cast
from weakref import WeakSet
from zlib import crc32

_MARKS = "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
_VOWELS = "\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963"
_MORE = "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
WORD_CLASS = rf"[\w{_MARKS}{_VOWELS}{_MORE}]"
WORD = re.compile(WORD_CLASS + "+")
_STRIPPED = re.compile(f"[{_MARKS}\u064b-\u065f\u0670]")
_CJK = (
    "\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31a0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af"
)
_RUNS = re.compile(f"[{_CJK}]+|[^{_CJK}]+")
IS_CJK = re.compile(f"[{_CJK}]")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_IS_CAMEL = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]")
_ASCII_WORDS = bytes(code if WORD.match(chr(code)) else 32 for code in range(128)) + bytes(128)
LONGEST = 256  # characters of a word that still count; a longer one is found by its beginning
_SHORT, _PAIRS = 5, 4_096  # characters of a word that makes pairs; buckets that pairs fall into
_CODES = 100_000  # words whose code is remembered


def words(text: str) -> list[str]:
    """Return the words of ``text`` in order, as they stand."""
    if text.isascii():  # the same at half the cost
        return text.encode().translate(_ASCII_WORDS).decode().split()
    return WORD.findall(text)


def fold(word: str) -> str:
    """Return ``word`` without case, accents and compatibility forms."""
    if word.isascii():
        return word.lower()
    folded = unicodedata.normalize("NFKD", word).casefold()
    return unicodedata.normalize("NFKC", _STRIPPED.sub("", folded))


def forms(word: str) -> set[str]:
    """Return every folded form that a word of a text is found under.

    A plain word has one; an identifier also its parts; a CJK run its characters and pairs.
    """
    word = _cut(word)
    whole = fold(word)
    if word.isascii() and word.isalpha() and (whole == word or word.istitle() or word.isupper()):
        return {whole}
    found = {whole} if not IS_CJK.search(whole) else set()
    for part in word.split("_"):
        found |= _script_forms(fold(part))
        if _IS_CAMEL.search(part):
            found.update(piece.lower() for piece in _CAMEL.findall(part) if len(piece) > 1)
    return found - {""}


def _cut(word: str) -> str:
    return word if len(word) <= LONGEST or IS_CJK.search(word) else word[:LONGEST]


def _script_forms(folded: str) -> set[str]:
    found: set[str] = set()
    for run in _RUNS.findall(folded):
        if IS_CJK.match(run):
            found.update(run, (run[i : i + 2] for i in range(len(run) - 1)))
        else:
            found.add(run)
    return found


def query_forms(word: str) -> set[str]:
    """Return the forms that a text must all have to contain ``word``."""
    folded = fold(_cut(word))
    if not IS_CJK.search(folded):
        return {folded} - {""}
    found: set[str] = set()
    for run in chain.from_iterable(map(_RUNS.findall, folded.split("_"))):
        pairs = {run[i : i + 2] for i in range(len(run) - 1)}
        found |= pairs if IS_CJK.match(run) and pairs else {run}
    return found


def pairs(words: Sequence[str]) -> set[str]:
    """Return a form for each two short words of ``words`` that follow each other.

    Phrases of short words are the dear ones: those words stand in most texts. Pairs share a few
    thousand forms, so a text that has the form need not have the pair.
    """
    return set(map(_pair_form, _buckets(words)))


class _Codes(dict[str, int]):
    """A number for each short word met before, 0 for one that makes no pairs, -1 for no word."""

    def __missing__(self, word: str) -> int:
        folded = fold(word)
        paired = len(folded) <= _SHORT and not IS_CJK.search(folded)
        code = crc32(folded.encode("utf-8", "replace")) | 1 if paired else 0
        code = code if folded else -1  # a lone accent
        if len(self) >= _CODES:
            self.clear()
        if len(word) <= 4 * _SHORT:
            self[word] = code
        return code


_codes = _Codes()


def _buckets(words: Iterable[str]) -> set[int]:
    codes = list(map(_codes.__getitem__, words))
    if -1 in codes:
        codes = [code for code in codes if code != -1]
    return {(31 * a + b) % _PAIRS for a, b in pairwise(codes) if a and b}


def _pair_form(bucket: int) -> str:
    return f"\0{bucket:x}"  # no word has a NUL


def all_forms(text: str) -> set[str]:
    """Return every form that ``text`` is found under."""
    found = words(text)
    return pairs(found).union(*map(forms, set(found)))


class _Cache:
    """Tokens of words met before, by owner; all owners of a process share one bound."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._size = 0
        self._owners: WeakSet[Keyed] = WeakSet()
        self._lock = Lock()

    def make_room(self, owner: Keyed, words: int) -> None:
        """Count ``words`` more for ``owner``; forget everything where that would be too much.

        What others are reading at this moment stays as it is: dictionaries are left, not emptied.
        """
        with self._lock:
            self._size += words
            if self._size > self._capacity:
                for one in self._owners:
                    one.seen = {}
                self._owners.clear()
                self._size = words
            self._owners.add(owner)


_cache = _Cache(200_000)


class Keyed:
    """Tokens of one owner: BLAKE2b of a form under the search key, 48 bits as 12 hex digits."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.seen: dict[str, str] = {}
        self._pairs: dict[int, str] = {}

    def token(self, form: str) -> str:
        """Return the token of one folded form."""
        text = form.encode("utf-8", "replace")
        return hashlib.blake2b(text, digest_size=6, key=self.key).hexdigest()

    def tokens(self, forms_: Iterable[str]) -> list[str]:
        """Return the distinct tokens of ``forms_``, sorted."""
        return sorted({self.token(form) for form in forms_})

    def of_text(self, text: str) -> str:
        """Return the distinct tokens of a text, sorted, joined by spaces."""
        said = words(text)
        found = set(said)
        known = list(map(self.seen.get, found))
        tokens = self._learn(found) if None in known else cast("list[str]", known)
        distinct = set(" ".join(tokens).split()).union(map(self._pair, _buckets(said)))
        return " ".join(sorted(distinct))

    def _pair(self, bucket: int) -> str:
        token = self._pairs.get(bucket)
        if token is None:
            token = self._pairs[bucket] = self.token(_pair_form(bucket))
        return token

    def _learn(self, found: set[str]) -> list[str]:
        _cache.make_room(self, len(found.difference(self.seen)))
        seen = self.seen
        seen |= {word: " ".join(map(self.token, forms(word))) for word in found.difference(seen)}
        return [seen[word] for word in found]
