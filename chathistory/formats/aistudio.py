"""Reader of Google AI Studio's prompts, as they lie in Google Drive: one chat a file.

`{runSettings{model}, systemInstruction{text | parts[]}, chunkedPrompt{chunks[], pendingInputs[]}}`
where a chunk is `{role, text, isThought, tokenCount, createTime, driveDocument{id},
inlineFile{mimeType, data}, …}`. The title is only the file's name. Google does not document it;
from readers of real files.
"""

from __future__ import annotations

from typing import Any

from chathistory.formats import loose, parts
from chathistory.formats.base import Malformed, Transcript, Turn
from chathistory.formats.parts import Said
from chathistory.formats.times import from_epoch

_FILES = ("drive", "inline", "youtube", "file")  # what the members that are files begin with


def recognises(value: Any, header: dict[str, Any]) -> bool:
    """Tell whether `value` is a prompt: an object with a `chunkedPrompt`."""
    return isinstance(value, dict) and isinstance(value.get("chunkedPrompt"), dict)


def read(value: Any, where: str) -> Transcript:
    """Return one prompt; Malformed names the field that is not as it must be."""
    value = loose.need_object(value, where)
    prompt = loose.need_object(value.get("chunkedPrompt"), f"{where}.chunkedPrompt")
    turns = _turns(value, prompt, where)
    about = {key: item for key, item in value.items() if key != "chunkedPrompt"}
    about |= {key: item for key, item in prompt.items() if key != "chunks"}
    model = _model(value)
    return Transcript(
        origin="aistudio",
        id=_identity(value, prompt),
        turns=loose.chain(turns),
        metadata=loose.chat_about("aistudio", about, model),
        where=where,
    )


def _identity(value: dict[str, Any], prompt: dict[str, Any]) -> str:
    """A digest of the first chunk that has a time, or of the first, which a longer file repeats."""
    chunks = prompt["chunks"]
    timed = (chunk for chunk in chunks if chunk.get("createTime"))
    return loose.digest(next(timed, chunks[0] if chunks else value))


def _model(value: dict[str, Any]) -> str | None:
    model = loose.text(loose.mapping(value.get("runSettings")).get("model"))
    return model and model.removeprefix("models/")


def _turns(value: dict[str, Any], prompt: dict[str, Any], where: str) -> list[Turn]:
    path = f"{where}.chunkedPrompt.chunks"
    chunks = loose.objects(prompt.get("chunks"), path)
    turns = [_turn(one, _model(value), f"{path}[{at}]") for at, one in enumerate(chunks)]
    given = value.get("systemInstruction")
    if said := parts.words(given) or parts.words(loose.mapping(given).get("parts")):
        turns.insert(0, loose.turn("", None, "system", Said(said), loose.mapping(given)))
    return turns


def _turn(chunk: dict[str, Any], model: str | None, path: str) -> Turn:
    who = loose.role(chunk.get("role"))
    turn = loose.turn(
        "",
        None,
        who,
        _said(chunk, path),
        chunk,
        model=model if who == "assistant" else None,
        finish_reason=loose.text(chunk.get("finishReason")),
    )
    turn.created = from_epoch(chunk.get("createTime"))
    turn.tokens = loose.count(chunk.get("tokenCount"))
    turn.status = "failed" if chunk.get("errorMessage") and not turn.content else "complete"
    return turn


def _said(chunk: dict[str, Any], path: str) -> Said:
    given = chunk.get("text")
    if given is not None and not isinstance(given, str):
        raise Malformed(f"{path}.text", "is not text")
    text = given or parts.words(chunk.get("parts")) or ""
    said = Said(text)
    if chunk.get("isThought") is True and text:
        said = Said("", [parts.reasoning(text)])
    for key, item in chunk.items():
        if isinstance(item, dict):
            said.blocks += _block(key, item)
    return said


def _block(key: str, item: dict[str, Any]) -> list[parts.Block]:
    if key.startswith(_FILES):
        return [parts.attachment(item, key)]
    if key in ("executableCode", "functionCall"):
        given = item.get("code", item.get("args", item.get("parameters")))
        return [parts.tool_call(item.get("name") or item.get("language") or key, given)]
    if key in ("codeExecutionResult", "functionResponse"):
        return [parts.tool_result(item.get("output", item.get("response", item)))]
    return []
