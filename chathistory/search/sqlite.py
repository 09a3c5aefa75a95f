"""The index on SQLite: contentless FTS5 over keyed tokens, ``detail=none``.

The row number of a text is its place, so that newest first is the order FTS5 walks in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from django.db import DatabaseError

from chathistory import bulk
from chathistory.models import Message

from .base import Doc, Either, Match, Piece, Wanted
from .generations import GenerationalIndex

#: A row for each removal whose tokens have not left the files yet.
_DUE = "chathistory_fts_due"
_PAGES = 200  # of 4 kB, written by one step of a merge: some 20 ms
_BLOCKS = 500  # thrown away by one step
_CHECKED = 10_000  # pages of an index that checks itself within a second
#: How FTS5 keeps them: distinct, without order or number.
OPTIONS = "content='', detail=none, columnsize=0, tokenize='ascii'"
_AUTOMERGE = (
    8  # segments of a level before they merge: 4 costs an import 7 % more, 16 gains nothing
)


class SqliteIndex(GenerationalIndex):
    """Contentless FTS5. Deleting hands the same tokens in again (SQLite 3.40 has no other way)."""

    one_text = True

    def create(self) -> None:
        """Make the tables where they are missing."""
        super().create()
        self._run(f"CREATE TABLE IF NOT EXISTS {_DUE} (id INTEGER PRIMARY KEY)")

    def clear(self) -> None:
        """Forget everything, and begin with the first."""
        super().clear()
        self._run(f"DELETE FROM {_DUE}")  # noqa: S608

    def data_tables(self) -> list[str]:
        """Return the tables in which FTS5 keeps the tokens, as blobs named ``block``."""
        known = [*self.generations.written, *self.generations.retired]
        return [f"{table}_data" for one in known for table in tables(one.number)]

    def mark(self) -> None:
        """Note, within the removing transaction, that what was removed must leave the files."""
        self._run(f"INSERT INTO {_DUE} DEFAULT VALUES")

    def marked(self) -> int | None:
        """Return the newest mark, or None where nothing removed is left in the files."""
        found: int | None = self._fetch(f"SELECT max(id) FROM {_DUE}")[0][0]  # noqa: S608
        return found

    def unmark(self, mark: int) -> None:
        """Take away this mark and older ones."""
        self._run(f"DELETE FROM {_DUE} WHERE id <= {mark}")  # noqa: S608

    def merge(self, step: Callable[[], None]) -> bool:
        """Rewrite the index step by step: a negative number begins with all there is by now.

        Of an index that is to be replaced nothing was taken out: it has to be gone first.
        """
        if not self.drop(step) or not self.generations.is_current:
            return False
        return all(self._merge(table, step) for table in self._written())

    def tend(self, step: Callable[[], None]) -> None:
        """Merge where a level has four segments or more: before whoever adds has to."""
        for table in self._written():
            for _ in range(self._steps(table)):
                if not self._step(table, _PAGES):
                    break
                step()

    def join(self, match: Match, *, titles: bool = False) -> Piece:
        """Return all that matches."""
        table = tables(self.generations.live.number)[titles]
        source = f"(SELECT rowid AS place FROM {table} WHERE {table} MATCH %s) AS hit"  # noqa: S608
        return Piece(source, "1=1", [expression(match)])

    def counts(self, tokens: Sequence[str], cap: int, *, titles: bool = False) -> list[int]:
        """Return of each token how many texts hold it, counting no further than ``cap``."""
        table = tables(self.generations.live.number)[titles]
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {table} MATCH %s LIMIT %s)"  # noqa: S608
        return [int(self._fetch(sql, [f'"{token}"', cap])[0][0]) for token in tokens]

    def is_sound(self) -> bool | None:
        """Let FTS5 check itself: of a large index it would make writers wait for seconds."""
        found: bool | None = True
        for table in tables(self.generations.live.number):
            if self._pages(table) > _CHECKED:
                found = None
                continue
            try:
                self._run(f"INSERT INTO {table}({table}) VALUES ('integrity-check')")  # noqa: S608
            except DatabaseError:
                return False
        return found

    def _postings(self, number: int, titles: bool) -> Iterator[list[tuple[int, str]]]:
        """Walk the tokens from one beginning to the next: each statement is over in no time."""
        sql = f"SELECT doc, term FROM temp.{self._vocabulary(number, titles)}"  # noqa: S608
        starts = [f"{n:02x}" for n in range(1, 256)]
        for start, end in pairwise(["", *starts, "g"]):
            yield self._fetch(f"{sql} WHERE term >= %s AND term < %s", [start, end])
        yield self._fetch(f"{sql} WHERE term >= %s", ["g"])

    def _held(self, number: int, place: int, tokens: Iterable[str], titles: bool) -> list[str]:
        table = tables(number)[titles]
        sql = f"SELECT 1 FROM {table} WHERE {table} MATCH %s AND rowid = %s"  # noqa: S608
        found = [one for one in sorted(set(tokens)) if self._fetch(sql, [f'"{one}"', place])]
        return [" ".join(found)] if found else []

    def _wait_for_writers(self) -> None:
        """Nobody: they are serial, and whoever asks this has written."""

    def _exists(self, number: int) -> bool:
        sql = "SELECT 1 FROM sqlite_master WHERE name = %s"
        return bool(self._fetch(sql, [tables(number)[0]]))

    def _create(self, number: int) -> None:
        for table in tables(number):
            self._run(f"CREATE VIRTUAL TABLE IF NOT EXISTS {table} USING fts5(t, {OPTIONS})")
            self._run(f"INSERT INTO {table}({table}, rank) VALUES ('automerge', {_AUTOMERGE})")  # noqa: S608

    def _empty(self, number: int) -> None:
        for table in tables(number):
            self._run(f"INSERT INTO {table}({table}) VALUES ('delete-all')")  # noqa: S608

    def _shrink(self, number: int) -> bool:
        """Throw away blocks, but for the two small ones that FTS5 needs to know the table."""
        for table in tables(number):
            some = f"SELECT id FROM {table}_data WHERE id > 10 LIMIT {_BLOCKS}"  # noqa: S608
            link = bulk.connection(Message)
            with link.cursor() as cursor:
                cursor.execute(f"DELETE FROM {table}_data WHERE id IN ({some})")  # noqa: S608
                if cursor.rowcount:
                    return True
        return False

    def _drop(self, number: int) -> None:
        for table in tables(number):
            self._run(f"DROP TABLE IF EXISTS temp.{_walk(table)}")
            self._run(f"DROP TABLE IF EXISTS {table}")

    def _add(self, number: int, docs: Sequence[Doc], titles: bool) -> None:
        table = tables(number)[titles]
        self._many(f"INSERT INTO {table}(rowid, t) VALUES (%s, %s)", docs)  # noqa: S608

    def _remove(self, number: int, docs: Sequence[Doc], titles: bool) -> None:
        table = tables(number)[titles]
        sql = f"INSERT INTO {table}({table}, rowid, t) VALUES ('delete', %s, %s)"  # noqa: S608
        self._many(sql, docs)

    def _read(self, number: int, places: Sequence[int], titles: bool) -> list[Doc]:
        """Return what is indexed under these places, by a walk over the whole index."""
        walk = self._vocabulary(number, titles)
        found: dict[int, list[str]] = {place: [] for place in places}
        marks = ", ".join(["%s"] * len(found))
        sql = f"SELECT doc, term FROM temp.{walk} WHERE doc IN ({marks}) ORDER BY term"  # noqa: S608
        for place, token in self._fetch(sql, list(found)):
            found[place].append(str(token))
        return [Doc(place, " ".join(held), number) for place, held in found.items() if held]

    def _vocabulary(self, number: int, titles: bool) -> str:
        """Return the name of a table of all that one index holds, token by token."""
        table = tables(number)[titles]
        what = f"USING fts5vocab(main, {table}, instance)"
        self._run(f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.{_walk(table)} {what}")
        return _walk(table)

    def _written(self) -> list[str]:
        return [table for one in self.generations.written for table in tables(one.number)]

    def _merge(self, table: str, step: Callable[[], None]) -> bool:
        pages = -_PAGES
        for _ in range(self._steps(table)):
            if not self._step(table, pages):
                return True
            pages = _PAGES
            step()
        return False  # writers are quicker

    def _steps(self, table: str) -> int:
        """Return how many steps write the whole index twice; a page has a row here."""
        return 10 + 2 * self._pages(table) // _PAGES

    def _pages(self, table: str) -> int:
        return int(self._fetch(f"SELECT count(*) FROM {table}_idx")[0][0])  # noqa: S608

    def _step(self, table: str, pages: int) -> bool:
        """Merge so many pages; return whether there was anything to do (FTS5 6.7, 'merge')."""
        link = bulk.connection(Message)
        with link.cursor() as cursor:
            before = link.connection.total_changes
            cursor.execute(f"INSERT INTO {table}({table}, rank) VALUES ('merge', %s)", [pages])  # noqa: S608
        return bool(link.connection.total_changes - before >= 2)

    def _many(self, sql: str, docs: Sequence[Doc]) -> None:
        """Run ``sql`` in the order of places: FTS5 writes a segment wherever one is lower."""
        with bulk.connection(Message).cursor() as cursor:
            cursor.executemany(sql, sorted(doc[:2] for doc in docs))


def tables(number: int) -> tuple[str, str]:
    """Return the tables of one index: of messages and of titles. The first has no number."""
    name = "chathistory_fts" if number == 1 else f"chathistory_fts_{number}"
    return name, f"{name}_title"


def _walk(table: str) -> str:
    return f"{table}_walk"


def expression(match: Match) -> str:
    """Return an FTS5 expression. Tokens are hex digits, so nothing in it needs escaping."""
    owners = " OR ".join(map(_all, match.wanted))
    if not match.unwanted:
        return owners
    return f"({owners}) NOT (" + " OR ".join(f'"{token}"' for token in match.unwanted) + ")"


def _all(wanted: Wanted) -> str:
    return "(" + " AND ".join(map(_one, wanted)) + ")"


def _one(wanted: str | Either) -> str:
    if isinstance(wanted, Either):
        return "(" + " OR ".join(map(_all, wanted.branches)) + ")"
    return f'"{wanted}"'
