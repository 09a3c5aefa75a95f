"""The `content` of a ChatGPT message, by its `content_type`: words to read, and the rest.

The words go into one text, to be shown and searched; what is not words (pictures, languages,
addresses) into blocks, each the source's own object with its `type`. `raw` keeps it verbatim.
"""

from __future__ import annotations

from typing import Any

Blocks = list[dict[str, Any]]
_WORDS: dict[str, tuple[str, ...]] = {  # which members are the words; the first that says anything
    "code": ("text",),
    "execution_output": ("text",),
    "system_error": ("text",),
    "tether_quote": ("text", "title", "url"),
    "tether_browsing_display": ("result", "summary"),
    "reasoning_recap": ("content",),
}
_ANY_WORDS = ("text", "result", "content", "summary", "model_set_context")
_CONTEXT = ("user_profile", "user_instructions")


def read_content(content: Any) -> tuple[str, Blocks]:
    """Return the text and the blocks of a message's content, of whatever shape it is."""
    if isinstance(content, str):
        return content, []
    if isinstance(content, list):
        return _parts(content)
    if not isinstance(content, dict):
        return "", []
    if isinstance(content.get("parts"), list):
        return _with_parts(content)
    if isinstance(content.get("thoughts"), list):
        return _thoughts(content["thoughts"]), [_block(content)]
    if any(_said(content.get(key)) for key in _CONTEXT):
        return "\n\n".join(filter(None, (_said(content.get(key)) for key in _CONTEXT))), [
            _block(content, *_CONTEXT)
        ]
    return _one_text(content)


def _said(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _kind(content: dict[str, Any], otherwise: str = "part") -> str:
    return _said(content.get("content_type")) or _said(content.get("type")) or otherwise


def _block(content: dict[str, Any], *without: str) -> dict[str, Any]:
    rest = {key: item for key, item in content.items() if key not in {*without, "content_type"}}
    return {**rest, "type": _kind(content)}


def _one_text(content: dict[str, Any]) -> tuple[str, Blocks]:
    """Content with its words in one member: code, output, quotes, and kinds still unknown."""
    for key in _WORDS.get(_kind(content), _ANY_WORDS):
        if words := _said(content.get(key)):
            return words, [_block(content, key)]
    return "", [_block(content)] if content else []


def _with_parts(content: dict[str, Any]) -> tuple[str, Blocks]:
    text, blocks = _parts(content["parts"])
    about = _block(content, "parts")
    plain = about["type"] in ("text", "multimodal_text") and len(about) == 1
    return text, blocks if plain else [about, *blocks]


def _parts(parts: list[Any]) -> tuple[str, Blocks]:
    """Strings are the text; an object is a block, its own words (a transcription) text too."""
    words = [part if isinstance(part, str) else _words_of(part) for part in parts]
    blocks = [_block(part) for part in parts if isinstance(part, dict)]
    return "\n".join(filter(None, words)), blocks


def _words_of(part: Any) -> str:
    return _said(part.get("text")) if isinstance(part, dict) else ""


def _thoughts(thoughts: list[Any]) -> str:
    """Each thought's summary as its heading, then what was thought."""
    said = []
    for thought in thoughts:
        if isinstance(thought, dict):
            said += [_said(thought.get("summary")), _said(thought.get("content"))]
        else:
            said.append(_said(thought))
    return "\n\n".join(filter(None, said))
