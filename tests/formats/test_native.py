"""Our own JSON: what is written reads back the same, and what is wrong is named by its path."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chathistory.formats import FormatError, Transcript, Turn, native
from chathistory.formats.base import ROLES
from tests.formats.samples import chat, sorted_out

MOMENT = datetime(2025, 1, 14, 10, 30, tzinfo=UTC)
TEXT = st.text(st.characters())  # lone surrogates and NUL too
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=3)
EXTRA = st.dictionaries(st.sampled_from(["state", "version", "user_id", "later"]), VALUES)
MOMENTS = st.none() | st.datetimes(
    datetime(1, 1, 2),
    datetime(9998, 12, 31),
    timezones=st.just(UTC),
)
REVISIONS = st.fixed_dictionaries(
    {"revision": st.integers(1, native.REVISIONS), "content": TEXT, "edited": MOMENTS}
)


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    """Any transcript our JSON can hold."""
    turns: list[Turn] = []
    for at in range(draw(st.integers(0, 4))):
        parent = draw(st.sampled_from([None, *(turn.id for turn in turns)]))
        turns.append(draw(turn_of(f"{at}{draw(TEXT)}", parent)))
    return draw(
        st.builds(
            Transcript,
            origin=st.text(min_size=1),
            id=st.text(st.characters(), min_size=1),
            title=st.none() | TEXT,
            workflow=st.none() | TEXT,
            created=MOMENTS,
            updated=MOMENTS,
            turns=st.just(turns),
            head=st.sampled_from([None, *(turn.id for turn in turns)]),
            metadata=OBJECTS,
            tags=st.lists(TEXT),
            pinned=st.booleans(),
            title_source=st.sampled_from(["auto", "user"]),
            where=st.just("sessions[0]"),
            extra=EXTRA,
        )
    )


def turn_of(key: str, parent: str | None) -> st.SearchStrategy[Turn]:
    """Any message with this id and parent."""
    return st.builds(
        Turn,
        id=st.just(key),
        parent=st.just(parent),
        role=st.sampled_from(sorted(ROLES)),
        content=TEXT,
        created=MOMENTS,
        author=TEXT,
        blocks=st.lists(OBJECTS, max_size=2),
        metadata=OBJECTS,
        raw=st.none() | OBJECTS,
        status=st.text(min_size=1),
        edited=MOMENTS,
        deleted=MOMENTS,
        tokens=st.none() | st.integers(0, native.TOKENS),
        revision=st.none() | st.integers(0, native.REVISIONS),
        revisions=st.lists(REVISIONS, max_size=2, unique_by=lambda one: one["revision"]),
        extra=EXTRA,
    )


@settings(deadline=None)
@given(transcripts())
def test_a_transcript_and_its_object_are_each_others_inverse(one: Transcript) -> None:
    made = native.transcript_to_dict(one)
    again = native.dict_to_transcript(json.loads(json.dumps(made)), one.where)
    assert again == one
    assert native.transcript_to_dict(again) == made


@settings(deadline=None)
@given(st.lists(transcripts(), max_size=3))
def test_a_written_document_reads_back(many: list[Transcript]) -> None:
    pieces = native.write((native.transcript_to_dict(one) for one in many), MOMENT)
    chats, problems = sorted_out(b"".join(pieces))
    for index, one in enumerate(many):
        one.where = f"sessions[{index}]"
    assert (chats, problems) == (many, [])


def test_a_session_is_written_message_by_message() -> None:
    def messages() -> Any:
        yield {"content": "one"}
        raise RuntimeError("asked for more than was needed")

    pieces = native.write([{"session_id": "s", "messages": messages()}], MOMENT)
    assert [next(pieces) for _ in range(4)][-1] == b'\n{"content":"one"}'


def test_an_account_without_chats_exports_and_reads_as_nothing() -> None:
    assert sorted_out(b"".join(native.write([]))) == ([], [])


FOUNDING: dict[str, Any] = {
    "session_id": "550e8400-e29b-41d4-a716-446655440000",
    "user_id": "bernard",
    "workflow_type": "agentic_rag",
    "created_at": "2025-01-14T10:30:00Z",
    "updated_at": "2025-01-14T12:35:00.5+02:00",
    "title": "Chat about RAG implementation",
    "messages": [
        {"id": "m1", "role": "user", "content": "q", "timestamp": "2025-01-14T10:30:00"},
        {"id": "m2", "role": "assistant", "content": "a", "metadata": {"k": 1}},
    ],
    "metadata": {"total_tokens": 0, "last_activity": "2025-01-14T10:35:00Z"},
}


@pytest.mark.parametrize("shape", ["bare", "list", "lines", "bom"])
def test_the_founding_shape_is_a_chain(shape: str) -> None:
    text = json.dumps(FOUNDING)
    shapes = {"bare": text, "list": f"[{text}]", "lines": text + "\n", "bom": "\ufeff" + text}
    one = chat(shapes[shape])
    assert [(turn.id, turn.parent) for turn in one.turns] == [("m1", None), ("m2", "m1")]
    assert one.turns[0].created == one.created == MOMENT
    assert one.updated == MOMENT.replace(minute=35, microsecond=500_000)
    assert (one.workflow, one.title_source) == ("agentic_rag", "user")
    assert (one.origin, one.extra) == ("native", {"user_id": "bernard"})


def test_a_tree_keeps_its_order_and_survives_cycles_and_orphans() -> None:
    said = [("c", "a"), ("a", None), ("b", "a"), ("x", "y"), ("y", "x"), ("o", "gone")]
    messages = [
        {"id": key, "parent_id": above, "role": "user", "content": key} for key, above in said
    ]
    one = chat({"session_id": "s", "messages": messages})
    assert [(turn.id, turn.parent) for turn in one.turns] == [
        *[("a", None), ("c", "a"), ("b", "a"), ("x", None), ("y", "x"), ("o", None)]
    ]
    assert one.turns[-1].metadata == {"orphan_of": "gone"}


WRONG: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("session_id", {"session_id": None}, {}),
    ("created_at", {"created_at": "soon"}, {}),
    ("title", {"title": 5}, {}),
    ("title_source", {"title_source": "me"}, {}),
    ("tags[0]", {"tags": [1]}, {}),
    ("pinned", {"pinned": "yes"}, {}),
    ("head_id", {"head_id": "nobody"}, {}),
    ("messages[1].role", {}, {"role": "robot"}),
    ("messages[1].role", {}, {"role": None}),
    ("messages[1].content", {}, {"content": None}),
    ("messages[1].content", {}, {"content": ["x"]}),
    ("messages[1].tokens", {}, {"tokens": True}),
    ("messages[1].tokens", {}, {"tokens": -1}),
    ("messages[1].tokens", {}, {"tokens": 2**31}),
    ("messages[1].tokens", {}, {"tokens": 2**63}),
    ("messages[1].revision", {}, {"revision": -1}),
    ("messages[1].revision", {}, {"revision": 10**30}),
    ("messages[1].timestamp", {}, {"timestamp": 5}),
    ("messages[1].timestamp", {}, {"timestamp": "9999-13-31T23:59:59Z"}),
    ("messages[1].blocks[0]", {}, {"blocks": ["x"]}),
    ("messages[1].revisions[0].content", {}, {"revisions": [{"revision": 1}]}),
    *[
        ("messages[1].revisions[1].revision", {}, {"revisions": [first, {**first, **second}]})
        for first in [{"revision": 2, "content": "x"}]
        for second in [{"revision": n} for n in (2, -1, 0, 10**30, None)]
    ],
    ("messages[1].id", {}, {"id": "m1"}),
]


@pytest.mark.parametrize(("path", "session", "last"), WRONG)
def test_a_wrong_field_is_named_and_only_its_session_stays_out(
    path: str, session: dict[str, Any], last: dict[str, Any]
) -> None:
    messages = [FOUNDING["messages"][0], {**FOUNDING["messages"][1], **last}]
    broken = {**FOUNDING, "messages": messages, **session}
    chats, problems = sorted_out([FOUNDING, broken, {**FOUNDING, "session_id": "third"}])
    assert [one.where for one in chats] == ["sessions[0]", "sessions[2]"]
    assert [one.where for one in problems] == [f"sessions[1].{path}"]
    assert problems[0].title == (FOUNDING["title"] if "title" not in session else None)


def test_a_message_that_is_no_object_is_named() -> None:
    _, problems = sorted_out({**FOUNDING, "messages": [7]})
    assert problems[0].where == "sessions[0].messages[0]"


def test_only_a_deleted_message_may_lack_its_text() -> None:
    gone = {"id": "m", "role": "user", "deleted_at": "2025-01-14T10:30:00Z"}
    turn = chat({**FOUNDING, "messages": [gone]}).turns[0]
    assert (turn.content, turn.deleted) == ("", MOMENT)


@pytest.mark.parametrize("stamp", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+02:00"])
def test_a_time_too_far_away_is_none_and_its_text_is_kept(stamp: str) -> None:
    message = {"id": "m", "role": "user", "content": "q", "timestamp": stamp, "edited_at": stamp}
    one = chat({**FOUNDING, "created_at": stamp, "messages": [message]})
    turn = one.turns[0]
    assert (one.created, turn.created, turn.edited) == (None, None, None)
    assert (one.extra["created_at"], turn.extra["timestamp"]) == (stamp, stamp)


def test_what_did_not_open_when_it_was_written_is_known_by_it() -> None:
    message = {"id": "m", "role": "user", "content": "", "status": "damaged", "damaged": True}
    one = chat({**FOUNDING, "title": None, "damaged": True, "messages": [message]})
    assert one.metadata["damaged"] is one.turns[0].metadata["damaged"] is True
    sound = chat({**FOUNDING, "damaged": False})
    assert "damaged" not in sound.metadata | sound.turns[0].metadata


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(FormatError, match="version 2"):
        sorted_out({"format": "django-chathistory", "version": 2, "sessions": [FOUNDING]})
