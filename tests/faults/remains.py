"""What the database and the files still hold of records and tokens that were taken down first."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection, connections
from django.db.models import UUIDField

from chathistory import keyring, records, text
from chathistory.fields import SealedField
from chathistory.models import Message, Session
from chathistory.search.base import index

STRIDE, LENGTH = 100, 20
#: Digits: FTS5 keeps of a token, after a byte that says how many, only those that differ from the
#: one before. Shorter ends would be met by chance.
TAIL = 8

#: Reads files in a process that has no database open: closing one would drop SQLite's locks.
_SCAN = """
import sys
from pathlib import Path

wanted = {bytes.fromhex(line) for line in sys.stdin}
lengths = {len(one) for one in wanted}
for path in Path(sys.argv[1]).rglob("*"):
    data = path.read_bytes() if path.is_file() else b""
    windows = (data[at : at + n] for n in lengths for at in range(len(data)))
    found = wanted.intersection(windows)
    if found:
        print(path.name, len(found))
"""


class Remains:
    """Pieces of everything sealed that was collected, and the tokens it was found by."""

    def __init__(self) -> None:
        self.pieces: set[bytes] = set()
        self.tokens: set[str] = set()

    def collect(self, mine: Callable[[Any], bool] = lambda _row: True) -> None:
        """Take down every sealed column of the rows that are ``mine``, and their tokens.

        Repeated after each change, it has what was overwritten too.
        """
        for row in sealed_rows():
            if mine(row):
                for field in row._meta.concrete_fields:
                    if isinstance(field, SealedField):
                        self.pieces |= pieces(bytes(getattr(row, field.name) or b""))
        for message in Message.objects.filter(indexed__gt=0).select_related("session__account"):
            if mine(message):
                body = records.open_body(message, message.session)
                self.tokens |= tokens(message.session, body.content)
        for session in Session.objects.filter(indexed__gt=0).select_related("account"):
            if mine(session):
                title = [records.title_of(session)] if session.title is not None else []
                said = [*title, *text.strings(records.metadata_of(session))]
                self.tokens |= tokens(session, "\n".join(said))

    def keep_unique(self) -> None:
        """Leave out the tokens that others are still found by."""
        others = Remains()
        others.collect()
        kept = " ".join([*others.tokens, *_uuids()])
        self.tokens = {token for token in self.tokens if token[-TAIL:] not in kept}

    def found(self) -> set[str]:
        """Return the tokens that the index knows."""
        return {token for token in self.tokens if index().counts([token], 1)[0]}

    def in_rows(self) -> set[str]:
        """Return the tables that hold any of it."""
        with connection.cursor() as cursor:
            names = connection.introspection.table_names(cursor)
        virtual = {"chathistory_fts", "chathistory_fts_title"}
        return {name for name in names if name not in virtual and self._in_table(name)}

    def _in_table(self, name: str) -> bool:
        numbers = {int(token, 16) for token in self.tokens}
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT * FROM "{name}"')  # noqa: S608  (names from the database)
            values = [value for row in cursor.fetchall() for value in row]
        blobs = [bytes(value) for value in values if isinstance(value, bytes | memoryview)]
        lists = [value for value in values if isinstance(value, list)]
        windows = (blob[at : at + LENGTH] for blob in blobs for at in range(len(blob)))
        return bool(self.pieces.intersection(windows) or numbers.intersection(chain(*lists)))

    def in_files(self) -> dict[str, int]:
        """Return how many pieces and tokens each file under our folder still holds."""
        connections.close_all()
        wanted = [piece.hex() for piece in self.pieces]
        wanted += [end.hex() for token in self.tokens for end in ends(token)]
        scan = [sys.executable, "-c", _SCAN, str(Path(settings.CHATHISTORY_HOME))]
        answer = subprocess.run(
            scan, input="\n".join(wanted), capture_output=True, check=True, text=True
        )
        return {name: int(count) for name, count in map(str.split, answer.stdout.splitlines())}


def sealed_rows() -> Iterable[Any]:
    """Yield every row that has a sealed column."""
    for model in apps.get_app_config("chathistory").get_models():
        if any(isinstance(field, SealedField) for field in model._meta.concrete_fields):
            yield from model._base_manager.all()


def _uuids() -> Iterable[str]:
    """Yield every uuid as SQLite has it: some end of a token is in one by chance."""
    for model in apps.get_app_config("chathistory").get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, UUIDField):
                found = model._base_manager.filter(**{f"{field.name}__isnull": False})
                yield from (one.hex for one in found.values_list(field.name, flat=True))


def pieces(record: bytes) -> set[bytes]:
    """Return short pieces of a record, from its end to where the nonce begins."""
    return {record[end - LENGTH : end] for end in range(len(record), LENGTH + 18, -STRIDE)}


def ends(token: str) -> tuple[bytes, bytes]:
    """Return how the end of a token stands in a file: after more of its digits, or alone."""
    return token[-TAIL - 1 :].encode(), bytes([TAIL]) + token[-TAIL:].encode()


def tokens(session: Session, content: str) -> set[str]:
    """Return what a text is found by."""
    return set(keyring.account_keys(session.account).search.of_text(content).split())
