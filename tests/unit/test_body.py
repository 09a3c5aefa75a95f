"""A message's body as bytes: whatever it holds comes back, and its text is there once."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chathistory.packed import content_of
from chathistory.records import Body, unpack

TEXT = "what was said, long enough to be worth it " * 4
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "repeats", TEXT, TEXT[1:]]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=3)


@given(st.sampled_from([TEXT, "short", ""]), st.lists(OBJECTS, max_size=2), OBJECTS, OBJECTS)
def test_it_comes_back_as_it_was(
    content: str, some: list[dict[str, Any]], metadata: dict[str, Any], raw: dict[str, Any]
) -> None:
    body = Body(content, some, metadata, raw or None, "someone")
    before = repr(body)
    packed = body.pack()
    assert asdict(unpack(packed)) == asdict(body)
    assert repr(body) == before
    assert content_of(packed) == content


@pytest.mark.parametrize(
    "raw",
    [
        {"from": "human", "value": TEXT},
        {"content": {"parts": ["first", TEXT]}, "text": TEXT},
        {"repeats": [[TEXT]], "a": [{"b": TEXT}]},
    ],
)
def test_what_a_provider_says_again_is_not_kept_again(raw: dict[str, Any]) -> None:
    packed = Body(TEXT, raw=raw, blocks=[{"type": "tool_result", "output": TEXT}]).pack()
    assert packed.count(TEXT.encode()) == 1
    assert unpack(packed).raw == raw
    assert unpack(packed).blocks == [{"type": "tool_result", "output": TEXT}]
