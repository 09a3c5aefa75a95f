"""The index is made anew and kept in order by the site itself; see tests/search/test_reindex.py."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.management import CommandError, call_command
from django.utils import timezone

from chathistory import leases
from chathistory.actions import accounts, indexing, jobs, messages
from chathistory.exceptions import Conflict, Invalid, NotAllowed
from chathistory.models import Change, Job, Lease, Message
from chathistory.search import upkeep
from chathistory.search.base import index
from chathistory.search.find import search
from tests.actions.kinds import ended
from tests.conftest import Together
from tests.living import Work, indexed

pytestmark = pytest.mark.django_db(transaction=True)


def test_happy_an_interrupted_one_is_queued_and_ended_by_a_worker(alice: User, talk: Any) -> None:
    talk("a lion")
    assert indexing.queue() is None
    index().begin()
    job = indexing.queue()
    assert job is not None
    assert (job.kind, job.account) == ("reindex", accounts.system())
    jobs.sweep()
    indexing.jobs.working.perform(job.uuid)
    assert ended(job) == ("done", {"messages": 1, "titles": 1, "closed": 0})
    assert indexing.queue() is None
    assert len(search(alice, "lion").hits) == 1


def test_happy_beat_merges_and_looks_after_it(alice: User, talk: Any) -> None:
    session = talk(*(f"lion {n}" for n in range(30)))
    assert jobs.beat("index")
    assert ended(Job.objects.get(kind="index"))[1]["queued"] is False
    index().begin()
    assert indexing.tend(Work(accounts.system()))["queued"]
    assert indexed(session.account)


def test_happy_people_notice_nothing_and_no_change_is_written(alice: User, talk: Any) -> None:
    session = talk("a lion")
    before = list(Change.objects.filter(account=session.account).values_list("seq", flat=True))
    rows = list(Message.objects.values_list("changed", flat=True))
    indexing.run()
    assert list(Message.objects.values_list("changed", flat=True)) == rows
    after = Change.objects.filter(account=session.account).values_list("seq", flat=True)
    assert list(after) == before


def test_stranger_cannot_ask_for_it(alice: User, nobody: AnonymousUser) -> None:
    for kind in ("reindex", "index"):
        with pytest.raises(Invalid):
            jobs.ask(alice, kind, {})
    with pytest.raises(NotAllowed):
        indexing.run(user=nobody)


def test_stranger_finds_no_more_than_before(alice: User, charlie: User, talk: Any) -> None:
    talk("a lion")
    indexing.run()
    indexing.run(user=charlie)
    assert search(charlie, "lion").hits == []


def test_malformed_names_are_refused_and_nothing_is_made_anew(db: None) -> None:
    for name in ("", "nobody"):
        with pytest.raises(CommandError):
            call_command("chat_reindex", user=name)
    assert index().generations.live.number == 1
    assert not Job.objects.exists()


def test_repeated_it_is_as_it_was(alice: User, talk: Any) -> None:
    session = talk("a lion", title="cats")
    for number in range(2, 5):
        assert indexing.reindex(Work(accounts.system()))["messages"] == 1
        assert index().generations.live.number == number
        assert indexed(session.account)
    for _time in range(2):
        assert indexing.run(user=alice) == {"messages": 1, "titles": 1, "closed": 0}
        assert indexed(session.account)


def test_repeated_two_are_not_queued(db: None) -> None:
    index().begin()
    assert indexing.queue() is not None
    assert indexing.queue() is None
    assert Job.objects.count() == 1


def test_concurrent_one_is_enough(alice: User, talk: Any) -> None:
    talk("a lion")
    Lease.objects.create(
        name="reindex",
        holder=accounts.system().uuid,
        until=timezone.now() + timedelta(seconds=leases.LENGTH.seconds),
    )
    with pytest.raises(Conflict):
        indexing.run()
    assert index().generations.building is None


def test_concurrent_writers_and_a_reindex_lose_nothing(
    alice: User, bob: User, talk: Any, together: Together
) -> None:
    mine, his = talk(*(f"zebra {n}" for n in range(40))), talk("zebra", user=bob)
    rows = list(mine.messages.order_by("seq").select_related("session__account"))

    def edit() -> None:
        for row in rows[::2]:
            messages.edit(row, alice, f"heron {row.seq}")

    def delete() -> None:
        for row in rows[1::4]:
            messages.delete(row, alice)

    def say() -> None:
        for n in range(20):
            messages.append(his, bob, "user", f"okapi {n}")

    found = together(edit, delete, say, indexing.run)
    assert [one for one in found if isinstance(one, Exception)] == []
    assert index().generations.live.number == 2
    assert {row.indexed for row in Message.objects.filter(deleted_at=None)} == {2}
    assert indexed(accounts.of(alice))
    assert indexed(accounts.of(bob))


def test_the_command_says_how_much_went_in(alice: User, talk: Any) -> None:
    session = talk("a lion", title="cats")
    upkeep.drop(list(Message.objects.select_related("session__account")))
    for options in ({}, {"user": "alice"}):
        out = io.StringIO()
        call_command("chat_reindex", stdout=out, **options)
        assert out.getvalue() == "1 messages and 1 titles are in.\n"
        assert indexed(session.account)
