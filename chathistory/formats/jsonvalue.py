"""One JSON value at a time out of a Window, and past one that cannot be read.

The standard library's C scanner does the work. A value that is not yet whole in the window is
tried again with twice the text, so no input costs more than a constant factor.
"""

from __future__ import annotations

import json
import re
from typing import Any

from chathistory.formats import deep
from chathistory.formats.window import Window
from chathistory.strictjson import DECODER

MAX_DEPTH = 200  # nested lists and objects: later code must be able to walk them too; see deep.py
MAX_ITEM = 64 << 20  # characters of one value held in memory
MAX_VALUES = 1_000_000  # within one: an empty list has two characters, and takes sixty bytes
_LARGE = 1 << 20  # characters that can hold so many

_UNFINISHED = re.compile(  # what a cut may leave of a token, behind the place of the error
    r"\s*|-?\d*[.eE]?[-+]?|t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?|NaN?|-?I[nfity]*"
    r"|\\?u?[0-9a-fA-F]{0,4}"
)
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[{]+|[\]},"]', re.DOTALL)
_MEMBER = re.compile(
    r'[{,]\s*("\w{1,64}")\s*:\s*("(?:[^"\\]|\\.){0,500}"|null|true|false|[-\d][-+.\deE]{0,30})'
)
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\Z)', re.DOTALL)
_FLAT = re.compile(
    r'(?:[^\[\]{}"]++|"(?:[^"\\]++|\\.)*+"|\[[^\[\]{}"]*+\]|\{[^\[\]{}"]*+\})++', re.DOTALL
)
_OPENED = re.compile(r'[{,]\s*("\w{1,64}")\s*:\s*[\[{]')
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


class Bad(ValueError):
    """A value that cannot be read.

    `reason` is a clause without a full stop; `named` holds the plain members it begins with
    (title, id, …); `opened` is the name of a list or object right behind them; `sound`: its
    brackets look whole, only what is between them is refused; `passed`: the window already stands
    behind it; `cut`: the file ends in the middle of it; `spent`: characters read in vain.
    """

    def __init__(self, reason: str, named: dict[str, Any], spent: int = 0) -> None:
        """Keep what is known about the value."""
        super().__init__(reason)
        self.reason = reason
        self.named = named
        self.spent = spent
        self.opened: str | None = None
        self.sound = self.passed = self.cut = False


_decode = DECODER.raw_decode


def _values(text: str, start: int = 0) -> int:
    """Return about how many values JSON has, or more: what stands in strings counts too."""
    return sum(text.count(mark, start) for mark in ",[{")


class Values:
    """Reads the values of one window, within limits of depth and of characters a value."""

    def __init__(self, window: Window, max_depth: int, max_item: int) -> None:
        """Read from `window`; more than `max_depth` levels or `max_item` characters are Bad."""
        self.window = window
        self.max_depth = max_depth
        self.max_item = max_item
        self.was_deep = False  # whether the value taken last is a chain of more levels

    def take(self, name: str | None = None) -> Any:
        """Return the next value and step over it; raise Bad, behind it if its end is certain.

        ``name`` is what it is called in the object that is the whole file.
        """
        try:
            value, end = self.measure()
        except Bad as error:
            if error.sound:
                self._pass(error)
            raise
        self._check(value if name is None else {name: value}, end)
        self.window.pos = end
        return value

    def measure(self) -> tuple[Any, int]:
        """Return the next value and where it ends in `window.text`; the window stays there."""
        window = self.window
        window.peek()
        while True:
            self._bound()
            try:
                value, end = _decode(window.text, window.pos)
            except json.JSONDecodeError as error:
                self._judge(error)
            except RecursionError as error:
                if found := self._deep(error):
                    return found
            except ValueError as error:
                raise self._refused(error) from error
            else:
                if end < len(window.text) or window.ended or window.text[end - 1] in '}]"':
                    return value, end
            self._grow()

    def _bound(self) -> None:
        """Refuse, before it is read, what would take many times its length in memory."""
        text, start = self.window.text, self.window.pos
        if len(text) - start < _LARGE or _values(text, start) <= MAX_VALUES:
            return
        if _values(_STRING.sub("", text[start:])) > MAX_VALUES:
            refused = self.bad(f"holds more than {MAX_VALUES:,} values", len(text) - start)
            refused.sound = True
            raise refused

    def _deep(self, error: RecursionError) -> tuple[Any, int] | None:
        """Read what is too deep for the scanner; None where it is not yet whole."""
        window = self.window
        if len(window.text) - window.pos > deep.MOST:
            raise self._refused(error) from error
        try:
            return deep.decode(window.text, window.pos, self.max_depth)
        except deep.Torn:
            return None
        except (ValueError, RecursionError):
            raise self._refused(error) from error

    def skip(self) -> None:
        """Step over one value by counting brackets, whatever stands between them; or Bad."""
        window, depth = self.window, 0
        window.peek()
        while True:
            if depth and (flat := _FLAT.match(window.text, window.pos)):
                window.pos = flat.end()
            match = _TOKEN.search(window.text, window.pos)
            window.pos = match.start() if match else len(window.text)
            if match is None or match[0] == '"':
                self._grow()
                continue
            mark, width = window.text[match.start()], match.end() - match.start()
            depth += _STEP.get(mark, 0) * width
            if depth < 0 or (depth == 0 and mark == ","):
                return
            window.pos = match.end()
            if depth == 0:
                return

    def bad(self, reason: str, spent: int = 0) -> Bad:
        """Return what to raise about the value that begins here, with what it is called."""
        named: dict[str, Any] = {}
        text, pos = self.window.text, self.window.pos
        while len(named) < 32 and (member := _MEMBER.match(text, pos)):
            try:
                named[json.loads(member[1])] = json.loads(member[2], strict=False)
            except ValueError:
                break
            pos = member.end()
        bad = Bad(reason, named, spent)
        if opened := _OPENED.match(text, pos):
            bad.opened = json.loads(opened[1])
        return bad

    def _grow(self) -> None:
        window = self.window
        pending = len(window.text) - window.pos
        if pending > self.max_item:
            raise self.bad(f"is longer than {self.max_item:,} characters", pending)
        if window.ended:
            end = window.byte(len(window.text))
            error = self.bad(f"is cut off: the file ends at byte {end:,}", pending)
            error.cut = True
            raise error
        window.more()

    def _judge(self, error: json.JSONDecodeError) -> None:
        """Return if more text may complete the value, else raise Bad."""
        window, rest = self.window, error.doc[error.pos : error.pos + 16]
        torn = error.msg.startswith("Unterminated") or (
            len(rest) < 16 and (not window.ended or _UNFINISHED.fullmatch(rest))
        )
        if not torn:
            spent = error.pos - window.pos + error.pos // 8  # json counts lines from the start
            raise self.bad(f"is not JSON at byte {window.byte(error.pos):,}: {error.msg}", spent)

    def _refused(self, error: ValueError | RecursionError) -> Bad:
        reason = str(error)
        if isinstance(error, RecursionError):
            reason = f"is nested more than {self.max_depth} levels deep"
        elif "digit" in reason:
            reason = "holds a number of more digits than can be read"
        refused = self.bad(reason, len(self.window.text) - self.window.pos)
        refused.sound = True
        return refused

    def _pass(self, error: Bad) -> None:
        """Step over the value that `error` is about, if it has an end."""
        try:
            self.skip()
        except Bad as other:
            error.cut = other.cut
        else:
            error.passed = True

    def _check(self, value: Any, end: int) -> None:
        window, reason = self.window, ""
        if window.damaged and (wrong := _ESCAPED_BYTE.search(window.text, window.pos, end)):
            reason = f"is not UTF-8 at byte {window.byte(wrong.start()):,}"
        elif self._too_deep(value, end):
            reason = f"is nested more than {self.max_depth} levels deep"
        if reason:
            refused = self.bad(reason)
            refused.passed, window.pos = True, end
            raise refused

    def _too_deep(self, value: Any, end: int) -> bool:
        """Tell whether `value` is too deep; brackets are counted first, as that is cheap."""
        text, start = self.window.text, self.window.pos
        self.was_deep = False
        if text.count("{", start, end) + text.count("[", start, end) <= self.max_depth:
            return False
        self.was_deep = deep.is_deeper([value], self.max_depth)
        return self.was_deep and not deep.is_spine(value, self.max_depth)
