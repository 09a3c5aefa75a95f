"""What workflows of these tests answer with."""

from __future__ import annotations

from collections.abc import Iterator

from chathistory.workflows import Conversation

WORKFLOWS = {
    name: {"label": name, "responder": f"tests.actions.responders.{name}" if name != "mute" else ""}
    for name in ("echo", "broken", "silent", "numbers", "endless", "missing", "mute")
}


def echo(conversation: Conversation) -> Iterator[str]:
    """Say the question again, in two pieces."""
    yield "You said: "
    yield conversation.turns[-1].content


def broken(conversation: Conversation) -> Iterator[str]:
    """Fail half-way."""
    yield "Half an "
    raise ConnectionError("no model today")


def silent(conversation: Conversation) -> Iterator[str]:
    """Say nothing."""
    yield " \n"


def numbers(conversation: Conversation) -> Iterator[str]:
    """Say what is no text."""
    yield "One and "
    yield 2  # type: ignore[misc]


def endless(conversation: Conversation) -> Iterator[str]:
    """Say more than a message can hold."""
    for _ in range(30):
        yield "long " * 20_000
