"""Files made to take long: each is read in a moment, or refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from chathistory.formats import FormatError
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
