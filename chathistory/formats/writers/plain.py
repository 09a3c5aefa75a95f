"""Plain text: the branch shown, safe to be shown by a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from . import shown


def write(sessions: Iterable[shown.Session]) -> Iterator[bytes]:
    """Yield each session, one below the other."""
    for session in sessions:
        for piece in _session(session):
            yield piece.encode()


def _session(session: shown.Session) -> Iterator[str]:
    title = shown.title(session)
    yield f"{title}\n{'=' * min(len(title), 80)}\n"
    yield "".join(f"{name}: {value}\n" for name, value in shown.facts(session))
    path, others = shown.branch(session)
    for message in shown.said(session, path):
        yield f"\n[{shown.moment(message.get('timestamp'))}] {shown.speaker(message)}:\n"
        yield "".join(f"({note})\n" for note in shown.notes(message))
        yield f"{shown.content(message)}\n"
    if others:
        yield f"\n({shown.rest(others)})\n"
