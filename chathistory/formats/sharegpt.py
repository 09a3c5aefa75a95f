"""Reader of ShareGPT's and its followers' files: a list, or one a line.

A chat is `{id, conversations[{from, value}]}` (also `conversation` and `items`); there are no
times and no titles. Of tools, `function_call` and `observation` (LLaMA-Factory's names).
"""

from __future__ import annotations

from typing import Any

from chathistory.formats import loose, parts
from chathistory.formats.base import Malformed, Transcript, Turn

_LISTS = ("conversations", "conversation", "items")


def recognises(value: Any, header: dict[str, Any]) -> bool:
    """Tell whether `value` is a chat: an object with a list of `{from, value}`."""
    return isinstance(value, dict) and _list_in(value) is not None


def _list_in(value: dict[str, Any]) -> str | None:
    for key in _LISTS:
        said = value.get(key)
        if isinstance(said, list) and all(map(_is_said, said[:1])):
            return key
    return None


def _is_said(item: Any) -> bool:
    return isinstance(item, dict) and "from" in item and "value" in item


def read(value: Any, where: str) -> Transcript:
    """Return one chat; Malformed names the field that is not as it must be."""
    value = loose.need_object(value, where)
    key = _list_in(value)
    if key is None:
        raise Malformed(f"{where}.conversations", "is missing or not a list of {from, value}")
    messages = loose.objects(value[key], f"{where}.{key}")
    turns = [_turn(one, f"{where}.{key}[{at}]") for at, one in enumerate(messages)]
    if system := loose.text(value.get("system")):
        turns.insert(0, Turn("", None, "system", system, raw={"system": system}))
    about = {name: item for name, item in value.items() if name != key}
    title = loose.text(value.get("title"))
    given = loose.identity(value.get("id"))
    return Transcript(
        origin="sharegpt",
        id=given or loose.digest(value),
        title=title,
        turns=loose.chain(turns),
        metadata=loose.chat_about("sharegpt", about),
        title_source="user" if title else "auto",
        where=where,
        apart=loose.beginning(turns) if given else "",
    )


def _turn(message: dict[str, Any], path: str) -> Turn:
    if "value" not in message:
        raise Malformed(f"{path}.value", "is missing")
    said = parts.read(message["value"], f"{path}.value")
    return loose.turn("", None, loose.role(message.get("from")), said, message)
