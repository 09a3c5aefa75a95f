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
from itertools import chain, islice
from operator import add
from threading import Lock
from weakref import WeakSet
from zlib import crc32

# Accents and vowel points: a text is found without them.
_MARKS = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff"
    "\u20d0-\u20ff\ufe20-\ufe2f"
)
# Within words but never seen: soft hyphens, joiners, variation selectors of ideographs.
_UNSEEN = "\u00ad\u200c\u200d\u2060\U000e0100-\U000e01ef"
# Vowel signs, without which it would be another word: from Devanagari to Sinhala, Tibetan, Limbu.
_VOWELS = (
    "\u0900-\u0963\u0966-\u096f\u0971-\u0df3\u0f18-\u0f39\u0f3e-\u0f84\u0f86-\u0fbc\u1920-\u193b"
)
# Scripts written without spaces: Chinese, Japanese and Korean; Thai, Lao, Burmese and Khmer.
_CJK = (
    "\u2e80-\u2fdf\u3005-\u3007\u3041-\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u312f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af"
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u103f\u1050-\u108f\u109a-\u109f\u1780-\u17d3"
)
_SHOWN = "\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"  # how an emoji is to look
_PICTURED = (
    "\u231a\u231b\u23e9-\u23fa\u25b6\u25c0\u25fb-\u25fe\u2600-\u2775\u2794-\u27bf\u2b05-\u2b07"
    "\u2b1b\u2b1c\u2b50\u2b55\U0001f000-\U0001f0ff\U0001f170-\U0001f19a\U0001f300-\U0001f3fa"
    "\U0001f400-\U0001faff"
)
_PICTURE = f"[{_PICTURED}][{_SHOWN}]*"
_FLAG = "[\U0001f1e6-\U0001f1ff]{2}"
_EMOJI = f"{_FLAG}|{_PICTURE}(?:\u200d{_PICTURE})*"
WORD_CLASS = rf"[\w{_MARKS}{_UNSEEN}{_VOWELS}{_CJK}]"
# C++, i++, C#, F#: no other signs belong to a word.
_SIGNED = rf"(?:\+\+(?!{WORD_CLASS})|(?<=\b[CcFf])#(?!{WORD_CLASS}))?"
_SPACED = rf"(?:[^\W{_CJK}]+|[{_MARKS}{_UNSEEN}{_VOWELS}]+)+"
WORD = re.compile(rf"{_SPACED}{_SIGNED}|[{_CJK}][{_CJK}{_MARKS}{_UNSEEN}{_SHOWN}]*|{_EMOJI}")
_ASCII_WORD = re.compile(r"\w+(?:\+\+(?!\w)|(?<=\b[CcFf])#(?!\w))?", re.ASCII)
_PLAIN = re.compile(WORD_CLASS + "+")
_SHARP = re.compile("(?<=[CcFf])#")
# As far as a word of these is more than letters with something else around.
_SPECIAL = re.compile(f"[{_CJK}{_PICTURED}\U0001f1e6-\U0001f1ff]")
#: What words are made of, emoji too; and what belongs to the character before it.
ANY_CLASS = f"{WORD_CLASS[:-1]}{_PICTURED}{_SHOWN}\U0001f1e6-\U0001f1ff]"
_SOUNDS = "\u3099\u309a\uff9e\uff9f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece"
_SOUNDS += "\u102b-\u103e\u1056-\u1059\u17b4-\u17d3"
HANGING_CLASS = f"[{_MARKS}{_UNSEEN}{_SHOWN}{_SOUNDS}]"
IS_EMOJI = re.compile(f"{_FLAG}|{_PICTURE}")
_STRIPPED = re.compile(
    # Without its breve or dots another letter: й, ў, ї.
    f"(?<![\u0438\u0443])\u0306|(?<!\u0456)\u0308|[{_UNSEEN}{_SHOWN}\u0640\u093c\u09bc\u0a3c\ufeff]"
    f"|(?![\u0306\u0308])[{_MARKS}]"
)
_ZEROS = (
    "\u0660\u06f0\u07c0\u0966\u09e6\u0a66\u0ae6\u0b66\u0be6\u0c66\u0ce6\u0d66\u0e50\u0ed0\u0f20"
    "\u1040\u17e0\u1810"
)
# Letters that people type for each other: those without an accent to take off, forms of alef,
# yeh and kaf, and digits.
_ALIKE = str.maketrans(
    dict(
        zip(
            "ıøłđħŧð\u0671\u0649\u06cc\u06a9\u0629",
            "ioldhtd\u0627\u064a\u064a\u0643\u0647",
            strict=True,
        )
    )
    | {"æ": "ae", "œ": "oe", "þ": "th"}
    | {chr(ord(zero) + n): str(n) for zero in _ZEROS for n in range(10)}
)
_RUNS = re.compile(f"[{_CJK}]+|[^{_CJK}]+")
IS_CJK = re.compile(f"[{_CJK}]")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_IS_CAMEL = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]")
_ASCII_WORDS = bytes(code if _PLAIN.match(chr(code)) else 32 for code in range(128)) + bytes(128)
_ASCII = bytes(range(128))
LONGEST = 256  # characters of a word that still count; a longer one is found by its beginning
_SHORT, _PAIRS = 5, 4_096  # characters of a word that makes pairs; buckets that pairs fall into
_ALONE = 2 * _PAIRS  # the number of a word that makes no pairs
_CODES = 20_000  # words whose code is remembered


def words(text: str) -> list[str]:
    """Return the words of ``text`` in order, as they stand."""
    # The same words, each way at half the cost of the next.
    is_signed = "++" in text or ("#" in text and _SHARP.search(text))
    if not text.isascii():
        is_plain = not (is_signed or _SPECIAL.search(_beyond_ascii(text)))
        return (_PLAIN if is_plain else WORD).findall(text)
    if is_signed:
        return _ASCII_WORD.findall(text)
    return text.encode().translate(_ASCII_WORDS).decode().split()


def _beyond_ascii(text: str) -> str:
    return text.encode("utf-8", "replace").translate(None, _ASCII).decode()


def fold(word: str) -> str:
    """Return ``word`` without case, accents and compatibility forms."""
    if word.isascii():
        return word.lower()
    folded = _STRIPPED.sub("", unicodedata.normalize("NFKD", word).casefold())
    return unicodedata.normalize("NFKC", folded.translate(_ALIKE))


def forms(word: str) -> set[str]:
    """Return every folded form that a word of a text is found under.

    A plain word has one; an identifier also its parts; a CJK run its characters and pairs; joined
    emoji each of them.
    """
    word = _cut(word)
    whole = fold(word)
    if word[-1:] in ("+", "#"):
        return {whole, *forms(word.rstrip("+#"))}
    if IS_EMOJI.match(word):
        return {whole, *filter(None, map(fold, word.split("\u200d")))}
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
    return {_pair_form(sum_ % _PAIRS) for sum_ in _sums(words) if sum_ < _ALONE}


class _Codes(dict[str, int]):
    """A number for each short word met before, one beyond all for what makes no pairs.

    -1 for no word. A pair's number is found by sums of small numbers, in C.
    """

    def __missing__(self, word: str) -> int:
        folded = fold(word)
        paired = len(folded) <= _SHORT and not IS_CJK.search(folded)
        code = (crc32(folded.encode("utf-8", "replace")) | 1) % _PAIRS if paired else _ALONE
        code = code if folded else -1  # a lone accent
        if len(self) >= _CODES:
            self.clear()
        if len(word) <= 4 * _SHORT:
            self[word] = code
        return code


_codes = _Codes()
#: By a word's code what it adds to the number of a pair that it begins.
_firsts = [31 * code % _PAIRS for code in range(_PAIRS)] + [0] * (_ALONE - _PAIRS) + [_ALONE]


def _sums(words: Iterable[str]) -> set[int]:
    """Return a number for each two words that follow each other: a bucket by its rest.

    From ``_ALONE`` on one that is none, for one of the two is not short.
    """
    codes = list(map(_codes.__getitem__, words))
    if -1 in codes:
        codes = [code for code in codes if code != -1]
    return set(map(add, map(_firsts.__getitem__, codes), islice(codes, 1, None)))


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
                    one.forget()
                self._owners.clear()
                self._size = words
            self._owners.add(owner)


_cache = _Cache(20_000)


def _token(key: bytes, form: str) -> str:
    return hashlib.blake2b(form.encode("utf-8", "replace"), digest_size=6, key=key).hexdigest()


class _Pairs(dict[int, str]):
    """By the number of a pair its token, empty for what is none; some ten thousand at most."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._key = key

    def __missing__(self, number: int) -> str:
        form = _pair_form(number % _PAIRS)
        token = self[number] = _token(self._key, form) if number < _ALONE else ""
        return token


class _Seen(dict[str, str]):
    """By a word its tokens under one key, by spaces; met for the first time they are made."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._key = key
        #: The values that are not one token, but several or none.
        self.several: set[str] = set()

    def __missing__(self, word: str) -> str:
        found = forms(word)
        made = " ".join([_token(self._key, form) for form in found])
        if len(found) != 1:
            self.several.add(made)
        self[word] = made  # last: another thread may find it
        return made


class Keyed:
    """Tokens of one owner: BLAKE2b of a form under the search key, 48 bits as 12 hex digits."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self._pairs = _Pairs(key)
        self.forget()

    def forget(self) -> None:
        """Begin anew with the words met; who reads the old ones at this moment may go on."""
        self.seen = _Seen(self.key)

    def token(self, form: str) -> str:
        """Return the token of one folded form."""
        return _token(self.key, form)

    def tokens(self, forms_: Iterable[str]) -> list[str]:
        """Return the distinct tokens of ``forms_``, sorted."""
        return sorted({self.token(form) for form in forms_})

    def of_text(self, text: str) -> str:
        """Return the distinct tokens of a text, in no order, joined by spaces."""
        said, seen = words(text), self.seen
        known = len(seen)
        found = set(map(seen.__getitem__, set(said)))
        if len(seen) > known:
            _cache.make_room(self, len(seen) - known)
        if several := found & seen.several:
            found -= several
            found.update(" ".join(several).split())
        found.update(map(self._pairs.__getitem__, _sums(said)))
        found.discard("")  # what makes no pair
        return " ".join(found)
