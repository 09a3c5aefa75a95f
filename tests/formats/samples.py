"""Files of chats, built here, and the way to real ones beside the project."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from chathistory.formats import Problem, Transcript, read

FIXTURES = Path(__file__).parents[2].parent / "shared/fixtures"


def fixture(name: str) -> BinaryIO:
    """Open a real file; the test is skipped, saying so, where the folder is not there."""
    if not FIXTURES.is_dir():
        pytest.skip("no folder shared/fixtures beside the project: real exports are kept there")
    return io.BytesIO((FIXTURES / name).read_bytes())


def opened(value: Any) -> BinaryIO:
    """Return a file of bytes, of text, or of a value's JSON."""
    if isinstance(value, bytes):
        return io.BytesIO(value)
    text = value if isinstance(value, str) else json.dumps(value)
    return io.BytesIO(text.encode())


def sorted_out(value: Any) -> tuple[list[Transcript], list[Problem]]:
    """Read a whole file: the chats, and the problems."""
    results = list(read(value if hasattr(value, "read") else opened(value)))
    chats = [result for result in results if isinstance(result, Transcript)]
    return chats, [result for result in results if isinstance(result, Problem)]


def chat(value: Any) -> Transcript:
    """Return the one chat of a file that has no problems."""
    chats, problems = sorted_out(value)
    assert not problems
    assert len(chats) == 1
    return chats[0]


def message(text: str, role: str = "user", **more: Any) -> dict[str, Any]:
    """Return a ChatGPT message."""
    content = {"content_type": "text", "parts": [text]}
    return {"author": {"role": role, "name": None}, "content": content, "create_time": None, **more}


def conversation(links: Mapping[str, str | None], empty: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a ChatGPT conversation with these parents; the nodes in `empty` have no message."""
    mapping: dict[str, Any] = {}
    for index, (key, parent) in enumerate(links.items()):
        said = message(f"text of {key}", create_time=1.7e9 + index)
        kids = [child for child, above in links.items() if above == key]
        mapping[key] = {
            "id": key,
            "message": None if key in empty else said,
            "parent": parent,
            "children": kids,
        }
    return {"title": "T", "id": "c-1", "mapping": mapping, "current_node": list(links)[-1]}


def forest() -> dict[str, Any]:
    """Two roots, five branch points, an empty node in the middle, hidden and tool nodes."""
    links: dict[str, str | None] = {
        "root": None,
        "system": "root",
        "ask": "system",
        "a1": "ask",
        "a2": "ask",
        "a3": "ask",
        "gap": "a1",
        "b1": "gap",
        "b2": "gap",
        "c1": "b1",
        "c2": "b1",
        "d": "c2",
        "e1": "d",
        "e2": "d",
        "other": None,
        "f1": "other",
        "f2": "other",
        "g": "f2",
    }
    made = conversation(links, empty=("root", "gap"))
    hidden = made["mapping"]["b1"]["message"]
    hidden["metadata"] = {"is_visually_hidden_from_conversation": True}
    hidden["author"] = {"role": "tool", "name": "browser"}
    made["current_node"] = "e2"
    return made


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip of these files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()
