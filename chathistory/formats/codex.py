"""Reader of Codex's session logs: `rollout-<time>-<session>.jsonl`, one line an item.

A line is `{timestamp, type, payload}`: `session_meta{id, cwd, …}`, `turn_context{model}`,
`response_item{type: message | reasoning | function_call | function_call_output | …}`, `compacted`,
and `event_msg`, which tells the same again for the screen and is only counted, unless the log has
nothing else. Logs of 2025's first half have the bare items instead. (openai/codex, `rollout`.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from chathistory.formats import loose, parts, sessionlog
from chathistory.formats.base import Malformed, Problem, Transcript, Turn
from chathistory.formats.jsonstream import Item
from chathistory.formats.parts import Said
from chathistory.formats.times import from_epoch

_ENVELOPES = frozenset({"session_meta", "turn_context", "response_item", "event_msg", "compacted"})
_BARE = frozenset({"message", "reasoning", "function_call", "function_call_output"})
_EVENTS = {"user_message": "user", "agent_message": "assistant", "agent_reasoning": "assistant"}


def recognises(value: Any, header: dict[str, Any]) -> bool:
    """Tell whether `value` is a line of a log: an envelope, or the beginning of an old one."""
    if not isinstance(value, dict):
        return False
    kind = value.get("type")
    if isinstance(kind, str) and kind in _ENVELOPES:
        return isinstance(value.get("payload"), dict)
    return _is_old_meta(value) or (kind in ("reasoning", "function_call") and "id" in value)


def _is_old_meta(line: dict[str, Any]) -> bool:
    return "type" not in line and {"id", "timestamp", "instructions"} <= line.keys()


def gather(items: Iterable[Item | Problem]) -> Iterator[Transcript | Problem]:
    """Yield each session of a log, and a Problem for each that is not whole."""
    return sessionlog.chats(items, _Chat)


class _Chat:
    """One session. Another's first line ends it, unless it is the one this was forked from."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._meta: dict[str, Any] | None = None
        self._model: str | None = None
        self._turns: list[Turn] = []
        self._events: list[Turn] = []
        self._others: Counter[str] = Counter()

    def follows(self, line: dict[str, Any]) -> bool:
        meta = _meta(line)
        if meta is None or self._meta is None:
            return True
        return meta.get("id") == self._meta.get("id") or bool(self._meta.get("forked_from_id"))

    def add(self, index: int, line: dict[str, Any], path: str) -> None:
        meta = _meta(line)
        if meta is not None:
            self._meta = self._meta or meta
            return
        kind = line.get("type")
        if not isinstance(kind, str):
            if "record_type" not in line:
                raise Malformed(f"{path}.type", "is missing or not text")
            kind = "state"
        payload = loose.need_object(line.get("payload", line), f"{path}.payload")
        moment = from_epoch(line.get("timestamp"))
        self._sort(index, kind, payload, moment, path)

    def _sort(
        self, index: int, kind: str, payload: dict[str, Any], moment: datetime | None, path: str
    ) -> None:
        said = payload.get("type")
        if kind == "turn_context":
            self._model = loose.text(payload.get("model")) or self._model
        elif kind == "response_item" or kind in _BARE:
            self._turns.append(_turn(index, payload, self._model, path))
        elif kind == "compacted":
            told = Said(loose.text(payload.get("message")) or "")
            self._turns.append(
                loose.turn(f"line-{index}", None, "system", told, payload, hidden=True)
            )
        elif kind == "event_msg" and isinstance(said, str) and said in _EVENTS:
            self._events.append(_event(index, payload, _EVENTS[said]))
        else:
            self._others[f"{kind}.{said}" if isinstance(said, str) else kind] += 1
            return
        for turns in (self._turns, self._events):
            if turns and turns[-1].id == f"line-{index}":
                turns[-1].created = moment

    def transcript(self) -> Transcript | None:
        turns = self._turns or self._events
        meta = self._meta or {}
        if not turns:
            return None
        repeated = {"event_msg": len(self._events)} if self._turns and self._events else {}
        about = {**meta, "other_lines": dict(self._others) | repeated}
        return Transcript(
            origin="codex",
            id=loose.text(meta.get("id")) or loose.digest([turn.raw for turn in turns[:2]]),
            created=from_epoch(meta.get("timestamp")) or turns[0].created,
            updated=turns[-1].created,
            turns=loose.chain(turns),
            metadata=loose.chat_about("codex", about, self._model),
            where=self._where,
        )


def _meta(line: dict[str, Any]) -> dict[str, Any] | None:
    if line.get("type") == "session_meta":
        return loose.mapping(line.get("payload"))
    return line if _is_old_meta(line) else None


def _turn(index: int, item: dict[str, Any], model: str | None, path: str) -> Turn:
    if item.get("type") == "message":
        said = parts.read(item.get("content"), f"{path}.content")
        who = loose.role(item.get("role"))
    else:
        said = parts.read([item], path)
        who = "tool" if [block["type"] for block in said.blocks] == ["tool_result"] else "assistant"
    model = model if who == "assistant" else None
    return loose.turn(f"line-{index}", None, who, said, item, model=model)


def _event(index: int, payload: dict[str, Any], who: str) -> Turn:
    told = loose.text(payload.get("message")) or loose.text(payload.get("text")) or ""
    thought = payload.get("type") == "agent_reasoning"
    said = Said("", [parts.reasoning(told)]) if thought and told else Said(told)
    return loose.turn(f"line-{index}", None, who, said, payload)
