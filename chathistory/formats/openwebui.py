"""Reader of Open WebUI's export: a list of chats, each a tree of messages.

A chat is `{id, title, chat{history{currentId, messages{id: …}}, models}, created_at, updated_at,
archived, pinned, meta{tags}}`, times in seconds; an old one has only the list `chat.messages`.
What the model thought and the tools it called are shown as `<details>` within `content`, and stand
cleanly in `output` where there is one. (open-webui, `models/chats.py` and `utils/middleware.py`.)
"""

from __future__ import annotations

from typing import Any

from chathistory.formats import details, loose, parts
from chathistory.formats.base import Malformed, Transcript, Turn
from chathistory.formats.parts import Said

_FEW = 20  # parts hidden in one message
_TAG, _TAGS = 50, 50  # characters, and tags, that a site allows unless it says otherwise


def recognises(value: Any, header: dict[str, Any]) -> bool:
    """Tell whether `value` is a chat: an object with a tree or a list of messages in `chat`."""
    return isinstance(value, dict) and _messages(_chat(value)) is not None


def read(value: Any, where: str) -> Transcript:
    """Return one chat; Malformed names the field that is not as it must be."""
    value = loose.need_object(value, where)
    chat = _chat(value)
    turns = loose.arranged(_turns(_messages(chat), where))
    head = loose.mapping(chat.get("history")).get("currentId")
    title = loose.text(value.get("title")) or loose.text(chat.get("title"))
    return Transcript(
        origin="openwebui",
        id=loose.text(value.get("id")) or loose.text(chat.get("id")) or loose.digest(chat),
        title=title,
        created=loose.moment(value.get("created_at", chat.get("timestamp"))),
        updated=loose.moment(value.get("updated_at")),
        turns=turns,
        head=head if any(turn.id == head for turn in turns) else None,
        metadata=_about(value, chat),
        tags=_tags(loose.mapping(value.get("meta")).get("tags")),
        pinned=value.get("pinned") is True,
        title_source="user" if title else "auto",
        where=where,
        extra={"state": "archived"} if value.get("archived") is True else {},
    )


def _tags(given: Any) -> list[str]:
    """The tags that can be ours too; all of them are in the metadata."""
    tags = given if isinstance(given, list) else []
    fit = [tag for tag in tags if isinstance(tag, str) and len(tag) <= _TAG]
    return list(dict.fromkeys(fit))[:_TAGS]


def _chat(value: dict[str, Any]) -> dict[str, Any]:
    inner = value.get("chat")
    return inner if isinstance(inner, dict) else value


def _messages(chat: dict[str, Any]) -> dict[str, Any] | list[Any] | None:
    """The tree, or the list of an old chat, which tells itself by its `models`."""
    history, old = chat.get("history"), chat.get("messages")
    tree = history.get("messages") if isinstance(history, dict) else None
    if isinstance(tree, dict) and (tree or not old):
        return tree
    return old if isinstance(old, list) and "models" in chat else None


def _about(value: dict[str, Any], chat: dict[str, Any]) -> dict[str, Any]:
    """What the chat says of itself, verbatim, without its messages."""
    about = {key: item for key, item in value.items() if key not in ("chat", "messages", "history")}
    if chat is not value:
        left_out = ("messages", "history")
        about["chat"] = {key: item for key, item in chat.items() if key not in left_out}
    models = chat.get("models")
    named = models if isinstance(models, list) else []
    model = next((name for name in named if isinstance(name, str)), None)
    return loose.chat_about("openwebui", about, model)


def _turns(messages: dict[str, Any] | list[Any] | None, where: str) -> list[Turn]:
    path = f"{where}.chat.history.messages"
    if isinstance(messages, dict):
        return [_turn(key, one, f"{path}.{key}") for key, one in messages.items()]
    if messages is None:
        raise Malformed(path, "is missing or not an object")
    rows = enumerate(messages)
    turns = [_turn("", one, f"{where}.chat.messages[{at}]") for at, one in rows]
    for turn in turns:
        turn.id = loose.text((turn.raw or {}).get("id")) or turn.id
    linked = any(isinstance(one, dict) and "parentId" in one for one in messages)
    return turns if linked else loose.chain(turns)


def _turn(key: str, message: Any, path: str) -> Turn:
    message = loose.need_object(message, path)
    who = loose.role(message.get("role"))
    said = _said(message, who, path)
    error = message.get("error")
    said.add(parts.words(error) if not said.text else "")
    turn = loose.turn(
        key,
        loose.text(message.get("parentId")),
        who,
        said,
        message,
        model=loose.text(message.get("model")),
        unfinished=message.get("done") is False,
    )
    turn.created = loose.moment(message.get("timestamp"))
    turn.status = "failed" if error and who == "assistant" else "complete"
    return turn


def _said(message: dict[str, Any], who: str, path: str) -> Said:
    said = parts.read(message.get("content"), f"{path}.content")
    output = message.get("output")
    hidden: list[parts.Block] = []
    if who != "user":
        said.text, hidden = details.taken_out(said.text)
    if isinstance(output, list):
        _add_output(said, output, f"{path}.output")
        if len(hidden) <= _FEW:  # or comparing takes too long: rather twice than lost
            clean = [parts.words(block) for block in said.blocks]
            hidden = [block for block in hidden if _is_news(block, clean)]
    said.blocks += hidden
    for file in loose.listed(message.get("files")):
        said.blocks.append(_file(file))
    return said


def _add_output(said: Said, output: list[Any], path: str) -> None:
    """Take the items of `output`; its words only where the content had none."""
    clean = Said()
    for index, item in enumerate(loose.objects(output, path)):
        if item.get("type") == "message":
            inner = parts.read(item.get("content"), f"{path}[{index}].content")
        else:
            inner = parts.read([item], path)
        clean.add(inner.text)
        clean.blocks += inner.blocks
    said.text = said.text or clean.text
    said.blocks += clean.blocks


def _is_news(block: parts.Block, clean: list[str]) -> bool:
    """Whether what is hidden in the content is not said by the clean blocks too."""
    hidden = parts.words(block).strip().strip('"')
    return bool(hidden) and not any(hidden in words for words in clean)


def _file(file: dict[str, Any]) -> parts.Block:
    inner = loose.mapping(file.get("file"))
    text = loose.mapping(inner.get("data")).get("content")
    kind = file.get("type")
    return parts.attachment({**inner, **file}, kind if isinstance(kind, str) else "file", text)
