"""Reader of Chat Completions messages: `{"messages": [{role, content, …}]}`, one chat a line.

So are files for fine-tuning; a file that is itself the list of messages (or has one a line) is one
chat. There are no times. (OpenAI's API reference: Chat, and Fine-tuning.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from chathistory.formats import loose, parts
from chathistory.formats.base import ROLES, Malformed, Problem, Transcript, Turn
from chathistory.formats.each import each
from chathistory.formats.jsonstream import Item


def recognises(value: Any, header: dict[str, Any]) -> bool:
    """Tell whether `value` is a chat or a message: an object with `messages`, or with a role."""
    messages = value.get("messages") if isinstance(value, dict) else None
    if isinstance(messages, list):
        return all(map(_is_message, messages[:1]))
    return _is_message(value)


def _is_message(value: Any) -> bool:
    who = value.get("role") if isinstance(value, dict) else None
    if not isinstance(who, str) or who not in ROLES:
        return False
    return bool(value.keys() & {"content", "tool_calls", "function_call"})


def gather(items: Iterable[Item | Problem]) -> Iterator[Transcript | Problem]:
    """Yield the chats that the items are, or the one whose messages they are."""
    rest = iter(items)
    seen: list[Item | Problem] = []
    for item in rest:
        seen.append(item)
        if isinstance(item, Item):
            break
    found = chain(seen, rest)
    last = seen[-1] if seen else None
    alone = isinstance(last, Item) and _is_message(last.value)
    yield from _one_chat(found) if alone else each(read, found, name="items")


def _one_chat(items: Iterable[Item | Problem]) -> Iterator[Transcript | Problem]:
    """The chat whose messages the items are, if all of them can be read."""
    turns: list[Turn] = []
    is_whole = True
    for item in items:
        if isinstance(item, Problem):
            is_whole = False
            yield item
        else:
            path = f"items[{item.index}]"
            turns.append(_turn(loose.need_object(item.value, path), path))
    if is_whole:
        yield _transcript(turns, loose.digest([turn.raw for turn in turns]), "the file")


def read(value: Any, where: str) -> Transcript:
    """Return one chat; Malformed names the field that is not as it must be."""
    value = loose.need_object(value, where)
    messages = loose.objects(value.get("messages"), f"{where}.messages")
    about = {key: item for key, item in value.items() if key != "messages"}
    rows = enumerate(messages)
    turns = [_turn(one, f"{where}.messages[{at}]") for at, one in rows]
    given = loose.text(value.get("id"))
    transcript = _transcript(turns, given or loose.digest(value), where)
    transcript.apart = loose.beginning(turns) if given else ""
    transcript.title = loose.text(value.get("title"))
    transcript.title_source = "user" if transcript.title else "auto"
    transcript.created = loose.moment(value.get("created"))
    model = loose.text(value.get("model"))
    transcript.metadata = loose.chat_about("openai", about, model) if about else {}
    return transcript


def _transcript(turns: list[Turn], identity: str, where: str) -> Transcript:
    return Transcript("openai", identity, turns=loose.chain(turns), where=where)


def _turn(message: dict[str, Any], path: str) -> Turn:
    if not isinstance(message.get("role"), str):
        raise Malformed(f"{path}.role", "is missing or not text")
    said = parts.read(message.get("content"), f"{path}.content")
    if thought := loose.text(message.get("reasoning_content")):
        said.blocks.append(parts.reasoning(thought))
    said.blocks += parts.calls(message.get("tool_calls") or message.get("function_call"))
    who = loose.role(message["role"])
    if who in ("tool", "function") and said.text:
        identity = message.get("tool_call_id") or message.get("name")
        said.blocks.append(parts.tool_result(said.text, identity))
    said.add(loose.text(message.get("refusal")) or "")
    turn = loose.turn(loose.text(message.get("id")) or "", None, who, said, message)
    turn.author = loose.text(message.get("name")) or ""
    return turn
