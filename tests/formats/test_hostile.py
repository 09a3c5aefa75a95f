"""Files made to take long: each is read in a moment, or refused."""

from __future__ import annotations

import contextlib
import itertools
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from chathistory.formats import FORMATS, FormatError
from chathistory.formats.jsonstream import JsonStream
from chathistory.formats.registry import ARRAYS
from tests.formats import kinds
from tests.formats.samples import sorted_out

MANY = 30_000


def webui(content: str, **more: Any) -> bytes:
    node = {"id": "a", "role": "assistant", "content": content, **more}
    history = {"currentId": "a", "messages": {"a": node}}
    return json.dumps([{"id": "c", "chat": {"history": history}}]).encode()


def gemini(html: str) -> bytes:
    return json.dumps([kinds.GEMINI[0] | {"safeHtmlItem": [{"html": html}]}]).encode()


def claude(content: Any) -> bytes:
    item = {"uuid": "m", "sender": "human", "content": content, "text": ""}
    return json.dumps([{"uuid": "c", "chat_messages": [item]}]).encode()


def log(*values: Any) -> bytes:
    return kinds.lines(*values)


PROGRESS = [
    {"type": "progress", "uuid": f"p{at}", "parentUuid": f"p{at - 1}", "sessionId": "s"}
    for at in range(MANY)
]
SAID = [
    {"type": "user", "uuid": f"u{at}", "parentUuid": f"p{MANY - 1}", "sessionId": "s"}
    | {"message": {"role": "user", "content": "x"}}
    for at in range(MANY)
]
FILES = {
    "details that do not end": webui('<details type="reasoning">' * MANY),
    "details": webui('<details type="reasoning">a</details>' * MANY),
    "details said twice": webui('<details type="reasoning">a</details>' * MANY, output=[]),
    "a tag that does not end": webui("<details " + "a" * 1_000_000),
    "attributes": webui("<details " + "a" * 1_000_000 + "></details>"),
    "a summary of spaces": webui('<details type="reasoning">' + " " * 1_000_000 + "</details>"),
    "spaces": gemini("<p>" + " " * 1_000_000 + "x"),
    "empty lines": gemini("<br>" * 100_000 + " \n" * 100_000),
    "a name that does not end": gemini("<" + "a" * 1_000_000),
    "tags that do not end": gemini("<a " * 300_000),
    "entities": gemini("&" * 500_000 + "&#" * 100_000),
    "parts": claude([{"type": "text", "text": "x"}] * 100_000),
    "strings": claude(["x"] * 100_000),
    "results in results": claude(
        [{"type": "tool_result", "content": json.loads("[" * 90 + "]" * 90)}]
    ),
    "one id": json.dumps([{"uuid": "c", "chat_messages": [{"uuid": "m"}] * MANY}]).encode(),
    "ids like ours": json.dumps(
        [
            {
                "uuid": "c",
                "chat_messages": [{"uuid": f"m~{at}"} for at in range(MANY)]
                + [{"uuid": "m"}] * MANY,
            }
        ]
    ).encode(),
    "a long way up": log(*PROGRESS, *SAID),
    "a circle upwards": log({**PROGRESS[0], "parentUuid": f"p{MANY - 1}"}, *PROGRESS[1:], *SAID),
    "sessions": log(*({**SAID[0], "sessionId": f"s{at}", "uuid": f"v{at}"} for at in range(MANY))),
    "roots": json.dumps(
        {
            "conversationId": "c",
            "messages": [{"messageId": f"m{at}", "text": ""} for at in range(MANY)],
        }
    ).encode(),
    "unlike items": json.dumps([{"a": at} for at in range(100_000)]).encode(),
    "problems": b"[" + b"{]," * 20_000,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", FILES)
def test_it_takes_a_moment(name: str) -> None:
    """What grew with the square would take minutes, and hours for a file that may be uploaded."""
    with contextlib.suppress(FormatError):
        sorted_out(FILES[name])


class Endless:
    """A file without an end, made as it is read."""

    def __init__(self, make: Callable[[int], bytes]) -> None:
        self._make, self._number, self._waiting = make, 0, b""

    def read(self, size: int, /) -> bytes:
        """Return so many bytes."""
        while len(self._waiting) < size:
            self._waiting += self._make(self._number)
            self._number += 1
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        return data


def _shared(number: int) -> bytes:
    said = [{"from": "human", "value": "x" * 500}] * 8
    return kinds.lines({"id": str(number), "conversations": said})


def _logged(number: int) -> bytes:
    uuid, above = f"u{number}", f"u{number - 1}" if number % 50 else None
    return kinds.lines(
        {"type": "user", "uuid": uuid, "parentUuid": above, "sessionId": f"s{number // 50}"}
        | {"message": {"role": "user", "content": "x" * 500}}
    )


@pytest.mark.parametrize("make", [_shared, _logged])
def test_memory_holds_a_chat_and_not_the_file(make: Callable[[int], bytes]) -> None:
    stream = JsonStream(Endless(make), ARRAYS)
    items = iter(stream)
    kind = FORMATS["sharegpt" if make is _shared else "claude-code"]
    found = kind.gather(items)
    for _ in range(20):  # what is kept for good is there now
        next(found)
    tracemalloc.start()
    count = sum(1 for _ in itertools.islice(found, 400))
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 400
    assert peak < 4 << 20
