"""Rows of a table by the chat they belong to."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from chathistory.stores import shape
from chathistory.stores.database import Database


class Chat(NamedTuple):
    """A chat that was found: where, its id, and what makes a session of it or raises Wrong.

    A session is an object of our own JSON, but for its origin.
    """

    where: str
    id: str | None
    make: Callable[[], dict[str, Any]]


def grouped(
    database: Database,
    table: str,
    column: str,
    make: Callable[[str, list[int]], dict[str, Any]],
) -> Iterator[Chat]:
    """Yield the chats whose ids stand in a column, in the order of their first rows.

    ``make`` is given the id and the numbers of the rows, which are all that is held of them.
    Raises Refused.
    """
    found: dict[Any, array[int]] = {}
    for row, value in database.rows(table, column):
        found.setdefault(value, array("q")).append(row)
    for value, rows in found.items():
        where = f"{table}[{column}={value!r}]"
        name = value if isinstance(value, str) else None
        yield Chat(where, name, partial(_made, make, value, rows, where))


def _made(
    make: Callable[[str, list[int]], dict[str, Any]], value: Any, rows: array[int], where: str
) -> dict[str, Any]:
    return make(shape.words(value, where), list(rows))
