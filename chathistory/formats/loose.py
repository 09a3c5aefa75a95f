"""What several readers need: fields of other people's JSON, turns put into order, ids made up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import blake2b
from typing import Any

from chathistory.formats import tree
from chathistory.formats.base import ROLES, Malformed, Turn
from chathistory.formats.parts import Said
from chathistory.formats.times import from_epoch

TOKENS = 2**31 - 1
_MOST = 1_500_000  # characters of a chat's metadata
_LONG, _MANY = 500, 200  # characters, and items, of what is more
_SYSTEM = ("system", "developer")
_MILLISECONDS = 1e11  # seconds until the year 5138; as milliseconds the year 1973
_ROLES = {
    **{role: role for role in ROLES},
    **dict.fromkeys(("human", "person"), "user"),
    **dict.fromkeys(("ai", "bot", "model", "gpt", "chatgpt", "bing", "bard"), "assistant"),
    **dict.fromkeys(("function_call",), "assistant"),
    **dict.fromkeys(("observation", "tool_result", "function_response"), "tool"),
}


def text(value: Any) -> str | None:
    """Return a text that says anything, else None."""
    return value if isinstance(value, str) and value else None


def identity(value: Any) -> str | None:
    """Return an id that is a text or a whole number, None where there is none."""
    return str(value) if type(value) is int else text(value)


def mapping(value: Any) -> dict[str, Any]:
    """Return an object, an empty one where there is none."""
    return value if isinstance(value, dict) else {}


def objects(value: Any, path: str) -> list[dict[str, Any]]:
    """Return a list of objects; Malformed if it is anything else."""
    if not isinstance(value, list):
        raise Malformed(path, "is not a list")
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise Malformed(f"{path}[{index}]", "is not an object")
    return value


def listed(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list, none where there is no list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def need_object(value: Any, path: str) -> dict[str, Any]:
    """Return an object; Malformed if it is none."""
    if not isinstance(value, dict):
        raise Malformed(path, "is not an object")
    return value


def role(value: Any, otherwise: str = "assistant") -> str:
    """Return one of our roles for what others call theirs."""
    return _ROLES.get(value.lower(), otherwise) if isinstance(value, str) else otherwise


def count(value: Any) -> int | None:
    """Return a number of tokens, None where it is not one."""
    return value if type(value) is int and 0 <= value <= TOKENS else None


def moment(value: Any) -> datetime | None:
    """Return a time given in seconds, in milliseconds or as an ISO stamp."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value > _MILLISECONDS:
        return from_epoch(value / 1000) if value < _MILLISECONDS * 1000 else None
    return from_epoch(value)


def about(**facts: Any) -> dict[str, Any]:
    """Return those of the facts that say anything."""
    return {key: item for key, item in facts.items() if item not in (None, "", [], {}, False)}


def chat_about(name: str, value: dict[str, Any], model: Any = None) -> dict[str, Any]:
    """Return a chat's metadata: what the provider says of it, verbatim, and the model.

    Where that is more than may be kept, without its longest texts (files, read or written out).
    """
    told = value
    if len(json.dumps(value)) > _MOST:
        told = _shortened(value) | {"shortened": True}
    return {name: told} | ({"model": model} if text(model) else {})


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value[:_MANY]]
    return value[:_LONG] if isinstance(value, str) else value


def turn(
    identity: str, parent: str | None, who: str, said: Said, raw: dict[str, Any], **facts: Any
) -> Turn:
    """Return a message: what it says, and of the ``facts`` those that say anything."""
    made = Turn(identity, parent, who, said.text, blocks=said.blocks, raw=raw)
    if said.blocks:
        made.content = said.shown
        facts["attachments"] = said.names
        facts["content_from"] = "blocks" if made.content and not said.text else None
    if facts:
        made.metadata = about(**facts)
    return made


def digest(value: Any) -> str:
    """Return an id for what has none of its own: the same content, the same id."""
    packed = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return f"sha256-{hashlib.sha256(packed).hexdigest()[:32]}"


def name(one: Turn) -> str:
    """Return an id for a message that has none: what is said again behind the same has the same.

    So a text that was changed is another message, beside the one that was there before.
    """
    packed = f"{one.parent}\0{one.role}\0{_said(one)}".encode("utf-8", "surrogatepass")
    return blake2b(packed, digest_size=16).hexdigest()


def _said(one: Turn) -> str:
    """The words; of a message without any its blocks, such as a file."""
    return one.content or json.dumps(one.blocks)


def beginning(turns: Iterable[Turn], place: str = "") -> str:
    """Return what tells a chat from others of the same id: a digest of what was said first.

    That is up to the first message that is no instruction, for many chats have the same ones.
    ``place`` is where the chat stands, if that matters.
    """
    said: list[str] = [place]
    for one in turns:
        said += [one.role, _said(one)]
        if one.role not in _SYSTEM:
            break
    packed = "\0".join(said).encode("utf-8", "surrogatepass")
    return f"begins-{blake2b(packed, digest_size=16).hexdigest()}"


def distinct(turns: Iterable[Turn]) -> dict[str, Turn]:
    """Return the turns by their ids, and give one to those without.

    An id used twice gets a number for its later turns.
    """
    known: dict[str, Turn] = {}
    numbers: dict[str, int] = {}
    for one in turns:
        given = one.id = one.id or name(one)
        while one.id in known:
            numbers[given] = numbers.get(given, 1) + 1
            one.id = f"{given}~{numbers[given]}"
            one.metadata["repeated_id"] = given
        known[one.id] = one
    return known


def chain(turns: Iterable[Turn]) -> list[Turn]:
    """Return the turns, each following the one before it."""
    return list(distinct(_linked(turns)).values())


def _linked(turns: Iterable[Turn]) -> Iterator[Turn]:
    before: Turn | None = None
    for one in turns:
        # Whoever asks for this one has given the one before its id by now.
        one.parent = before.id if before else None
        before = one
        yield one


def arranged(turns: Iterable[Turn]) -> list[Turn]:
    """Return the turns as a sound tree, parents first, and none of them lost.

    A parent that is not there becomes the metadata's `orphan_of`, and a circle is cut open at
    its first turn.
    """
    known = distinct(turns)
    for one in known.values():
        if one.parent is not None and one.parent not in known:
            one.metadata["orphan_of"], one.parent = one.parent, None
    parents = tree.without_cycles({key: one.parent for key, one in known.items()})
    for key, parent in parents.items():
        known[key].parent = parent
    return [known[key] for key in tree.parents_first(parents)]
