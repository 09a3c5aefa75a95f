"""jobs.ask: people queue jobs of public kinds about what is theirs."""

from __future__ import annotations

import pytest

from chathistory import ids, records
from chathistory.actions import accounts, jobs
from chathistory.conf import settings as conf
from chathistory.exceptions import Invalid, LimitExceeded, NotAllowed, NotFound, TooMany
from chathistory.models import Change, Job
from tests.actions.kinds import register


def test_happy_the_job_waits_with_its_arguments(alice, talk, monkeypatch):
    kind = register(monkeypatch, lambda work: None, takes=frozenset({"sessions"}))
    session = talk("rye")
    job = jobs.ask(alice, kind, {"sessions": [session.uuid]})
    row = jobs.reach(alice, job.uuid)
    assert (row.state, row.kind, row.attempts) == ("queued", kind, 0)
    assert records.open_job(row, "arguments") == {"sessions": [str(session.uuid)]}
    (change,) = Change.objects.filter(table="job")
    assert (change.row, change.seq) == (row.uuid, row.changed)


def test_stranger_gets_not_found_for_what_they_may_not_see(bob, charlie, nobody, talk, invite):
    session = talk("mine")
    with pytest.raises(NotFound):
        jobs.ask(charlie, "export", {"sessions": [session.uuid]})
    with pytest.raises(NotFound):
        jobs.ask(charlie, "export", {"sessions": [ids.new_id()]})
    with pytest.raises(NotAllowed):
        jobs.ask(nobody, "export", {})
    assert not Job.objects.exists()
    invite(session, bob, "read", "export")
    assert jobs.ask(bob, "export", {"sessions": [session.uuid]}).state == "queued"


@pytest.mark.parametrize("kind", ["", "paint", "import", "tidy", "lifecycle", "EXPORT", "x" * 999])
def test_malformed_kinds_are_refused_with_the_known(alice, kind):
    with pytest.raises(Invalid, match=r"one of: .*cleanup.*export") as refused:
        jobs.ask(alice, kind, {})
    assert refused.value.field == "kind"
    assert not Job.objects.exists()


def test_malformed_arguments_are_refused(alice, settings):
    with pytest.raises(Invalid) as refused:
        jobs.ask(alice, "cleanup", {"sessions": []})
    assert refused.value.field == "sessions"
    settings.CHATHISTORY_MAX_BULK = 2
    with pytest.raises(LimitExceeded):
        jobs.ask(alice, "export", {"sessions": [ids.new_id()] * (conf.MAX_BULK + 1)})
    assert not Job.objects.exists()


def test_malformed_more_than_may_be_open_are_refused(alice, bob, settings):
    settings.CHATHISTORY_MAX_JOBS = 2
    first = jobs.ask(alice, "export", {})
    Job.objects.update(state="running")
    jobs.ask(alice, "cleanup", {})
    changes = Change.objects.count()
    with pytest.raises(TooMany) as refused:
        jobs.ask(alice, "export", {})
    assert (refused.value.data["limit"], refused.value.data["given"]) == (2, 3)
    assert (Job.objects.count(), Change.objects.count()) == (2, changes)
    jobs.ask(bob, "export", {})
    for _ in range(3):
        jobs.enqueue(accounts.system(), "check", {})
    Job.objects.filter(pk=first.pk).update(state="done")
    assert jobs.ask(alice, "export", {}).state == "queued"


def test_repeated_names_of_a_session_are_one(alice, talk):
    session = talk("rye")
    job = jobs.ask(alice, "export", {"sessions": [session.uuid] * 3})
    assert records.open_job(job, "arguments") == {"sessions": [str(session.uuid)]}


def test_repeated_makes_a_job_each_time(alice):
    assert len({jobs.ask(alice, "export", {}).uuid for _ in range(3)}) == 3


@pytest.mark.django_db(transaction=True)
def test_concurrent_no_more_than_may_be_open(alice, together, settings):
    settings.CHATHISTORY_MAX_JOBS = 3
    made = together(*[lambda: jobs.ask(alice, "export", {})] * 6)
    assert sum(isinstance(one, TooMany) for one in made) == Job.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_concurrent_all_are_queued(alice, together):
    made = together(*[lambda: jobs.ask(alice, "export", {})] * 6)
    assert {job.state for job in made} == {"queued"}
    assert Job.objects.count() == len({job.uuid for job in made}) == 6
