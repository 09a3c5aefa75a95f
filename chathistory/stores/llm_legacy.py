"""The logs.db of `llm` before 0.32: conversations of responses, each with its prompt.

`conversations{id, name, model}` and `responses{id, model, prompt, system, prompt_json,
options_json, response, response_json, conversation_id, duration_ms, datetime_utc, …}`; fragments
stand before a prompt; tools have `tool_calls` and `tool_results` by response. Newer releases keep
these tables and leave them empty; what they brought over is read as a thread.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import partial
from typing import Any

from chathistory.stores import llm, shape
from chathistory.stores.database import Database
from chathistory.stores.grouping import Chat

_CONVERSATION = ("id", "name", "model")
_NEEDED = (
    *("id", "model", "prompt", "system", "prompt_json", "options_json", "response"),
    *("response_json", "conversation_id", "duration_ms", "datetime_utc"),
)
_LATER = ("input_tokens", "output_tokens", "resolved_model", "reasoning")
_CALL = ("name", "arguments", "tool_call_id")
_RESULT = ("name", "output", "tool_call_id")


def chats(database: Database) -> Iterator[Chat]:
    """Yield the conversations, and each response that is in none. Raises Refused."""
    if not (database.has("conversations", _CONVERSATION) and database.has("responses", _NEEDED)):
        return
    log, known = _Log(database), llm.threads(database)
    for key, rows in log.conversations():
        name = key if isinstance(key, str) else None
        if name not in known:
            yield Chat(f"conversations[id={key!r}]", name, partial(log.conversation, key, rows))


class _Log:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._files = llm.Files(database)
        held = database.tables["responses"]
        self._columns = (*_NEEDED, *(name for name in _LATER if name in held))
        self._calls = self._tools("tool_calls", _CALL)
        self._results = self._tools("tool_results", _RESULT)
        self._named = {key: row for row, key in database.rows("conversations", "id")}

    def _tools(self, table: str, columns: tuple[str, ...]) -> dict[Any, array[int]]:
        if not self._database.has(table, ("response_id", *columns)):
            return {}
        return llm.rows_by(self._database, table, "response_id")

    def conversations(self) -> Iterator[tuple[Any, array[int]]]:
        """Yield ids with the rows of their responses; of a response that is alone its own."""
        found: dict[Any, array[int]] = {}
        for row, key, alone in self._database.rows("responses", "conversation_id", "id"):
            found.setdefault(alone if key is None else key, array("q")).append(row)
        yield from found.items()

    def conversation(self, key: Any, rows: array[int]) -> dict[str, Any]:
        """Return one conversation as a session. Raises Wrong."""
        where = f"conversations[id={key!r}]"
        about = (
            self._database.row("conversations", self._named[key], *_CONVERSATION)
            if (key in self._named)
            else (key, None, None)
        )
        responses = [
            (
                row,
                dict(
                    zip(
                        self._columns,
                        self._database.row("responses", row, *self._columns),
                        strict=True,
                    )
                ),
            )
            for row in rows
        ]
        responses.sort(key=lambda one: shape.moment(one[1]["datetime_utc"]) or "")
        messages: list[dict[str, Any]] = []
        system = ""
        for row, response in responses:
            path = f"responses[{row}]"
            told = self._system(response, path)
            messages += self._asked(response, path, told if told != system else "")
            messages.append(self._answer(response, path))
            system = told or system
        return {
            "session_id": shape.words(key, f"{where}.id"),
            "title": shape.maybe(about[1], f"{where}.name") or None,
            "metadata": shape.compact(model=shape.maybe(about[2], f"{where}.model")),
            "messages": messages,
        }

    def _system(self, response: dict[str, Any], path: str) -> str:
        texts = self._files.fragments("system_fragments", response["id"])
        return "\n".join(filter(None, [*texts, shape.maybe(response["system"], f"{path}.system")]))

    def _asked(self, response: dict[str, Any], path: str, system: str) -> Iterator[dict[str, Any]]:
        """Yield what came before an answer: the system's prompt where it is new, tools, prompt."""
        key = shape.words(response["id"], f"{path}.id")
        stamp = shape.moment(response["datetime_utc"])
        if system:
            yield shape.message(f"{key}-system", "system", system, [], timestamp=stamp)
        for row in self._results.get(key, ()):
            yield self._result(row, stamp)
        texts = self._files.fragments("prompt_fragments", key)
        prompt = "\n".join(
            filter(None, [*texts, shape.maybe(response["prompt"], f"{path}.prompt")])
        )
        files = self._files.names("prompt_attachments", key)
        if prompt or files or key not in self._results:
            blocks = [shape.attachment(name) for name in files]
            about = shape.compact(attachments=files)
            name = f"{key}-prompt"
            yield shape.message(name, "user", prompt, blocks, timestamp=stamp, metadata=about)

    def _result(self, row: int, stamp: str | None) -> dict[str, Any]:
        path = f"tool_results[{row}]"
        name, output, call = self._database.row("tool_results", row, *_RESULT)
        said = shape.maybe(output, f"{path}.output")
        return shape.message(
            f"tool-result-{row}",
            "tool",
            "",
            [shape.tool_result(said, call)],
            author=shape.maybe(name, f"{path}.name"),
            timestamp=stamp,
        )

    def _answer(self, response: dict[str, Any], path: str) -> dict[str, Any]:
        key = shape.words(response["id"], f"{path}.id")
        blocks = [self._call(row) for row in self._calls.get(key, ())]
        if thought := shape.maybe(response.get("reasoning"), f"{path}.reasoning"):
            blocks.insert(0, shape.reasoning(thought))
        model = response.get("resolved_model") or response["model"]
        return shape.message(
            key,
            "assistant",
            shape.maybe(response["response"], f"{path}.response"),
            blocks,
            timestamp=shape.moment(response["datetime_utc"]),
            tokens=shape.tokens(response.get("output_tokens"), f"{path}.output_tokens"),
            metadata=shape.compact(
                model=shape.maybe(model, f"{path}.model"),
                duration_ms=response["duration_ms"],
                input_tokens=response.get("input_tokens"),
            ),
            raw=_raw(response, path),
        )

    def _call(self, row: int) -> dict[str, Any]:
        path = f"tool_calls[{row}]"
        name, arguments, call = self._database.row("tool_calls", row, *_CALL)
        given = None if arguments is None else shape.parsed(arguments, f"{path}.arguments")
        return shape.tool_call(name, given, call)


def _raw(response: dict[str, Any], path: str) -> dict[str, Any] | None:
    names = ("prompt_json", "options_json", "response_json")
    given = {
        name: shape.parsed(response[name], f"{path}.{name}")
        for name in names
        if response[name] is not None
    }
    return shape.compact(**given) or None
