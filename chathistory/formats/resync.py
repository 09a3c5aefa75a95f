"""Finding the next item of a list behind one whose syntax is broken.

An item is believed when it begins with the same name as the items before it and has most of
their members: the parts inside a broken item look different. Before any item was seen, the plain
members the broken one begins with serve as the pattern, with the list or object behind them, and
more than half of them must be there; failing that, brackets are counted.
"""

from __future__ import annotations

import re
from typing import Any

from chathistory.formats.jsonvalue import Bad, Values

BUDGET = 64 << 20  # characters that failed attempts may cost in one file
_LIKENESS = 0.5  # share of the members of the item before
_PLAIN = re.compile(r"[\w .-]{1,64}")


class Resync:
    """Remembers what items look like, and moves the window to the next one."""

    def __init__(self, values: Values) -> None:
        """Work on the window that `values` reads."""
        self._values = values
        self._window = values.window
        self._keys: tuple[str, ...] = ()
        self._guessed = False  # from the beginning of a broken item
        self._budget = BUDGET

    def learn(self, value: Any) -> None:
        """Take `value`, which was read whole, as the pattern of an item."""
        if type(value) is dict and value:
            self._keys, self._guessed = tuple(value), False

    def seek(self, error: Bad) -> bool:
        """Move behind the broken item that begins here; False if no place is found."""
        if not self._keys:
            self._guess(error)
        if self._keys and _PLAIN.fullmatch(self._keys[0]):
            return self._next_alike(re.compile(r'\{\s*"' + re.escape(self._keys[0]) + r'"\s*:'))
        return not error.cut and self._next_balanced()

    def _guess(self, error: Bad) -> None:
        names = tuple(error.named)
        if error.opened is not None:
            names = (*names, error.opened)
        # A part may well begin with the same plain name (an id), but has no such list in it.
        if len(names) > 1 or error.opened is not None:
            self._keys, self._guessed = names, True

    def _next_alike(self, pattern: re.Pattern[str]) -> bool:
        window = self._window
        while self._budget > 0:
            window.pos += 1
            if not window.find(pattern):
                return False
            if self._alike():
                return True
        return False

    def _alike(self) -> bool:
        try:
            value, end = self._values.measure()
        except Bad as error:
            self._budget -= error.spent
            return False
        self._budget -= end - self._window.pos
        alike, least = len(value.keys() & set(self._keys)), _LIKENESS * len(self._keys)
        return alike > least if self._guessed else alike >= least

    def _next_balanced(self) -> bool:
        window = self._window
        before = window.byte()
        try:
            self._values.skip()
        except Bad:
            return False
        if window.byte() == before:
            window.pos += 1
        return window.peek() in (",", "]")
