"""erase.ask: the wish that a person be erased, kept until nothing stands against it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from chathistory import ledger, records
from chathistory.actions import accounts, erase, jobs, working
from chathistory.exceptions import Invalid, Unavailable
from chathistory.models import Account, Change, Job, Session

pytestmark = pytest.mark.usefixtures("keyed_home")


def run():
    """Let the site's hourly run pass; return what came of it."""
    assert jobs.beat("erase")
    job = Job.objects.select_related("account").latest("pk")
    assert job.state == "done"
    return records.open_job(job, "result")["result"]


def test_happy_a_hold_is_waited_for(alice, bob, talk):
    theirs, his = talk("zebra").account, talk("heron", user=bob).account
    Session.objects.filter(account=theirs).update(hold=True)
    alice.delete(), bob.delete()
    assert working.perform(Job.objects.first().uuid)
    assert list(erase.pending()) == [theirs]
    assert Account.objects.get(pk=his.pk).erased_at is not None
    Job.objects.all().delete()
    assert run() == {"erased": [], "waiting": {str(theirs.uuid): "conflict"}}
    Session.objects.update(hold=False)
    (proof,) = run()["erased"]
    assert (proof["account"], proof["removed"]["sessions"]) == (str(theirs.uuid), 1)
    assert not erase.pending().exists()
    assert not Session.objects.exists()
    assert run() == {"erased": [], "waiting": {}}


def test_happy_it_is_journalled(alice):
    account = accounts.of(alice)
    erase.ask(account)
    (change,) = Change.objects.filter(account=account)
    assert (change.op, change.row, change.actor) == ("account.leave", account.uuid, None)
    assert Account.objects.get(pk=account.pk).erase_asked_at == change.at


def test_stranger_who_stays_is_left_alone(alice, bob, charlie, talk):
    rows = [talk("heron", user=user) for user in (bob, charlie)]
    talk("zebra")
    alice.delete()
    working.perform(Job.objects.get().uuid)
    assert list(Session.objects.order_by("pk")) == rows


def test_stranger_it_is_no_job_that_people_ask_for(bob):
    with pytest.raises(Invalid):
        jobs.ask(bob, "erase", {})


def test_malformed_who_was_given_a_user_again_does_not_wait(alice, talk):
    account = talk("zebra").account
    alice.delete()
    Account.objects.filter(pk=account.pk).update(user=User.objects.create_user("alice"))
    assert not erase.pending().exists()
    working.perform(Job.objects.get().uuid)
    assert Session.objects.count() == 1


def test_malformed_one_who_cannot_be_erased_stops_nobody(alice, bob, talk, monkeypatch):
    first = talk("zebra").account
    talk("heron", user=bob)
    alice.delete(), bob.delete()
    note = ledger.note

    def refuse(account, *more, **options):
        if account == first.uuid:
            raise Unavailable
        return note(account, *more, **options)

    monkeypatch.setattr(ledger, "note", refuse)
    working.perform(Job.objects.first().uuid)
    assert list(erase.pending()) == [first]


def test_repeated_it_keeps_the_first_wish(alice):
    account = accounts.of(alice)
    erase.ask(account)
    first = Account.objects.get(pk=account.pk)
    assert erase.ask(first).kind == "erase"
    again = Account.objects.get(pk=account.pk)
    assert (again.erase_asked_at, again.seq) == (first.erase_asked_at, first.seq)


@pytest.mark.django_db(transaction=True)
def test_concurrent_runs_erase_once(alice, bob, talk, together):
    for user in (alice, bob):
        talk("zebra", user=user)
        user.delete()
    made = list(Job.objects.values_list("uuid", flat=True))
    assert together(*[lambda uuid=uuid: working.perform(uuid) for uuid in made]) == [True] * 2
    assert not Session.objects.exists()
    assert not erase.pending().exists()
    ended = Job.objects.select_related("account")
    proofs = [p for job in ended for p in records.open_job(job, "result")["result"]["erased"]]
    assert sum(proof["removed"].get("sessions", 0) for proof in proofs) == 2
