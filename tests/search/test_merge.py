"""What was taken out of the index is read back, found no more, and leaves its files."""

from __future__ import annotations

import pytest
from django.db import connection

from chathistory import keyring
from chathistory.actions import messages, sessions
from chathistory.actions.removing import unindex
from chathistory.models import Message
from chathistory.search.base import Doc, Match, index
from chathistory.search.find import search

pytestmark = pytest.mark.django_db(transaction=True)
ON_SQLITE = connection.vendor == "sqlite"


def doc_of(message):
    keyed = keyring.account_keys(message.session.account).search
    content = "zebra crossing" if message.seq == 1 else "heron lake"
    return Doc(message.place, keyed.of_text(content))


@pytest.fixture
def said(talk):
    talk("something else")
    return list(talk("zebra crossing", "heron lake", title="birds").messages.order_by("seq"))


def test_it_reads_back_what_went_in(said):
    found = index().read([said[0].place, said[1].place, 12345])
    assert sorted((doc.place, set(doc.tokens.split())) for doc in found) == sorted(
        (doc.place, set(doc.tokens.split())) for doc in map(doc_of, said)
    )


def test_it_reads_back_titles(said):
    session = said[0].session
    keyed = keyring.account_keys(session.account).search
    (found,) = index().read([session.pk], titles=True)
    assert set(found.tokens.split()) == set(keyed.of_text("birds").split())


def test_what_was_read_back_can_be_removed(alice, said):
    index().remove(index().read([said[0].place]))
    Message.objects.filter(pk=said[0].pk).update(indexed=0)
    assert search(alice, "zebra").hits == []
    assert len(search(alice, "heron").hits) == 1
    assert index().read([said[0].place]) == []


def test_a_mark_stays_until_it_or_a_newer_one_is_taken_away(said):
    assert index().marked() is None
    unindex([doc_of(said[0])])
    first = index().marked()
    unindex([doc_of(said[1])])
    second = index().marked()
    assert (first is None) == (second is None) == (not ON_SQLITE)
    index().unmark(first or 0)
    assert index().marked() == second
    index().unmark(second or 0)
    assert index().marked() is None


def test_a_merge_keeps_what_is_found(alice, said):
    unindex([doc_of(said[0])])
    assert index().merge(lambda: None)
    assert search(alice, "zebra").hits == []
    assert len(search(alice, "heron").hits) == 1
    assert index().merge(lambda: None)


def test_a_merge_that_was_stopped_is_finished_by_the_next(alice, talk):
    session = talk()
    for n in range(300):
        messages.append(session, alice, "user", f"{n} " + " ".join(f"w{n}x{i}" for i in range(99)))
    rows = list(session.messages.order_by("seq").select_related("session__account"))
    unindex([doc for row in rows[:50] for doc in index().read([row.place])])

    def stop():
        raise InterruptedError

    if ON_SQLITE:
        with pytest.raises(InterruptedError):
            index().merge(stop)
    assert index().merge(lambda: None)
    assert len(search(alice, "w299x7").hits) == 1
    assert search(alice, "w1x7").hits == []


def test_a_new_title_marks_nothing(alice, said):
    sessions.change(said[0].session, alice, title="other birds")
    assert index().marked() is None


def test_a_token_that_is_a_small_number_is_one_like_any_other():
    doc, small = Doc(77, "000000000001 000000000002"), ["000000000001"]
    index().add([doc])
    assert index().counts([small[0]], 9)[0] == 1
    for match, count in ((Match([small], [], [1]), 1), (Match([small], ["000000000002"], [1]), 0)):
        source, where, parameters = index().join(match)
        # The account is compared with a message's.
        message = "(SELECT 1 AS account_id) AS m"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {source}, {message} WHERE {where}", parameters)  # noqa: S608
            assert cursor.fetchone() == (count,)
    assert index().read([77]) == [doc._replace(generation=1)]
    index().remove([doc])
    assert index().counts([small[0]], 9)[0] == 0
