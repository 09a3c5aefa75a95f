"""checking.check: everything is opened once; what does not open is marked, and only that."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from chathistory import keyring, records
from chathistory.actions import accounts, checking, jobs, messages, sessions, working
from chathistory.exceptions import Invalid, NotFound
from chathistory.models import Change, DataKey, Job, Message, Revision, Session, Tag
from tests.conftest import Talk, Together

pytestmark = pytest.mark.django_db


@pytest.fixture
def chats(alice: User, talk: Talk) -> tuple[Session, Session]:
    """Two chats that have lived a little."""
    first = talk("one", "two", title="First", metadata={"a": 1})
    second = talk("three", "four", title="Second")
    messages.edit(first.messages.get(seq=2), alice, "two, edited")
    sessions.change(first, alice, tags=["x"], title="Renamed")
    return first, second


def flip(row: Any, column: str) -> None:
    record = getattr(row, column)
    damaged = record[:-1] + bytes([record[-1] ^ 1])
    type(row)._default_manager.filter(pk=row.pk).update(**{column: damaged})


def ran() -> Job:
    """Run ``checking.check`` as the job that it is."""
    job = jobs.enqueue(accounts.system(), checking.KIND, {})
    assert working.perform(job.uuid)
    return Job.objects.select_related("account").get(pk=job.pk)


def report() -> dict[str, Any]:
    job = ran()
    assert job.state == "done"
    found: dict[str, Any] = records.open_job(job, "result")["result"]
    return found


def marks() -> list[int]:
    return list(Session.objects.order_by("pk").values_list("damaged", flat=True))


WHOLE = {"total_sessions": 2, "recovered_sessions": 2, "corrupted_sessions": 0, "errors": []}


def test_happy_what_is_whole_is_counted_and_left_alone(chats: Any) -> None:
    before = list(Session.objects.order_by("pk").values_list("changed", "version", "updated_at"))
    assert report() == WHOLE
    after = list(Session.objects.order_by("pk").values_list("changed", "version", "updated_at"))
    assert (marks(), after) == ([0, 0], before)


@pytest.mark.parametrize("column", ["title", "preview", "metadata"])
def test_happy_a_damaged_column_marks_its_session(chats: Any, column: str) -> None:
    flip(Session.objects.get(pk=chats[0].pk), column)
    assert report() == WHOLE | {"recovered_sessions": 1, "corrupted_sessions": 1}
    assert marks() == [1, 0]


def test_happy_each_damaged_record_counts_and_the_rest_is_served(alice: User, chats: Any) -> None:
    first, second = chats
    flip(first.messages.get(seq=1), "body")
    flip(Revision.objects.get(), "body")
    assert report() == WHOLE | {"recovered_sessions": 1, "corrupted_sessions": 1}
    assert marks() == [2, 0]
    client = Client()
    client.force_login(alice)
    shown = client.get(f"/api/chat_history/sessions/{first.uuid}").json()
    assert shown["damaged"] is True
    assert [one["content"] for one in shown["messages"]] == [None, "two, edited"]
    shown = client.get(f"/api/chat_history/sessions/{second.uuid}").json()
    assert shown["damaged"] is False
    assert [one["content"] for one in shown["messages"]] == ["three", "four"]


def test_happy_the_mark_is_journalled_and_can_be_read_back(chats: Any) -> None:
    flip(chats[0].messages.get(seq=1), "body")
    report()
    change = Change.objects.select_related("account", "actor").get(op="session.check")
    assert (change.actor, change.row) == (accounts.system(), chats[0].uuid)
    assert records.open_before(change, None) == {"damaged": 0}
    assert Session.objects.get(pk=chats[0].pk).changed == change.seq


def test_happy_a_lost_session_key_damages_that_session_alone(chats: Any) -> None:
    DataKey.objects.filter(session=chats[0]).delete()
    found = report()
    assert (found["corrupted_sessions"], marks()[1]) == (1, 0)
    # Title, preview, metadata, two messages and an earlier text.
    assert marks()[0] == 6


def test_happy_what_belongs_to_no_session_is_told_by_kind(alice: User, chats: Any) -> None:
    jobs.run(accounts.of(alice), "import", {"file": "a"}, dict)
    flip(Tag.objects.get(), "name")
    flip(Job.objects.get(kind="import"), "result")
    for change in Change.objects.filter(before__isnull=False).exclude(table="job")[:2]:
        flip(change, "before")
    found = report()
    assert found["errors"] == [
        "tag: 1 do not open",
        "job: 1 do not open",
        "change: 2 do not open",
    ]
    assert marks() == [0, 0]


def test_happy_an_interrupted_check_goes_on_where_it_was(chats: Any) -> None:
    for chat in chats:
        flip(chat.messages.get(seq=1), "body")
    job = jobs.enqueue(accounts.system(), checking.KIND, {})
    Job.objects.filter(pk=job.pk).update(progress=chats[0].pk)
    working.perform(job.uuid)
    assert marks() == [0, 1]


def test_stranger_can_neither_ask_for_it_nor_see_it(alice: User, chats: Any) -> None:
    with pytest.raises(Invalid):
        jobs.ask(alice, checking.KIND, {})
    job = ran()
    with pytest.raises(NotFound):
        jobs.reach(alice, job.uuid)


def test_malformed_keys_of_an_account_damage_all_it_has_and_nobody_elses(
    bob: User, talk: Talk, chats: Any
) -> None:
    talk("his", user=bob, title="His")
    mine = chats[0].account
    DataKey.objects.filter(account=mine, purpose="rows").delete()
    assert report()["corrupted_sessions"] == 2
    assert [bool(mark) for mark in marks()] == [True, True, False]


def test_malformed_a_missing_master_key_fails_the_check_and_marks_nothing(
    talk: Talk, settings: Any
) -> None:
    old, new = ("old", b"o" * 32), ("new", b"n" * 32)
    settings.CHATHISTORY_MASTER_KEYS = [old]
    talk("one")
    settings.CHATHISTORY_MASTER_KEYS = [new, old]
    accounts.system()
    settings.CHATHISTORY_MASTER_KEYS = [new]
    keyring.forget()
    job = ran()
    assert job.state == "failed"
    assert records.open_job(job, "result")["error"]["code"] == "master_key"
    assert marks() == [0]


def test_repeated_check_finds_the_same_and_clears_what_was_mended(chats: Any) -> None:
    row = chats[0].messages.get(seq=1)
    flip(row, "body")
    assert report() == report() != WHOLE
    assert Change.objects.filter(op="session.check").count() == 1
    Message.objects.filter(pk=row.pk).update(body=row.body)
    assert report() == WHOLE
    assert marks() == [0, 0]


@pytest.mark.django_db(transaction=True)
def test_concurrent_writers_are_never_taken_for_damage(
    alice: User, talk: Talk, together: Together
) -> None:
    chats = [talk("one", "two") for _ in range(5)]
    rows = [chat.messages.select_related("session__account").get(seq=1) for chat in chats]

    def write(n: int) -> None:
        for at, row in enumerate(rows):
            messages.edit(row, alice, f"edited {n} {at}")
            messages.append(chats[at], alice, "user", f"more {n}")

    found = together(*[lambda n=n: write(n) for n in range(3)], report, report)
    assert [one for one in found if isinstance(one, Exception)] == []
    assert Session.objects.filter(damaged__gt=0).count() == 0
    assert Change.objects.filter(op="session.check").count() == 0
