"""Out: the chats of whoever asks, in every format that there is a writer of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from chathistory import exported
from chathistory.exceptions import LimitExceeded, Unavailable
from chathistory.formats import writers
from chathistory.formats.writers import Write, Writer, bundle, html, shown
from chathistory.models import Session
from chathistory.querysets import require
from chathistory.search import find

_PIECE = 1 << 16  # bytes given out at a time


@dataclass(slots=True)
class File:
    """A file on its way out: what it is called, what it is, and its bytes piece by piece."""

    name: str
    content_type: str
    pieces: Iterator[bytes]
    #: The chats that could not be written, by id, and why; complete when the pieces are.
    failed: dict[str, str] = field(default_factory=dict)


def export_sessions(
    user: Any, sessions: Iterable[Session], *, leaf: UUID | None = None
) -> Iterator[dict[str, Any]]:
    """Yield sessions as objects for the writers of ``formats``.

    Complete enough to import again to the same thing: branches, revisions, raw items; but of an
    edited message only its owner gets what it said before. ``leaf`` leaves of each only the branch
    that ends at this message. Raises NotFound or NotAllowed at the
    first that ``user`` may not export, and Invalid where ``leaf`` is no message of it.
    """
    return exported.exported(_allowed(user, sessions), leaf)


def one(user: Any, session: Session, format: str = "json", *, leaf: UUID | None = None) -> File:
    """Return one session, or the branch of it that ends at ``leaf``, as a file.

    What is wrong is raised here, not by the pieces: Invalid, NotFound, NotAllowed; for a PDF also
    LimitExceeded and Unavailable.
    """
    writer = writers.chosen(format)
    (found,) = export_sessions(user, [session], leaf=leaf)
    pieces = _begun(_gathered(writer.write([found])))
    return File(f"{bundle.name_of(found)}.{writer.suffix}", writer.content_type, pieces)


def many(
    user: Any, sessions: Iterable[Session], format: str = "json", *, is_zip: bool = False
) -> File:
    """Return sessions as one file: a zip of a file for each where the format is for one only.

    ``is_zip`` makes it a zip in any case. Raises Invalid for a format there is not; the pieces
    raise what ``export_sessions`` does.
    """
    writer = writers.chosen(format)
    if not (is_zip or writer.is_single):
        name = "conversations.json" if format == "chatgpt" else f"chats.{writer.suffix}"
        pieces = _gathered(writer.write(export_sessions(user, sessions)))
        return File(name, writer.content_type, pieces)
    file = File("chats.zip", "application/zip", iter(()))
    chats = export_sessions(user, sessions)
    file.pieces = bundle.zipped(_zipped(chats, writer, file.failed))
    return file


def tree(user: Any, sessions: Iterable[Session], format: str = "json") -> Iterator[bundle.File]:
    """Yield a file for each session, at `users/<user>/<workflow>/<id>.<suffix>`.

    Raises Invalid for a format there is not, else what ``export_sessions`` does, and for a PDF
    LimitExceeded and Unavailable.
    """
    writer = writers.chosen(format)
    return _tree(export_sessions(user, sessions), writer)


def found(user: Any, query: str) -> Iterator[Session]:
    """Yield each session that a search finds and ``user`` may export, once. Raises InvalidQuery."""
    mine = Session.objects.visible_to(user, "export").values("pk")
    seen: set[int] = set()
    cursor: str | None = None
    while True:
        answer = find.search(
            user,
            query,
            limit=find.MAX_LIMIT,
            cursor=cursor,
            narrow=lambda rows: rows.filter(pk__in=mine),
            group="session",
        )
        for session in [*(hit.session for hit in answer.hits), *answer.titles]:
            if session.pk not in seen:
                seen.add(session.pk)
                yield session
        cursor = answer.cursor
        if cursor is None:
            return


def _allowed(user: Any, sessions: Iterable[Session]) -> Iterator[tuple[Session, bool]]:
    for session in sessions:
        require(user, session, "export")
        yield session, user is None or session.account.user_id == user.pk


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in fewer pieces: each costs whoever sends or stores them as much."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _PIECE:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    if waiting:
        yield b"".join(waiting)


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Return the same pieces, of which the first is made now."""
    first = next(pieces, b"")

    def all_of_them() -> Iterator[bytes]:
        yield first
        yield from pieces

    return all_of_them()


def _zipped(
    chats: Iterable[dict[str, Any]], writer: Writer, failed: dict[str, str]
) -> Iterator[bundle.File]:
    """Yield a file for each chat, and at the end a page that lists them."""
    entries: list[tuple[str, str, list[str]]] = []
    with writer.begun() as write:
        for chat in chats:
            path = f"sessions/{bundle.name_of(chat)}.{writer.suffix}"
            facts = [value for _name, value in shown.facts(chat)]
            file = _tried(chat, path, write, failed)
            if file is not None:
                yield file
            else:
                path, facts = "", [*facts, failed[chat["session_id"]]]
            entries.append((path, shown.title(chat), facts))
    yield bundle.File("index.html", None, html.index("Exported chats", entries))


def _tried(
    chat: dict[str, Any], path: str, write: Write, failed: dict[str, str]
) -> bundle.File | None:
    """Return a chat as a file; None, with the reason in ``failed``, where it cannot be one."""
    try:
        return bundle.File(path, chat["updated_at"], _begun(write([chat])))
    except (LimitExceeded, Unavailable) as error:
        failed[chat["session_id"]] = str(error)
        return None


def _tree(chats: Iterable[dict[str, Any]], writer: Writer) -> Iterator[bundle.File]:
    with writer.begun() as write:
        for chat in chats:
            path = bundle.in_tree(chat["user_id"], chat, writer.suffix)
            yield bundle.File(path, chat["updated_at"], _begun(write([chat])))
