"""Between files of chats and one neutral Transcript, streaming, in constant memory. No models.

`read(file)` recognises a file by what is in it, never by its name, and yields a Transcript for
each chat that is whole and a Problem for each that is not. `native.write` is the way back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import BinaryIO

from chathistory.formats import archive, manifest
from chathistory.formats.base import FormatError, Malformed, Problem, Transcript, Turn
from chathistory.formats.jsonstream import Item, JsonStream
from chathistory.formats.jsonvalue import MAX_DEPTH
from chathistory.formats.registry import ARRAYS, FORMATS, Format, format_of, named

__all__ = ["FORMATS", "Format", "FormatError", "Problem", "Transcript", "Turn", "read"]

_PEEK = 20  # items looked at before a file counts as unknown


def read(
    file: BinaryIO, *, name: str = "", format_name: str | None = None
) -> Iterator[Transcript | Problem]:
    """Yield the chats of `file` (seekable, binary, plain or zipped), and what is wrong with it.

    `name` is only repeated in messages; `format_name` is believed instead of what is in the file.
    FormatError (at the first step, or later for an archive that turns out to be a bomb) means that
    the whole file is to be refused, or that there is no such format.
    """
    given = named(format_name) if format_name else None
    try:
        for source in archive.sources(file):
            yield from _source(source, given)
        for absent in manifest.absent(file):
            yield Problem(absent, None, None, "is named by the manifest, but not in the archive")
    except FormatError as error:
        raise type(error)(f"{name}: {error}" if name else str(error)) from error


def _source(source: archive.Source, given: Format | None) -> Iterator[Transcript | Problem]:
    """Read one file; one of several that is no chats is a Problem, not the end."""
    try:
        for result in _read(source, given):
            result.where = f"{source.name}: {result.where}" if source.name else result.where
            yield result
    except FormatError as error:
        if not source.name or isinstance(error, archive.TooMuch):
            if source.damage:
                raise FormatError(f"The zip archive is damaged: {source.damage}.") from error
            raise
        yield Problem(source.name, None, None, str(error))
    if source.damage:
        where = source.name or "the file"
        yield Problem(where, None, None, f"the archive is damaged: {source.damage}")


def _read(source: archive.Source, given: Format | None) -> Iterator[Transcript | Problem]:
    stream = JsonStream(source.file, ARRAYS)
    items = iter(stream)
    seen: list[Item | Problem] = []
    kind = given or _recognise(stream, items, seen)
    try:
        yield from kind.gather(_placed(kind, item) for item in chain(seen, items))
    except Malformed as error:
        yield Problem(error.path, None, None, error.reason)


def _placed(kind: Format, item: Item | Problem) -> Item | Problem:
    """An item that is not deeper than its format's readers go; of a problem, where it is."""
    if isinstance(item, Item):
        if kind.is_deep or not item.is_deep:
            return item
        item = Problem(
            f"[{item.index}]", None, None, f"is nested more than {MAX_DEPTH} levels deep"
        )
    return replace(item, where=f"{kind.items}{item.where}" if item.where else "the file")


def _recognise(
    stream: JsonStream, items: Iterator[Item | Problem], seen: list[Item | Problem]
) -> Format:
    """Return the format of the first items, which go to `seen`; FormatError if it is none."""
    for item in items:
        seen.append(item)
        value = item.value if isinstance(item, Item) else None
        if found := format_of(value, stream.header):
            return found
        if len(seen) == _PEEK:
            break
    if found := format_of(None, stream.header):
        return found
    raise FormatError(_why_unknown(seen))


def _why_unknown(seen: list[Item | Problem]) -> str:
    if not seen:
        return "The file holds no chats: its list is empty."
    first = seen[0]
    if isinstance(first, Problem) and all(isinstance(item, Problem) for item in seen):
        return f"No chat in the file could be read: the first {first.reason}."
    known = ", ".join(kind.description for kind in FORMATS.values())
    return f"The file is JSON, but not chats of a known format. Known are: {known}."
