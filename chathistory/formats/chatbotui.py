"""Reader of Chatbot UI's export: `{version, history[], folders, prompts}`, or the bare list.

A chat is `{id, name, messages[{role, content}], model{id, name}, prompt, temperature, folderId}`;
there are no times. (mckaywrigley/chatbot-ui, `types/export.ts`, versions 1 to 4.)
"""

from __future__ import annotations

from typing import Any

from chathistory.formats import loose, parts
from chathistory.formats.base import Transcript, Turn


def recognises(value: Any, header: dict[str, Any]) -> bool:
    """Tell whether `value` is a chat: an object with `name` and `messages`."""
    if not isinstance(value, dict) or not isinstance(value.get("messages"), list):
        return False
    return "name" in value and "id" in value


def read(value: Any, where: str) -> Transcript:
    """Return one chat; Malformed names the field that is not as it must be."""
    value = loose.need_object(value, where)
    messages = loose.objects(value.get("messages"), f"{where}.messages")
    about = {key: item for key, item in value.items() if key != "messages"}
    told = value.get("model")
    model = told if isinstance(told, str) else loose.mapping(told).get("id")
    rows = enumerate(messages)
    turns = [_turn(one, f"{where}.messages[{at}]", model) for at, one in rows]
    title = loose.text(value.get("name"))
    given = loose.identity(value.get("id"))
    return Transcript(
        origin="chatbotui",
        id=given or loose.digest(value),
        title=title,
        turns=loose.chain(turns),
        metadata=loose.chat_about("chatbotui", about, model),
        title_source="user" if title else "auto",
        where=where,
        apart=loose.beginning(turns) if given else "",
    )


def _turn(message: dict[str, Any], path: str, model: Any) -> Turn:
    said = parts.read(message.get("content"), f"{path}.content")
    who = loose.role(message.get("role"))
    model = loose.text(model) if who == "assistant" else None
    return loose.turn("", None, who, said, message, model=model)
