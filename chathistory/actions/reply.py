"""Asking a workflow's responder: the question is stored first, whatever comes of the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from chathistory import records, text, workflows
from chathistory.conf import settings
from chathistory.exceptions import Conflict, Invalid, Unavailable
from chathistory.models import Message, Session
from chathistory.querysets import require
from chathistory.workflows import Conversation, Turn

from . import messages
from .sessions import branch

logger = logging.getLogger(__name__)
_MEMORY = 50  # turns of the branch that a responder is given


@dataclass(slots=True)
class Piece:
    """One step of an answer: a ``delta`` of text, then ``done`` or ``error`` with the message."""

    kind: str
    text: str = ""
    message: Message | None = None


def ask(session: Session, user: Any, content: str | None) -> tuple[Message, Iterator[Piece]]:
    """Store a question, or take the last one again, and return it with the answer to come.

    Nothing is asked before the iterator is run. Raises what ``messages.append`` raises,
    Unavailable when the workflow has no responder, and Invalid when there is nothing to answer.
    """
    require(user, session, "write")
    respond = _responder(session)
    question = _unanswered(session) if content is None else None
    if content is not None:
        question = messages.append(session, user, "user", content)
    if question is None:
        raise Invalid("There is no question to answer.", field="content")
    return question, _answer(session, user, question, respond)


def _responder(session: Session) -> workflows.Responder:
    workflow = workflows.known().get(session.workflow)
    if workflow is None or not workflow.responder:
        raise Conflict("Nobody answers in this workflow.")
    try:
        return workflow.load()
    except ImportError as error:
        raise Unavailable("The responder of this workflow cannot be loaded.") from error


def _unanswered(session: Session) -> Message | None:
    """Return the question at the end of the branch shown, above a failed answer if there is one."""
    path = branch(session, session.head_seq)
    while path and path[-1].status == Message.Status.FAILED:
        path.pop()
    return path[-1] if path and path[-1].role == "user" else None


def _answer(
    session: Session, user: Any, question: Message, respond: Callable[[Conversation], Iterator[str]]
) -> Iterator[Piece]:
    said: list[str] = []
    failed: BaseException | None = None
    room = settings.MAX_MESSAGE_LENGTH
    try:
        for piece in respond(_conversation(session, user, question)):
            room -= _length(piece)
            if room < 0:
                raise ValueError("an answer longer than a message may be")
            said.append(piece)
            yield Piece("delta", piece)
        if not "".join(said).strip():
            failed = ValueError("an empty answer")
    except GeneratorExit as left:  # the reader went away: keep what was said, marked
        _store(session, user, question, said, left)
        raise
    except Exception as error:  # noqa: BLE001  a responder is anybody's code; what it raises is kept as failed
        logger.warning("The responder of %s failed: %s", session.workflow, type(error).__name__)
        failed = error
    message = _store(session, user, question, said, failed)
    yield Piece("error" if failed else "done", message=message)


def _length(piece: Any) -> int:
    if not isinstance(piece, str):
        raise TypeError("a piece of an answer that is no text")
    return len(piece)


def _store(
    session: Session, user: Any, question: Message, said: list[str], failed: BaseException | None
) -> Message:
    status = Message.Status.FAILED if failed is not None else Message.Status.COMPLETE
    return messages.append(
        session,
        user,
        "assistant",
        text.mend("".join(said)).strip(),
        parent=question.uuid,
        status=status,
    )


def _conversation(session: Session, user: Any, question: Message) -> Conversation:
    path = branch(session, question.seq)[-_MEMORY:]
    bodies = [(row.role, records.or_damaged(records.open_body, row, session)) for row in path]
    turns = tuple(Turn(role, body.content) for role, body in bodies if body is not None)
    return Conversation(user, session.workflow, str(session.uuid), turns)
