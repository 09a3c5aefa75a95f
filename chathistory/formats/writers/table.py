"""CSV (RFC 4180, UTF-8): a message a row, all branches, and no cell that a spreadsheet computes.

A cell that begins like a formula, behind whatever a spreadsheet may strip, gets an apostrophe
before it: <https://owasp.org/www-community/attacks/CSV_Injection>.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

from . import shown

_OF_SESSION = ("session_id", "title", "workflow_type")
_OF_MESSAGE = (
    *("seq", "id", "parent_id", "role", "author", "timestamp", "edited_at", "deleted_at"),
    *("status", "tokens", "content"),
)
_HEAD = (*_OF_SESSION, *("message_id" if name == "id" else name for name in _OF_MESSAGE))
#: What a cell that computes begins with, behind what is not seen.
_FORMULA = re.compile(
    "[\t\r\n]|[\\s\0-\x20\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]*[-=+@\uff1d\uff0b\uff0d\uff20]"
)


def write(sessions: Iterable[shown.Session]) -> Iterator[bytes]:
    """Yield the head, then a row for each message."""
    yield _row(_HEAD)
    for session in sessions:
        about = [session.get(name) for name in _OF_SESSION]
        for message in session.get("messages", ()):
            cells = [message.get(name) for name in _OF_MESSAGE[:-1]]
            yield _row([*about, *cells, shown.content(message)])


def _row(values: Iterable[Any]) -> bytes:
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL).writerow([cell(value) for value in values])
    return line.getvalue().encode()


def cell(value: Any) -> str:
    """Return a value as the text of a cell that is only shown."""
    if value is None or isinstance(value, int):
        return "" if value is None else str(value)
    text = str(value)
    return ("'" if _FORMULA.match(text) else "") + shown.clean(text)
