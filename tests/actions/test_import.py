"""exchange.import_file and import_transcripts: other people's files become our rows."""

from __future__ import annotations

import json

import pytest

from chathistory import records
from chathistory.actions import accounts, exchange, messages, sessions
from chathistory.exceptions import Invalid, NotAllowed
from chathistory.formats.base import Transcript, Turn
from chathistory.models import Change, Message, Session
from chathistory.search.find import search
from tests.formats.samples import conversation, forest, message, opened


def load(user, value, **more) -> dict:
    return exchange.import_file(user, opened(value), **more).as_dict()


def chat(number: int, turns: int) -> dict:
    links = {f"n{at}": f"n{at - 1}" if at else None for at in range(turns)}
    return conversation(links) | {"id": f"chat-{number}"}


def rows(model) -> list:
    return sorted(model.objects.values_list("uuid", flat=True))


def test_happy_a_longer_export_adds_what_is_new(alice):
    load(alice, [chat(1, 3), chat(2, 2)])
    before = rows(Message)
    report = load(alice, [chat(1, 5), chat(2, 2), chat(3, 1)])
    assert (report["sessions_new"], report["sessions_extended"]) == (1, 1)
    assert report["messages_added"] == 3
    assert set(before) < set(rows(Message))
    session = Session.objects.get(message_count=5)
    assert (session.last_seq, session.head_seq) == (5, 5)


def test_happy_a_copy_is_new_each_time_and_a_dry_run_writes_nothing(alice):
    assert load(alice, [chat(1, 2)], dry_run=True)["sessions_new"] == 1
    assert not Session.objects.exists()
    for count in (1, 2, 3):
        load(alice, [chat(1, 2)], copy=True)
        assert (Session.objects.count(), Message.objects.count()) == (count, 2 * count)


def test_happy_what_came_in_is_found(alice):
    odd = conversation({"a": None})
    odd["mapping"]["a"]["message"] = message("zebra \0 and \ud800 crossing")
    load(alice, [odd])
    assert len(search(alice, '"zebra" crossing').hits) == 1


def test_stranger_gets_rows_of_his_own_and_nobody_gets_none(alice, charlie, nobody):
    load(alice, [chat(1, 2)])
    assert load(charlie, [chat(1, 2)])["sessions_new"] == 1
    assert Session.objects.values("account").distinct().count() == 2
    assert search(charlie, "text").hits[0].session.account == accounts.of(charlie)
    with pytest.raises(NotAllowed):
        load(nobody, [chat(1, 2)])
    assert Session.objects.count() == 2


@pytest.mark.parametrize(
    "data", [b"", b"PK\3\4", b"[]", b"{}", b"\x89PNG\r\n", b'{"a": 1}', "[" * 5_000, b"\xff\xfe"]
)
def test_malformed_files_are_refused_and_nothing_is_stored(alice, data):
    with pytest.raises(Invalid) as refused:
        exchange.import_file(alice, opened(data), name="mine.json")
    assert refused.value.field == "file"
    assert not Session.objects.exists()


def test_malformed_chats_are_named_and_the_whole_ones_come_in(alice):
    damaged = chat(2, 2) | {"mapping": "gone"}
    text = json.dumps([chat(1, 2), damaged, chat(3, 2), chat(4, 9)])
    report = load(alice, text[:-700])
    outcomes = [one["outcome"] for one in report["sessions"]]
    assert outcomes.count("new") == Session.objects.count() == 2
    assert outcomes.count("failed") == 2
    assert all(one["reason"] for one in report["sessions"] if one["outcome"] == "failed")
    assert any("conversations[1]" in one["where"] for one in report["sessions"])


def test_what_is_in_the_trash_is_not_extended(alice):
    load(alice, [chat(1, 2)])
    sessions.delete(Session.objects.select_related("account").get(), alice)
    report = load(alice, [chat(1, 4)])
    assert (report["sessions_failed"], Message.objects.count()) == (1, 2)


def test_repeated_adds_nothing_and_writes_no_change(alice):
    load(alice, [chat(1, 3), forest()])
    before = Change.objects.count(), rows(Session), rows(Message)
    report = load(alice, [chat(1, 3), forest()])
    assert (report["sessions_unchanged"], report["messages_added"]) == (2, 0)
    assert (Change.objects.count(), rows(Session), rows(Message)) == before


def test_repeated_within_one_file_is_one_chat(alice):
    report = load(alice, [chat(1, 2), chat(1, 2), chat(1, 4)])
    assert Session.objects.count() == 1
    assert Message.objects.count() == report["messages_added"] == 4


@pytest.mark.django_db(transaction=True)
def test_concurrent_imports_of_one_file_leave_one_of_each(alice, together):
    turns = [Turn(f"t{n}", f"t{n - 1}" if n else None, "user", f"n {n}") for n in range(4)]
    accounts.of(alice)

    def work() -> exchange.Report:
        return exchange.import_transcripts(alice, [Transcript("chatgpt", "one", turns=turns)])

    assert all(isinstance(one, exchange.Report) for one in together(*[work] * 4))
    assert (Session.objects.count(), Message.objects.count()) == (1, 4)
    assert len(search(alice, "n").hits) == 4


@pytest.mark.django_db(transaction=True)
def test_concurrent_appends_and_renames_are_not_lost_to_a_longer_export(alice, together):
    load(alice, [chat(1, 2)])
    session = Session.objects.select_related("account").get()

    def talk_on() -> None:
        for n in range(10):
            messages.append(session, alice, "user", f"meanwhile {n}")
            sessions.rename(session, alice, f"Title {n}")

    results = together(talk_on, *[lambda n=n: load(alice, [chat(1, n)]) for n in range(3, 9)])
    assert [one for one in results if isinstance(one, Exception)] == []
    fresh = Session.objects.select_related("account").get()
    assert fresh.message_count == fresh.last_seq == Message.objects.count() == 18
    assert records.title_of(fresh) == "Title 9"
    assert [hit.uuid for hit in search(alice, '"title 9"').titles] == [fresh.uuid]
