"""An independent, simple idea of which texts hold a word or a phrase: what search is held to.

Reads texts letter by letter and shares nothing with the app's tokens. Only for queries of plain
small letters, which is what the benchmarks ask.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_PLAIN = re.compile(r"[a-z]{2,20}")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_DIGITS = re.compile(r"(?<=\D)(?=\d)|(?<=\d)(?=\D)")
_WORD = re.compile(r"\w+")
_ASIAN = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f]+")


def plain(word: str) -> bool:
    """Tell whether the simple rules here are enough for ``word``."""
    return _PLAIN.fullmatch(word) is not None


def folded(text: str) -> str:
    """Return ``text`` without case and accents."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text).casefold()
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def sequence(text: str) -> list[str]:
    """Return the folded words of a text in order."""
    return [folded(word) for word in _WORD.findall(unicodedata.normalize("NFC", text))]


def found_by(text: str) -> set[str]:
    """Return the plain words that a text is found by: whole ones, and parts of identifiers."""
    found: set[str] = set()
    for word in set(_WORD.findall(unicodedata.normalize("NFC", text))):
        found.add(folded(word))
        for part in word.split("_"):
            found.update(_ASIAN.sub(" ", folded(part)).split())
            if _HUMP.search(part):
                pieces = _DIGITS.sub(" ", _HUMP.sub(" ", part)).split()
                found.update(piece.lower() for piece in pieces if len(piece) > 1)
    return found


def frequencies(texts: Iterable[set[str]]) -> Counter[str]:
    """Return in how many texts each plain word is."""
    counts: Counter[str] = Counter()
    for words in texts:
        counts.update(words)
    return Counter({word: count for word, count in counts.items() if plain(word)})
