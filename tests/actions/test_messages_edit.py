"""messages.edit: another text at the same place, the earlier one kept."""

from __future__ import annotations

import pytest

from chathistory import records, text
from chathistory.actions import messages, sessions
from chathistory.exceptions import Conflict, Invalid, LimitExceeded, NotAllowed, NotFound, Stale
from chathistory.models import Change, Message, Revision, Session
from chathistory.search.find import search


@pytest.fixture
def message(talk) -> Message:
    session = talk("A zebra is a horse")
    return Message.objects.select_related("session__account").get(session=session)


def content() -> str:
    row = Message.objects.select_related("session__account").get()
    return records.open_body(row, row.session).content


def test_happy_the_new_text_is_found_and_the_old_one_kept(alice, message):
    edited = messages.edit(message, alice, "A zebra is striped")
    messages.edit(message, alice, "A zebra has stripes")
    session = Session.objects.select_related("account").get()
    assert content() == "A zebra has stripes"
    revisions = Revision.objects.order_by("revision")
    kept = [records.open_revision(row, session).content for row in revisions]
    assert kept == ["A zebra is a horse", "A zebra is striped"]
    assert [row.revision for row in revisions] == [1, 2]
    assert Message.objects.get().revision == 3
    assert edited.edited_at is not None
    assert session.total_tokens == text.count_tokens("A zebra has stripes")
    assert records.preview_of(session) == "A zebra has stripes"
    assert len(search(alice, "stripes").hits) == 1
    assert not search(alice, "horse").hits
    assert not search(alice, "striped").hits


def test_happy_what_came_with_the_text_stays(alice, talk):
    row = messages.append(talk(), alice, "user", "old", metadata={"a": 1}, raw={"b": 2})
    messages.edit(row, alice, "new")
    body = records.open_body(Message.objects.get(), row.session)
    assert (body.content, body.metadata, body.raw) == ("new", {"a": 1}, {"b": 2})


def test_happy_the_automatic_title_follows(alice, talk):
    session = talk("my password is hunter2", "Never say it.", "what else?")
    first, answer, other = session.messages.select_related("session__account").order_by("seq")
    messages.edit(answer, alice, "Do not.")
    messages.edit(other, alice, "what more?")
    assert len(search(alice, "hunter2").titles) == 1
    messages.edit(first, alice, "what is rye?")
    fresh = Session.objects.select_related("account").get()
    assert (records.title_of(fresh), fresh.title_source) == ("what is rye?", "auto")
    assert not search(alice, "hunter2").titles
    assert len(search(alice, "rye").titles) == 1
    sessions.rename(session, alice, "Grain")
    messages.edit(Message.objects.get(pk=first.pk), alice, "what is wheat?")
    assert records.title_of(Session.objects.select_related("account").get()) == "Grain"


def test_stranger_gets_not_found_and_a_writer_is_not_allowed(bob, charlie, message, invite):
    invite(message.session, bob, "read", "write")
    with pytest.raises(NotFound):
        messages.edit(message, charlie, "x")
    with pytest.raises(NotAllowed):
        messages.edit(message, bob, "x")
    assert content() == "A zebra is a horse"


@pytest.mark.parametrize("bad", ["", " ", None, 5, "a\0b", "\udead", "x" * 2_000_001])
def test_malformed_texts_are_refused_and_nothing_is_stored(alice, message, bad):
    with pytest.raises((Invalid, LimitExceeded)) as refused:
        messages.edit(message, alice, bad)
    assert refused.value.data["field"] == "content"
    assert content() == "A zebra is a horse"
    assert not Revision.objects.exists()


def test_malformed_or_old_numbers_are_stale(alice, message):
    for changed in (message.changed - 1, -1, 10**30, "x"):
        with pytest.raises(Stale):
            messages.edit(message, alice, "x", changed=changed)
    assert messages.edit(message, alice, "x", changed=message.changed).revision == 2


def test_repeated_writes_nothing(alice, message):
    first = messages.edit(message, alice, "same")
    before = Change.objects.count()
    assert messages.edit(message, alice, "same").revision == first.revision
    assert Change.objects.count() == before


def test_a_tombstone_and_what_is_in_the_trash_are_not_edited(alice, message):
    messages.delete(message, alice)
    with pytest.raises(Conflict):
        messages.edit(message, alice, "back again")
    session = Session.objects.get()
    assert (session.message_count, session.total_tokens) == (0, 0)
    assert not search(alice, "again").hits
    sessions.delete(session, alice)
    with pytest.raises(Conflict):
        messages.edit(message, alice, "x")


@pytest.mark.django_db(transaction=True)
def test_concurrent_edits_of_one_reading_let_one_win(alice, message, together):
    texts = [f"text{n}" for n in range(6)]
    work = [lambda t=t: messages.edit(message, alice, t, changed=message.changed) for t in texts]
    results = together(*work)
    assert sum(isinstance(one, Message) for one in results) == 1
    assert sum(isinstance(one, Stale) for one in results) == 5
    assert Revision.objects.count() == 1
    assert [t for t in texts if search(alice, t).hits] == [content()]


@pytest.mark.django_db(transaction=True)
def test_concurrent_edits_without_a_number_keep_every_text(alice, message, together):
    work = [lambda n=n: messages.edit(message, alice, f"text{n}") for n in range(6)]
    together(*work)
    session = Session.objects.select_related("account").get()
    kept = [records.open_revision(row, session).content for row in Revision.objects.all()]
    said = {"A zebra is a horse"} | {f"text{n}" for n in range(6)}
    assert {*kept, content()} == said
    assert session.total_tokens == text.count_tokens(content())
