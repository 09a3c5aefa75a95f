"""Reader of LibreChat's export: one conversation a file, its messages flat or as a tree.

`{conversationId, endpoint, title, exportAt, branches, recursive, options{model}, messages[]}`; with
`recursive` each message holds its answers in `children`, under `messages` or `messagesTree`. The
parent of a root is all zeros or null, and there may be several roots. `exportAt` is no date but a
time of day, so a chat is as old as its first message. (LibreChat, `useExportConversation.ts`.)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chathistory.formats import loose, parts
from chathistory.formats.base import Malformed, Transcript, Turn
from chathistory.formats.times import from_epoch

_NOBODY = "00000000-0000-0000-0000-000000000000"  # the parent of a root
_LISTS = ("messagesTree", "messages")
_FILES = ("files", "attachments")


def recognises(value: Any, header: dict[str, Any]) -> bool:
    """Tell whether `value` is a conversation: an object with a `conversationId` and messages."""
    if not isinstance(value, dict) or "conversationId" not in value:
        return False
    return any(isinstance(value.get(key), list) for key in _LISTS)


def read(value: Any, where: str) -> Transcript:
    """Return one conversation; Malformed names the field that is not as it must be."""
    value = loose.need_object(value, where)
    lists = [key for key in _LISTS if isinstance(value.get(key), list)]
    key = next((key for key in lists if value[key]), lists[0] if lists else None)
    if key is None:
        raise Malformed(f"{where}.messages", "is missing or not a list")
    found = _flat(value[key], f"{where}.{key}")
    turns = [_turn(message, above, path) for message, above, path in found]
    title = loose.text(value.get("title"))
    about = {name: item for name, item in value.items() if name not in _LISTS}
    model = loose.text(loose.mapping(value.get("options")).get("model"))
    return Transcript(
        origin="librechat",
        id=loose.text(value.get("conversationId")) or loose.digest(about),
        title=title,
        created=from_epoch(value.get("createdAt")),
        updated=from_epoch(value.get("updatedAt")),
        turns=loose.arranged(turns),
        metadata=loose.chat_about("librechat", about, model),
        title_source="user" if title else "auto",
        where=where,
    )


def _flat(messages: Any, where: str) -> Iterator[tuple[dict[str, Any], str | None, str]]:
    """Yield each message, the id of the one it stands in, and its path; branch after branch."""
    waiting: list[tuple[Any, str | None, str]] = [(messages, None, where)]
    while waiting:
        found, above, path = waiting.pop()
        if isinstance(found, list):
            each = [(item, above, f"{path}[{at}]") for at, item in enumerate(found)]
            waiting += reversed(each)
            continue
        message = loose.need_object(found, path)
        yield message, above, path
        if message.get("children") is not None:
            inside = message["children"]
            if not isinstance(inside, list):
                raise Malformed(f"{path}.children", "is not a list")
            waiting.append((inside, loose.text(message.get("messageId")), f"{path}.children"))


def _turn(message: dict[str, Any], above: str | None, path: str) -> Turn:
    sender, mine = loose.text(message.get("sender")), message.get("isCreatedByUser")
    who = "user" if mine is True else loose.role(message.get("role") or sender)
    who = "assistant" if mine is False and who == "user" else who
    turn = loose.turn(
        loose.text(message.get("messageId")) or "",
        _parent(message, above),
        who,
        _said(message, path),
        {key: item for key, item in message.items() if key != "children"},
        model=loose.text(message.get("model")),
        unfinished=message.get("unfinished") is True,
    )
    turn.author = "" if who == "user" else sender or ""
    turn.created = from_epoch(message.get("createdAt"))
    turn.status = "failed" if message.get("error") is True else "complete"
    turn.tokens = loose.count(message.get("tokenCount"))
    return turn


def _parent(message: dict[str, Any], above: str | None) -> str | None:
    given = loose.text(message.get("parentMessageId"))
    return above or (None if given == _NOBODY else given)


def _said(message: dict[str, Any], path: str) -> parts.Said:
    said = parts.read(message.get("content"), f"{path}.content")
    plain = parts.read(message.get("text"), f"{path}.text")
    if plain.text:
        said.text = plain.text
    for key in _FILES:
        said.blocks += [parts.attachment(file) for file in loose.listed(message.get(key))]
    return said
