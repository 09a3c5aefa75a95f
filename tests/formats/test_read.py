"""Recognising a file, and damaged ones of every kind: chats, Problems or a FormatError."""

from __future__ import annotations

import contextlib
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chathistory.formats import FORMATS, FormatError, read
from tests.formats.samples import conversation, fixture, forest, opened, sorted_out
from tests.formats.test_native import FOUNDING

CHATS = [conversation({"a": None, f"b{at}": "a"}) | {"id": f"c{at}"} for at in range(40)]
DATA = json.dumps(CHATS).encode()


def test_the_formats_are_named() -> None:
    assert {name: kind.items for name, kind in FORMATS.items()} == {
        "native": "sessions",
        "chatgpt": "conversations",
        "claude": "conversations",
        "openwebui": "chats",
        "librechat": "conversations",
        "aistudio": "prompts",
        "gemini": "records",
        "claude-code": "lines",
        "codex": "lines",
        "sharegpt": "chats",
        "chatbotui": "history",
        "openai": "items",
    }


def test_a_name_is_believed_in_nothing_but_repeated() -> None:
    assert len(list(read(opened(CHATS), name="photo.png"))) == 40
    with pytest.raises(FormatError, match=r"^conversations\.json: The file is a PNG image"):
        list(read(opened(b"\x89PNG\r\n"), name="conversations.json"))


def test_the_first_item_need_not_be_a_chat() -> None:
    chats, problems = sorted_out([{"id": "odd"}, *CHATS[:2]])
    assert [one.id for one in chats] == ["c0", "c1"]
    assert [one.where for one in problems] == ["conversations[0].mapping"]


def test_other_json_is_refused_with_what_is_known() -> None:
    for name in ("catalog.json", "representatives/corpus-manifest.json"):
        with pytest.raises(FormatError, match="our own JSON or JSONL, ChatGPT"):
            list(read(fixture(f"polylogue/schemas/chatgpt/{name}")))


@pytest.mark.parametrize("part", range(1, 50))
def test_a_file_cut_at_any_fiftieth_gives_every_whole_chat(part: int) -> None:
    data = DATA[: len(DATA) * part // 50]
    whole = data.count(b'"current_node": "b')
    if not whole:
        with pytest.raises(FormatError, match="cut off"):
            sorted_out(data)
        return
    chats, problems = sorted_out(data)
    assert len(chats) in (whole, whole - 1)
    assert [one.id for one in chats] == [f"c{at}" for at in range(len(chats))]
    assert len(problems) == 1
    assert problems[0].where == f"conversations[{len(chats)}]"
    assert "cut off" in problems[0].reason


def test_a_real_file_cut_anywhere_never_crashes() -> None:
    data = fixture("librechat/chatgpt-export.json").read()
    for part in range(50):
        try:
            chats, problems = sorted_out(data[: len(data) * part // 50])
        except FormatError:
            continue
        assert (len(chats), len(problems)) == (1, 1)


SEEDS = [json.dumps(value).encode() for value in ([forest()], FOUNDING, CHATS[:3], [FOUNDING] * 2)]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SEEDS), st.randoms(use_true_random=False))
def test_damage_of_any_kind_is_an_answer_not_a_crash(seed: bytes, chance: random.Random) -> None:
    data = bytearray(seed)
    for _ in range(chance.randint(1, 6)):
        start = chance.randrange(len(data))
        end = start + chance.choice([0, 1, 1, 1, 40])
        data[start:end] = chance.choice(
            [b"", b"null", b'"', b"[", b"}", b"\xff", b"1e999", b"\\", b"{}"]
        )
    with contextlib.suppress(FormatError):
        sorted_out(bytes(data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def paths(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """List the places inside a JSON value."""
    inside: list[tuple[str | int, object]] = []
    if isinstance(value, dict | list):
        inside = list(value.items() if isinstance(value, dict) else enumerate(value))
    return [path, *(deep for key, inner in inside for deep in paths(inner, (*path, key)))]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([forest(), FOUNDING]), st.data(), JSON)
def test_any_value_in_any_place_is_an_answer_not_a_crash(
    seed: dict[str, object], data: st.DataObject, value: object
) -> None:
    copy = [json.loads(json.dumps(seed)), json.loads(json.dumps(seed))]
    path = data.draw(st.sampled_from(paths(copy[0])[1:]))
    target = copy[0]
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    if "NaN" in json.dumps(copy) or "Infinity" in json.dumps(copy):
        return
    chats, problems = sorted_out(copy)
    assert len(chats) + len(problems) == 2
