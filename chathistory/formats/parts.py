"""What a message says where its content is a text or a list of parts, as most products store it.

Words go into one text, to be shown and searched; what else there is becomes blocks of four kinds
wherever one fits, whoever wrote them; any other part stays the source's own object:

    {"type": "reasoning", "text"}
    {"type": "tool_call", "id", "name", "arguments"}
    {"type": "tool_result", "id", "output"[, "is_error"]}
    {"type": "attachment", "kind", "name"[, "media_type", "size", "text", "url"]}

What else the source says of a part stands beside these members, but for files written out.

Shapes: the Messages API (Anthropic), Chat Completions and Responses (OpenAI), LibreChat's parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from chathistory.formats.base import Malformed

Block = dict[str, Any]

_TEXTS = frozenset({"text", "input_text", "output_text", "refusal", "error", "summary_text"})
_REASONING = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_text", "think"})
_CALLS = frozenset({"tool_use", "tool_call", "server_tool_use", "mcp_tool_use"})
_FILES = ("image", "document", "file", "audio", "video", "attachment", "drive", "inline")
_WORDS = ("text", "think", "thinking", "value", "content", "summary", "output", "result", "error")
_CALL = ("name", "arguments", "input", "args", "action", "function", "tool_call")
_NAMES = ("file_name", "filename", "name", "title", "display_name", "file_id", "fileId", "id")
_LONG = 2_000  # characters: an address, not a file written out
#: What says nothing to people.
_SILENT = frozenset({"type", "signature", "encrypted_content", "cache_control"})
_BYTES = ("data", "file_data", "b64_json", "result")
_NOTHING: tuple[Any, ...] = (None, "", [], {})


class Said:
    """The words of a message, its blocks, and the names of the files that came with it."""

    def __init__(self, text: str = "", blocks: Iterable[Block] = ()) -> None:
        """Begin with these."""
        self._texts = [text] if text else []
        self.blocks = list(blocks)

    def add(self, text: str) -> None:
        """Put more words behind those there are."""
        self._texts += [text] if text else []

    @property
    def text(self) -> str:
        """The words."""
        if len(self._texts) > 1:
            self._texts = ["\n\n".join(self._texts)]
        return self._texts[0] if self._texts else ""

    @text.setter
    def text(self, text: str) -> None:
        self._texts = [text] if text else []

    @property
    def names(self) -> list[str]:
        """The names of the files."""
        files = (block for block in self.blocks if block["type"] == "attachment")
        return [file["name"] for file in files if file["name"]]

    @property
    def shown(self) -> str:
        """The words; of a message without any those of its blocks, as nothing may be hidden."""
        return self.text or "\n\n".join(filter(None, map(_shown, self.blocks)))


def read(content: Any, path: str) -> Said:
    """Return what a message's content says; Malformed where it is no text, list or object."""
    said = Said()
    if isinstance(content, str):
        said.text = content
    elif isinstance(content, dict):
        _take(said, content)
    elif isinstance(content, list):
        for index, part in enumerate(content):
            if isinstance(part, str):
                said.add(part)
            elif isinstance(part, dict):
                _take(said, part)
            elif part is not None:
                raise Malformed(f"{path}[{index}]", "is neither text nor an object")
    elif content is not None:
        raise Malformed(path, "is neither text nor a list of parts")
    return said


def words(value: Any) -> str:
    """Return the words of a text, of a list of parts, or of a part, wherever it keeps them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n\n".join(filter(None, map(words, value)))
    if isinstance(value, dict):
        return next(filter(None, (words(value.get(key)) for key in _WORDS)), "")
    return ""


def reasoning(text: str) -> Block:
    """Return the block of what a model thought."""
    return {"type": "reasoning", "text": text}


def tool_call(name: Any, arguments: Any, identity: Any = None) -> Block:
    """Return the block of a call of a tool."""
    return {"type": "tool_call", "id": identity, "name": name, "arguments": arguments}


def tool_result(output: Any, identity: Any = None, *, is_error: Any = None) -> Block:
    """Return the block of what a tool answered: its words, or what it is where it is more."""
    said = words(output) if _is_plain(output) else _slim(output)
    block = {"type": "tool_result", "id": identity, "output": said}
    return block | ({"is_error": True} if is_error is True else {})


def attachment(file: Any, kind: str = "file", text: Any = None) -> Block:
    """Return the block of a file: what it is called and what was read in it, not its bytes."""
    about = file if isinstance(file, dict) else {"name": file}
    names = (about.get(key) for key in _NAMES)
    name = next((name for name in names if isinstance(name, str) and name), "")
    block: Block = {"type": "attachment", "kind": kind, "name": name}
    more = {
        "media_type": _first(about, "file_type", "media_type", "mimeType", "mime_type", "type"),
        "size": _first(about, "file_size", "size", "bytes"),
        "text": text if isinstance(text, str) else None,
        "url": _address(about),
    }
    return block | {key: item for key, item in more.items() if item not in (None, "")}


def calls(values: Any) -> list[Block]:
    """Return the blocks of a message's `tool_calls` (Chat Completions), as far as they are such."""
    found = values if isinstance(values, list) else [values]
    return [_call(value) for value in found if isinstance(value, dict)]


def _take(said: Said, part: Block) -> None:
    kind = part.get("type")
    if not isinstance(kind, str):
        kind = "text" if isinstance(part.get("text"), str) else "part"
    if kind in _TEXTS:
        said.add(words(part))
        if more := _rest(part, *_WORDS):
            said.blocks.append({**more, "type": kind})
    elif kind in _REASONING:
        said.blocks.append(_rest(part, *_WORDS) | reasoning(words(part)))
    elif kind in _CALLS or kind.endswith("_call"):
        said.blocks += _call_and_answer(part)
    elif kind.endswith(("_result", "_output")):
        said.blocks.append(_result(part))
    elif any(name in kind for name in _FILES):
        said.blocks.append(_file(part, kind))
    else:
        said.add(part["text"] if isinstance(part.get("text"), str) else "")
        said.blocks.append({**_slim(part), "type": kind})


def _rest(part: Block, *taken: str) -> Block:
    """What a part says beside what was taken from it."""
    left = {key: item for key, item in part.items() if key not in _SILENT and key not in taken}
    left = {key: item for key, item in left.items() if not _is_file(key, item)}
    return {key: _slim(item) for key, item in left.items() if item not in _NOTHING}


def _slim(value: Any) -> Any:
    """The same without files that are written out in it."""
    if isinstance(value, str):
        return "" if len(value) > _LONG and value.startswith("data:") else value
    if isinstance(value, list):
        return [_slim(item) for item in value]
    if isinstance(value, dict):
        return {key: _slim(item) for key, item in value.items() if not _is_file(key, item)}
    return value


def _is_file(key: str, value: Any) -> bool:
    """Whether it is a file in base64: long, and without a space."""
    if key not in _BYTES or not isinstance(value, str) or len(value) <= _LONG:
        return False
    return " " not in value[:_LONG]


def _is_plain(output: Any) -> bool:
    """Whether words are all there is."""
    if isinstance(output, list):
        return all(map(_is_plain, output))
    if isinstance(output, dict):
        return not _rest(output, "text") and isinstance(output.get("text"), str)
    return isinstance(output, str)


def _call(part: Block) -> Block:
    """A call, whose name and arguments stand in it or one level deeper."""
    inner = next((part[key] for key in ("function", "tool_call") if key in part), part)
    inner = inner if isinstance(inner, dict) else part
    arguments = _first(inner, "arguments", "input", "args", "action")
    identity = _first(part, "call_id", "id") or _first(inner, "call_id", "id")
    call = tool_call(_first(inner, "name") or part.get("type"), arguments, identity)
    return _rest(part, *_CALL) | call


def _call_and_answer(part: Block) -> list[Block]:
    """A call; LibreChat keeps the answer in it."""
    call = _call(part)
    inner = part.get("tool_call")
    if isinstance(inner, dict) and inner.get("output") not in (None, ""):
        return [call, tool_result(inner["output"], call["id"])]
    return [call]


def _result(part: Block) -> Block:
    identity = _first(part, "tool_use_id", "call_id", "tool_call_id", "id")
    output = _first(part, "content", "output", "result")
    rest = _rest(part, "content", "output", "result", "is_error")
    return rest | tool_result(output, identity, is_error=part.get("is_error"))


def _file(part: Block, kind: str) -> Block:
    inner = next((item for item in part.values() if isinstance(item, dict)), {})
    file = attachment({**inner, **part, "type": None, "url": _address(part)}, kind)
    return _rest(part, "url", "image_url") | file


def _address(part: Block) -> str | None:
    """Where a file lies, unless that is the file itself written out."""
    inner = _first(part, "url", "image_url", "uri", "file_url")
    url = inner.get("url") if isinstance(inner, dict) else inner
    fits = isinstance(url, str) and len(url) <= _LONG and not url.startswith("data:")
    return url if fits else None


def _first(part: Block, *keys: str) -> Any:
    return next((part[key] for key in keys if part.get(key) is not None), None)


def _shown(block: Block) -> str:
    kind = block["type"]
    if kind == "tool_call":
        given = block["arguments"]
        said = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        return f"{block['name']}({'' if given is None else said})"
    if kind == "tool_result":
        output = block["output"]
        return words(output) or ("" if output is None else json.dumps(output, ensure_ascii=False))
    return block["text"] if kind == "reasoning" else ""
