"""The items of a JSON file in any state: what is whole comes out, the rest is named."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chathistory.formats.base import FormatError, Problem
from chathistory.formats.jsonstream import MAX_PROBLEMS, Item, JsonStream
from chathistory.formats.jsonvalue import MAX_ITEM
from tests.formats.samples import opened

GOOD = {"id": "one", "title": "x", "body": [1, {"id": "two"}]}
LAST = {"id": "three", "title": "z", "body": []}


def items(data: Any, max_item: int = MAX_ITEM) -> tuple[list[Any], list[Problem]]:
    """Return the values and the problems of a whole file."""
    results = list(JsonStream(opened(data), max_item=max_item))
    values = [result.value for result in results if isinstance(result, Item)]
    return values, [result for result in results if isinstance(result, Problem)]


class Trickle(io.BytesIO):
    """A file that gives little at a time, as sockets and zips do."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Give at most seven bytes."""
        return super().read(min(7, size or 7))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(VALUES), st.booleans(), st.sampled_from([None, 1]))
def test_a_list_gives_what_the_standard_library_gives(
    values: list[Any], plain: bool, indent: int | None
) -> None:
    text = json.dumps(values, ensure_ascii=plain, indent=indent)
    assert items(text) == (values, [])


@given(st.dictionaries(st.text(), VALUES))
def test_an_object_is_one_item(value: dict[str, Any]) -> None:
    value.pop("sessions", None)
    assert items(value) == ([value], [])


def test_an_objects_long_list_is_streamed_and_the_rest_is_the_header() -> None:
    stream = JsonStream(opened({"format": "f", "sessions": [1, 2], "version": 1}))
    assert [item.value for item in stream if isinstance(item, Item)] == [1, 2]
    assert stream.header == {"format": "f", "version": 1}


def test_json_lines() -> None:
    values, problems = items('{"a":1}\n{"a":2}\n{"a":tru}\n\n{"a":NaN}\n{"a":"é"}\n')
    assert values == [{"a": 1}, {"a": 2}, {"a": "é"}]
    assert [problem.where for problem in problems] == ["[2]", "[3]"]


DOCUMENT = json.dumps(
    [{"title": 'a😀"\\é', "n": -12.5e30, "t": [True, False, None, -1]}, {"title": "b", "é": {}}],
    ensure_ascii=False,
).encode()


@pytest.mark.parametrize("size", range(1, len(DOCUMENT)))
def test_a_cut_at_any_byte_is_said_to_be_one(size: int) -> None:
    whole = json.loads(DOCUMENT)
    values, problems = items(DOCUMENT[:size])
    assert values == whole[: len(values)]
    assert [problem.where for problem in problems] == [f"[{len(values)}]"]
    assert f"cut off: the file ends at byte {size}" in problems[0].reason


def test_reading_in_trickles_changes_nothing() -> None:
    results = list(JsonStream(Trickle(DOCUMENT)))
    assert results == [Item(at, value) for at, value in enumerate(json.loads(DOCUMENT))]


BROKEN = {
    "nan": ('"title":"y","body":NaN', "holds NaN"),
    "infinity": ('"title":"y","body":[-Infinity]', "holds -Infinity"),
    "twice": ('"title":"y","body":{"a":1,"b":2,"a":1}', "the name 'a' twice"),
    "too large": ('"title":"y","body":-1e999', "too large a number"),
    "deep": ('"title":"y","body":' + "[" * 300 + "]" * 300, "nested more than 200"),
    "deeper": ('"title":"y","body":' + '{"a":' * 90_000 + "1" + "}" * 90_000, "nested more than"),
    "digits": ('"title":"y","body":' + "9" * 5000, "more digits than"),
    "literal": ('"title":"y","body":tru', "not JSON at byte"),
    "quote": ('"title":"y","body":"a"b"', "not JSON at byte"),
    "escape": (r'"title":"y","body":"\x"', "not JSON at byte"),
    "unclosed": ('"title":"y","body":[1, 2', "not JSON at byte"),
    "closed twice": ('"title":"y","body":[]]}', "not JSON at byte"),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_broken_item_is_named_and_its_neighbours_come_in(kind: str, before: int) -> None:
    inside, reason = BROKEN[kind]
    rows = [json.dumps(GOOD)] * before + ['{"id":"bad",' + inside + "}", json.dumps(LAST)]
    values, problems = items(f"[{', '.join(rows)}]")
    assert values == [GOOD] * before + [LAST]
    assert [(one.where, one.id, one.title) for one in problems] == [(f"[{before}]", "bad", "y")]
    assert reason in problems[0].reason


FIRST = {
    "a part": '{"session_id":"s","messages":[{"role":]}]}',
    "the name of a part too": '{"session_id":"s","messages":[{"session_id":"m","role":"u"},{]}',
    "parts of its names": '{"session_id":"s","title":"t","messages":[{"session_id":"m"},{]}',
    "a list at once": '{"messages":[{"role":]}],"session_id":"s"}',
}


@pytest.mark.parametrize("kind", FIRST)
def test_behind_a_broken_first_item_its_neighbours_come_in_and_no_part_of_it(kind: str) -> None:
    good: dict[str, Any] = {"session_id": "a", "title": "b", "messages": [{"session_id": "m"}]}
    if FIRST[kind].startswith('{"messages"'):
        good = dict(reversed(good.items()))
    text = json.dumps(good)
    values, problems = items(f"[{FIRST[kind]},{text},{text}]")
    assert values == [good, good]
    assert [(one.where, "were skipped" in one.reason) for one in problems] == [("[0]", True)]


def test_a_stretch_that_was_lost_costs_only_the_items_it_touched() -> None:
    rows = [
        json.dumps({"id": f"i{at}", "title": "t", "body": [{"id": "x"}] * 9}) for at in range(9)
    ]
    text = f"[{','.join(rows)}]"
    start, end = text.index('"i3"') + 30, text.index('"i5"') + 60
    values, problems = items(text[:start] + text[end:])
    assert [value["id"] for value in values] == ["i0", "i1", "i2", "i6", "i7", "i8"]
    assert "were skipped" in problems[0].reason


def test_bytes_that_are_not_utf8_cost_only_their_item() -> None:
    rows = [json.dumps(GOOD).encode(), '{"id":"bad","title":"é"}'.encode("latin-1"), b'{"id":"c"}']
    values, problems = items(b"[" + b",".join(rows) + b"]")
    place = len(rows[0]) + len('[,{"id":"bad","title":"')
    assert values == [GOOD, {"id": "c"}]
    assert problems[0].reason == f"is not UTF-8 at byte {place}"


def test_lone_surrogates_and_control_characters_survive() -> None:
    assert items(r'["\ud800", "\udc80x", "\u0000"]') == (["\ud800", "\udc80x", "\0"], [])
    assert items('["a\nb\tc"]') == (["a\nb\tc"], [])


def test_of_two_equal_names_none_is_chosen() -> None:
    values, problems = items('[{"a":1,"a":2},{"a":3}]')
    assert values == [{"a": 3}]
    assert [problem.reason for problem in problems] == ["holds the name 'a' twice in one object"]


def test_a_bom_is_no_obstacle() -> None:
    assert items(b"\xef\xbb\xbf[1]") == ([1], [])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_refused_by_name(encoding: str) -> None:
    with pytest.raises(FormatError, match="UTF-16"):
        items("[1, 2]".encode(encoding))


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", "empty"), (b" \n", "empty"), (b"x", "not JSON")]
)
def test_what_is_no_json_at_all_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        items(data)


def test_text_behind_the_end_is_not_passed_over_in_silence() -> None:
    values, problems = items("[1] [2]")
    assert values == [1]
    assert "byte 4" in problems[0].reason


def test_an_item_too_large_is_named_and_left() -> None:
    large = {"id": "large", "title": "t", "body": ["x" * 900_000]}
    values, problems = items([GOOD, large, LAST], max_item=200_000)
    assert values == [GOOD, LAST]
    assert problems[0].id == "large"
    assert "longer than 200,000" in problems[0].reason


def test_memory_stays_small_however_long_the_file() -> None:
    row = json.dumps({"id": "x", "body": "word " * 2000}).encode()
    file = io.BytesIO(b"[" + b",".join([row] * 2000) + b"]")
    tracemalloc.start()
    try:
        assert sum(1 for _ in JsonStream(file)) == 2000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 << 20


def test_a_sound_item_with_a_bad_value_hides_no_neighbour_however_it_looks() -> None:
    values, problems = items('[{"id":"a"},{"id":"b","x":NaN},{"other":1},[2]]')
    assert values == [{"id": "a"}, {"other": 1}, [2]]
    assert [problem.reason for problem in problems] == ["holds NaN, which is not JSON"]


def test_a_large_item_is_tried_few_times() -> None:
    class Counted(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.reads += 1
            return super().read(size)

    file = Counted(b'["' + b"x" * (20 << 20) + b'"]')
    assert sum(1 for _ in JsonStream(file)) == 1
    assert file.reads < 20


def test_a_file_of_nothing_but_problems_ends_early() -> None:
    _, problems = items("[" + "x," * 20_000 + "1]")
    assert len(problems) == MAX_PROBLEMS + 1
    assert "the rest, from byte 20,000 on, was not read" in problems[-1].reason


HOSTILE = {
    "brackets": b"[" * 3_000_000,
    "objects": b'[{"a":' * 700_000,
    "strings": b'[{"a":1},' + b'{"a":"' * 500_000,
    "candidates": b'[{"a":1},{"a":[' + b'{"a":x' * 300_000,
    "escapes": b'["' + b"\\n" * 3_000_000,
    "bad bytes": b"[" + b'"\xff",' * 300_000,
    "commas": b"[" + b"," * 5_000_000,
    "colons": b"[" + b":" * 3_000_000,
    "quotes": b"[" + b'"' * 3_000_000,
    "lines": b'{"a":x\n' * 300_000,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", HOSTILE)
def test_no_file_takes_more_than_linear_time(kind: str) -> None:
    for _ in JsonStream(io.BytesIO(HOSTILE[kind])):
        pass


@pytest.mark.parametrize("filling", ["[],", "{},", '"ab",', "1.5,", '{"a": [1, 2]},'])
def test_an_item_of_very_many_values_is_refused_before_it_is_read(filling: str) -> None:
    good = json.dumps(GOOD)
    many = '{"id": "many", "title": "y", "body": [' + filling * 1_100_000 + "0]}"
    values, (problem,) = items(f"[{good}, {many}, {good}]".encode())
    assert values == [GOOD, GOOD]
    assert (problem.where, problem.id) == ("[1]", "many")
    assert problem.reason == "holds more than 1,000,000 values"


def test_a_text_of_very_many_brackets_is_one_value() -> None:
    value = {"id": "one", "title": "a[b], {c}," * 400_000, "body": []}
    assert items([value]) == ([value], [])
