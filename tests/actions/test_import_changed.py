"""A file that says something else of a message known by its id: both stay, side by side."""

from __future__ import annotations

from chathistory import records
from chathistory.actions import exchange, messages
from chathistory.models import Message, Session
from tests.formats.samples import opened


def said(name: str, content: str, parent: str | None = None, **more) -> dict:
    return {"id": name, "parent_id": parent, "role": "user", "content": content, **more}


def load(user, *turns: dict, **more) -> tuple[str, int]:
    value = [{"session_id": "a", "origin": "openwebui", "messages": list(turns)}]
    (one,) = exchange.import_file(user, opened(value), **more).outcomes
    return one.outcome, one.messages


def tree() -> dict[str, str | None]:
    """Return by each text that of the message it follows."""
    session = Session.objects.select_related("account").get()
    rows = {row.seq: row for row in session.messages.order_by("seq")}
    texts = {seq: records.open_body(row, session).content for seq, row in rows.items()}
    return {texts[seq]: texts.get(row.parent_seq) for seq, row in rows.items()}


def message(seq: int) -> Message:
    return Message.objects.select_related("session__account").get(seq=seq)


ASKED = said("q", "question")
HALF = said("a", "half an ans", "q")
WHOLE = said("a", "half an answer, and the rest", "q")
NEXT = said("n", "next", "a")


def test_an_answer_that_was_exported_unfinished_comes_in_whole_beside_it(alice):
    assert load(alice, ASKED, HALF) == ("new", 2)
    assert load(alice, ASKED, WHOLE, NEXT, dry_run=True) == ("extended", 2)
    assert load(alice, ASKED, WHOLE, NEXT) == ("extended", 2)
    assert tree() == {
        "question": None,
        "half an ans": "question",
        WHOLE["content"]: "question",
        "next": WHOLE["content"],
    }
    for again in ([ASKED, HALF], [ASKED, WHOLE, NEXT]):
        assert load(alice, *again) == ("unchanged", 0)


def test_what_was_edited_here_is_not_brought_back(alice):
    load(alice, ASKED, WHOLE)
    messages.edit(message(2), alice, "mended here")
    assert load(alice, ASKED, WHOLE) == ("unchanged", 0)
    assert load(alice, ASKED, WHOLE, NEXT) == ("extended", 1)
    assert tree()["next"] == "mended here"


def test_what_was_deleted_here_or_does_not_open_is_left(alice):
    load(alice, ASKED, WHOLE, NEXT)
    messages.delete(message(3), alice)
    Message.objects.filter(seq=2).update(body=b"\0" * 60)
    assert load(alice, ASKED, HALF, NEXT) == ("unchanged", 0)


def test_another_person_sees_nothing_of_it(alice, charlie):
    load(alice, ASKED, HALF)
    assert load(charlie, ASKED, WHOLE) == ("new", 2)
    assert load(alice, ASKED, HALF) == ("unchanged", 0)


def test_what_another_release_read_otherwise_is_no_other_version(alice):
    load(alice, ASKED, HALF | {"raw": {"said": "verbatim"}})
    assert load(alice, ASKED, WHOLE | {"raw": {"said": "verbatim"}}) == ("unchanged", 0)
    assert load(alice, ASKED, WHOLE | {"raw": {"said": "more"}}) == ("extended", 1)
