"""Between files of chats and one neutral Transcript, streaming, in constant memory. No models.

`read(file)` recognises a file by what is in it, never by its name, and yields a Transcript for
each chat that is whole and a Problem for each that is not. `native.write` is the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from chathistory.formats import archive, chatgpt, native
from chathistory.formats.base import FormatError, Malformed, Problem, Transcript, Turn
from chathistory.formats.jsonstream import Item, JsonStream

__all__ = ["FORMATS", "Format", "FormatError", "Problem", "Transcript", "Turn", "read"]

_PEEK = 20  # items looked at before a file counts as unknown
_IDS = ("conversation_id", "session_id", "id", "uuid")


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file. `items` is what a path in it begins with, such as `conversations[3]`."""

    description: str
    items: str
    recognises: Callable[[Any, dict[str, Any]], bool]
    read: Callable[[Any, str], Transcript]


FORMATS: dict[str, Format] = {
    "native": Format("our own JSON", "sessions", native.recognises, native.dict_to_transcript),
    "chatgpt": Format(
        "ChatGPT's conversations.json", "conversations", chatgpt.recognises, chatgpt.read
    ),
}


def read(file: BinaryIO, *, name: str = "") -> Iterator[Transcript | Problem]:
    """Yield the chats of `file` (seekable, binary, plain or zipped), and what is wrong with it.

    `name` is only repeated in messages. FormatError (at the first step, or later for an
    archive that turns out to be a bomb) means that the whole file is to be refused.
    """
    try:
        for source in archive.sources(file):
            yield from _source(source)
    except FormatError as error:
        raise type(error)(f"{name}: {error}" if name else str(error)) from error


def _source(source: archive.Source) -> Iterator[Transcript | Problem]:
    """Read one file; one of several that is no chats is a Problem, not the end."""
    try:
        for result in _read(source):
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


def _read(source: archive.Source) -> Iterator[Transcript | Problem]:
    stream = JsonStream(source.file)
    items = iter(stream)
    seen: list[Item | Problem] = []
    kind = _recognise(stream, items, seen)
    while seen:
        yield _one(kind, seen.pop(0))
    for item in items:
        yield _one(kind, item)


def _recognise(
    stream: JsonStream, items: Iterator[Item | Problem], seen: list[Item | Problem]
) -> Format:
    """Return the format of the first items, which go to `seen`; FormatError if it is none."""
    for item in items:
        seen.append(item)
        value = item.value if isinstance(item, Item) else None
        if found := _format_of(value, stream.header):
            return found
        if len(seen) == _PEEK:
            break
    if found := _format_of(None, stream.header):
        return found
    raise FormatError(_why_unknown(seen))


def _format_of(value: Any, header: dict[str, Any]) -> Format | None:
    return next((kind for kind in FORMATS.values() if kind.recognises(value, header)), None)


def _why_unknown(seen: list[Item | Problem]) -> str:
    if not seen:
        return "The file holds no chats: its list is empty."
    first = seen[0]
    if isinstance(first, Problem) and all(isinstance(item, Problem) for item in seen):
        return f"No chat in the file could be read: the first {first.reason}."
    known = ", ".join(kind.description for kind in FORMATS.values())
    return f"The file is JSON, but not chats of a known format. Known are: {known}."


def _one(kind: Format, item: Item | Problem) -> Transcript | Problem:
    if isinstance(item, Problem):
        return replace(item, where=f"{kind.items}{item.where}" if item.where else "the file")
    where = f"{kind.items}[{item.index}]"
    try:
        return kind.read(item.value, where)
    except Malformed as error:
        value = item.value if isinstance(item.value, dict) else {}
        given = (value.get(key) for key in _IDS)
        chat = next((text for text in given if isinstance(text, str)), None)
        title = value.get("title")
        return Problem(error.path, chat, title if isinstance(title, str) else None, error.reason)
