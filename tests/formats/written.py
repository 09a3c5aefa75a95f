"""Session objects made here, and what a writer makes of them."""

from __future__ import annotations

from typing import Any

from chathistory.formats.writers import WRITERS

MOMENT = "2025-01-14T10:30:00.250000Z"


def said(role: str, content: str, **more: Any) -> dict[str, Any]:
    """Return a message object, without its place in the tree."""
    return {
        "role": role,
        "author": "",
        "content": content,
        "blocks": [],
        "timestamp": MOMENT,
        "edited_at": None,
        "deleted_at": None,
        "status": "complete",
        "tokens": 3,
        "metadata": {},
        "raw": None,
        "revisions": [],
        **more,
    }


def session(*messages: dict[str, Any] | str, title: str = "A title", **more: Any) -> dict[str, Any]:
    """Return a session object; texts are said by the user and the model in turn, in a chain."""
    made: list[dict[str, Any]] = []
    for at, message in enumerate(messages):
        one = message if isinstance(message, dict) else said(("user", "assistant")[at % 2], message)
        before = made[-1]["id"] if made else None
        made.append({"id": f"m-{at}", "parent_id": before, "seq": at + 1, **one})
    return {
        "session_id": "01234567-89ab-7def-8123-456789abcdef",
        "user_id": "alice",
        "workflow_type": "tutor",
        "created_at": MOMENT,
        "updated_at": MOMENT,
        "title": title,
        "state": "active",
        "pinned": False,
        "tags": [],
        "metadata": {},
        "head_id": made[-1]["id"] if made else None,
        **more,
        "messages": made,
    }


def written(form: str, *sessions: dict[str, Any]) -> bytes:
    """Return what the writer of a format makes of sessions."""
    return b"".join(WRITERS[form].write(sessions))


def branching() -> dict[str, Any]:
    """A question with two answers, of which the second is shown, and a message deleted below it."""
    return session(
        said("user", "What?"),
        said("assistant", "The first answer.", author="Ada"),
        said("assistant", "The second answer.", parent_id="m-0", metadata={"model": "gpt-4o"}),
        said("user", "", deleted_at=MOMENT),
        said("assistant", "Below it.", status="failed"),
    )
