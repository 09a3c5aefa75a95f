"""A person's words in memory: sorted, each with the number of messages it stands in.

Words are forms, as ``tokens.forms`` gives them. They are kept as one run of bytes, a fifth of what
a list of texts would take; what is new since is kept beside them until they are merged.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from heapq import nsmallest
from itertools import accumulate, islice

from rapidfuzz import process
from rapidfuzz.distance import DamerauLevenshtein

from .tokens import IS_CJK

#: Bytes of words that are kept of one person; who has more is searched without the rest.
MOST = 16 * 2**20
_HEAD = struct.Struct(">I")
_NEW = 120  # about what a word that is not merged takes beside its letters
_COUNT = 2**32 - 1
_AT_ONCE = 20_000  # words compared at once
#: Letters of words that may differ by one from what was meant, and of those that may by two.
_SHORT, _LONG = 3, 6


class Words:
    """Immutable: what adds to it returns another, which shares what is merged."""

    def __init__(
        self,
        text: bytes = b"",
        counts: array[int] | None = None,
        new: Mapping[bytes, int] | None = None,
    ) -> None:
        """``text`` is the sorted words, each with a line's end; ``new`` adds to their counts."""
        self._text = text
        self._counts = counts if counts is not None else array("I")
        self._new = new or {}
        ends = accumulate(len(word) + 1 for word in text.split(b"\n"))
        self._starts = array("I", [0, *islice(ends, len(self._counts))])

    def __len__(self) -> int:
        return len(self._counts) + sum(self._find(word) is None for word in self._new)

    @property
    def weight(self) -> int:
        """About how many bytes it takes in memory."""
        new = sum(map(len, self._new)) + _NEW * len(self._new)
        return len(self._text) + 8 * len(self._counts) + new

    @property
    def is_full(self) -> bool:
        """Whether nothing more is taken in."""
        return self.weight > MOST

    def count(self, word: str) -> int | None:
        """Return in how many messages a word stands: none if only in titles, None if nowhere."""
        wanted = key(word)
        at = self._find(wanted)
        if at is None:
            return self._new.get(wanted)
        return self._counts[at] + self._new.get(wanted, 0)

    def beginning(self, prefix: str) -> dict[str, int]:
        """Return the words that begin so, and in how many messages each stands."""
        start = key(prefix)
        first, end = self._at(start), self._at(start + b"\xff")  # which no text in UTF-8 has
        found = dict(zip(self._between(first, end), self._counts[first:end], strict=True))
        for word, more in self._new.items():
            if word.startswith(start):
                found[_text(word)] = found.get(_text(word), 0) + more
        return found

    def near(self, word: str, limit: int) -> list[str]:
        """Return the words most like this one, of equals the commonest first.

        Like are those of one or two letters more, less, other or swapped (F. J. Damerau, 1964).
        """
        if len(word) < _SHORT or IS_CJK.search(word):
            return []
        most = 1 if len(word) < _LONG else 2
        found: list[tuple[int, bool, int, str]] = []
        for some in self._chunks():
            like = process.extract(
                word, some, scorer=DamerauLevenshtein.distance, score_cutoff=most, limit=None
            )
            for other, distance, _at in like:
                count = self.count(other) or 0
                found.append((int(distance), other[0] != word[0], -count, other))
        return [one[-1] for one in nsmallest(limit, found) if one[-1] != word]

    def grown(self, more: Mapping[bytes, int]) -> Words:
        """Return these words and ``more``, not merged."""
        new = dict(self._new)
        for word, count in more.items():
            new[word] = new.get(word, 0) + count
        found = Words.__new__(Words)
        found._text, found._counts, found._starts = self._text, self._counts, self._starts
        found._new = new
        return found

    def merged(self) -> Words:
        """Return the same words, none of them beside the others."""
        if not self._new:
            return self
        pieces: list[bytes] = []
        counts, done = array("I"), 0
        words = self._text.split(b"\n")[:-1]
        for word in sorted(self._new):
            at = bisect_left(words, word, done)
            known = words[at : at + 1] == [word]
            pieces += [self._slice(done, at), word, b"\n"]
            counts += self._counts[done:at]
            counts.append(min(self._new[word] + (self._counts[at] if known else 0), _COUNT))
            done = at + known
        pieces.append(self._slice(done, len(self._counts)))
        return Words(b"".join(pieces), counts + self._counts[done:])

    def chunks(self) -> Iterator[list[tuple[str, int]]]:
        """Yield the merged words in order, with their counts, some thousands at once."""
        for at in range(0, len(self._counts), _AT_ONCE):
            end = min(at + _AT_ONCE, len(self._counts))
            yield list(zip(self._between(at, end), self._counts[at:end], strict=True))

    def pack(self) -> bytes:
        """Return bytes: how many merged words there are, their counts, the words."""
        counts = _little(self._counts).tobytes()
        return _HEAD.pack(len(self._counts)) + counts + self._text

    def _at(self, word: bytes) -> int:
        return bisect_left(range(len(self._counts)), word, key=self._word)

    def _find(self, word: bytes) -> int | None:
        at = self._at(word)
        return at if at < len(self._counts) and self._word(at) == word else None

    def _word(self, at: int) -> bytes:
        return self._text[self._starts[at] : self._starts[at + 1] - 1]

    def _slice(self, start: int, end: int) -> bytes:
        return self._text[self._starts[start] : self._starts[end]]

    def _between(self, start: int, end: int) -> list[str]:
        return _text(self._slice(start, end)).split("\n")[:-1]

    def _chunks(self) -> Iterator[list[str]]:
        for at in range(0, len(self._counts), _AT_ONCE):
            yield self._between(at, min(at + _AT_ONCE, len(self._counts)))
        yield [_text(word) for word in self._new if self._find(word) is None]


def unpack(packed: bytes) -> Words:
    """Return the words that ``Words.pack`` gave."""
    (size,) = _HEAD.unpack_from(packed)
    counts = array("I", packed[_HEAD.size : _HEAD.size + 4 * size])
    return Words(packed[_HEAD.size + 4 * size :], _little(counts))


def made(words: Iterable[tuple[str, int]]) -> Words:
    """Return words that come sorted, with their counts."""
    pieces: list[bytes] = []
    counts = array("I")
    for word, count in words:
        pieces += [key(word), b"\n"]
        counts.append(min(count, _COUNT))
    return Words(b"".join(pieces), counts)


def key(form: str) -> bytes:
    """Return a form as it is kept."""
    return form.encode("utf-8", "surrogatepass")


def _text(word: bytes) -> str:
    return word.decode("utf-8", "surrogatepass")


def _little(counts: array[int]) -> array[int]:
    """Return the numbers in the order of bytes that is stored."""
    if sys.byteorder == "little":
        return counts
    turned = array("I", counts)
    turned.byteswap()
    return turned
