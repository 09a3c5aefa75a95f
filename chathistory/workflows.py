"""The workflows a site offers, from the setting ``CHATHISTORY_WORKFLOWS``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from .conf import settings
from .exceptions import Invalid

IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier message, as a responder sees it."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a responder is given: who asks, where, and the branch up to the question."""

    user: Any
    workflow: str
    session_id: str
    turns: tuple[Turn, ...]


class Responder(Protocol):
    """Answers a conversation piece by piece; called outside any transaction."""

    def __call__(self, conversation: Conversation) -> Iterator[str]: ...


@dataclass(frozen=True, slots=True)
class Workflow:
    """One kind of conversation a site offers."""

    name: str
    label: str
    icon: str = "💬"
    description: str = ""
    responder: str = ""

    def load(self) -> Responder:
        """Return the responder. Raises ImportError when its path names nothing."""
        responder: Responder = import_string(self.responder)
        return responder


def known() -> dict[str, Workflow]:
    """Return every workflow by name, the one of imported chats last."""
    table = {name: Workflow(name=name, **fields) for name, fields in settings.WORKFLOWS.items()}
    imported = Workflow(IMPORTED, _("Imported"), "📥", _("Chats brought in from elsewhere"))
    return table | ({} if IMPORTED in table else {IMPORTED: imported})


def get(name: str) -> Workflow:
    """Return one workflow. Raises Invalid naming the ones there are."""
    table = known()
    if not isinstance(name, str) or name not in table:
        raise Invalid(
            f"Unknown workflow; one of: {', '.join(table)}.", field="workflow_type"
        ) from None
    return table[name]
