"""The doctor as a verb; what it finds is in tests/search/test_doctor.py."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from chathistory.actions import accounts, doctor, jobs, messages
from chathistory.exceptions import Invalid
from chathistory.models import Change, Job, Message
from chathistory.search import upkeep
from tests.actions.kinds import ended
from tests.conftest import Together
from tests.living import Work, indexed

pytestmark = pytest.mark.django_db(transaction=True)


def test_happy_beat_mends_and_tells(alice: User, talk: Any) -> None:
    session = talk("a lion")
    upkeep.drop(list(Message.objects.select_related("session__account")))
    assert not doctor.run()["ok"]
    assert jobs.beat("doctor")
    state, report = ended(Job.objects.filter(kind="doctor").latest("pk"))
    assert (state, report["ok"], report["index"]["messages"]["repaired"]) == ("done", True, 1)
    assert doctor.visit(Work(accounts.system()))["index"]["messages"]["repaired"] == 0
    assert indexed(session.account)


def test_stranger_cannot_ask_for_it(charlie: User) -> None:
    with pytest.raises(Invalid):
        jobs.ask(charlie, "doctor", {})


def test_malformed_rows_stop_nothing(alice: User, talk: Any) -> None:
    session = talk("a lion", "roars")
    Message.objects.filter(session=session, seq=1).update(body=b"")
    report = doctor.run(repair=True)
    assert report["ok"]
    assert report["index"]["messages"]["closed"] == 1


def test_repeated_it_finds_nothing_more_and_writes_no_change(alice: User, talk: Any) -> None:
    session = talk("a lion")
    changes = Change.objects.filter(account=session.account).count()
    reports = [doctor.run(repair=True) for _time in range(3)]
    assert reports == [reports[0]] * 3
    assert Change.objects.filter(account=session.account).count() == changes


def test_concurrent_writers_are_left_alone(alice: User, talk: Any, together: Together) -> None:
    session = talk(*(f"zebra {n}" for n in range(20)))
    rows = list(session.messages.order_by("seq").select_related("session__account"))

    def write() -> None:
        for row in rows:
            messages.edit(row, alice, f"heron {row.seq}")
            messages.append(session, alice, "user", "okapi")

    found = together(write, *[lambda: doctor.run(repair=True)] * 2)
    assert [one for one in found if isinstance(one, Exception)] == []
    assert [one["index"]["some"] for one in found[1:]] == [[], []]
    assert indexed(session.account)
