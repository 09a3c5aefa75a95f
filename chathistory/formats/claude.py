"""Reader of Claude.ai's data export: `conversations.json`, a list of conversations.

A conversation is `{uuid, name, summary, created_at, updated_at, account, chat_messages[]}`, a
message `{uuid, sender, text, content[], attachments[], files[], created_at[,
parent_message_uuid]}`. Anthropic does not document it; this follows the schemas inferred from 904
real ones (Sinity/polylogue, MIT). `text` may be empty where `content` is not, and the other way.
"""

from __future__ import annotations

from typing import Any

from chathistory.formats import loose, parts
from chathistory.formats.base import Transcript, Turn
from chathistory.formats.times import from_epoch

_FILES = ("files", "files_v2", "sync_sources")
_NOBODY = "00000000-0000-4000-8000-000000000000"  # the parent of a root


def recognises(value: Any, header: dict[str, Any]) -> bool:
    """Tell whether `value` is a conversation: an object with `chat_messages`."""
    return isinstance(value, dict) and isinstance(value.get("chat_messages"), list)


def read(value: Any, where: str) -> Transcript:
    """Return one conversation; Malformed names the field that is not as it must be."""
    value = loose.need_object(value, where)
    messages = loose.objects(value.get("chat_messages"), f"{where}.chat_messages")
    turns = [_turn(one, f"{where}.chat_messages[{at}]") for at, one in enumerate(messages)]
    if not any("parent_message_uuid" in message for message in messages):
        turns = loose.chain(turns)
    title = loose.text(value.get("name"))
    about = {key: item for key, item in value.items() if key != "chat_messages"}
    model = loose.text(value.get("model"))
    arranged = loose.arranged(turns)
    return Transcript(
        origin="claude",
        id=loose.text(value.get("uuid")) or loose.digest(messages[:1] or about),
        title=title,
        created=from_epoch(value.get("created_at")),
        updated=from_epoch(value.get("updated_at")),
        turns=arranged,
        head=_head(value.get("current_leaf_message_uuid"), arranged),
        metadata=loose.chat_about("claude", about, model),
        pinned=value.get("is_starred") is True,
        title_source="user" if title else "auto",
        where=where,
    )


def _head(given: Any, turns: list[Turn]) -> str | None:
    return given if any(turn.id == given for turn in turns) else None


def _turn(message: dict[str, Any], path: str) -> Turn:
    said = parts.read(message.get("content"), f"{path}.content")
    if not said.text:
        said.text = loose.text(message.get("text")) or ""
    for file in loose.listed(message.get("attachments")):
        said.blocks.append(parts.attachment(file, text=file.get("extracted_content")))
    for key in _FILES:
        said.blocks += [parts.attachment(file) for file in loose.listed(message.get(key))]
    parent = loose.text(message.get("parent_message_uuid"))
    turn = loose.turn(
        loose.text(message.get("uuid")) or "",
        None if parent == _NOBODY else parent,
        loose.role(message.get("sender")),
        said,
        message,
        model=loose.text(message.get("model")),
        stop_reason=loose.text(message.get("stop_reason")),
    )
    turn.created = from_epoch(message.get("created_at"))
    return turn
