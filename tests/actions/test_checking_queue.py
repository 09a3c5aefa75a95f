"""checking.queue: one full check at a time, however often a site starts."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from chathistory import keyring
from chathistory.actions import accounts, checking, working
from chathistory.exceptions import MasterKeyError
from chathistory.models import Account, Job
from tests.conftest import Together

pytestmark = pytest.mark.django_db


def test_happy_it_waits_under_the_sites_own_account(db: None) -> None:
    job = checking.queue()
    assert job is not None
    assert (job.kind, job.state, job.account) == ("check", "queued", accounts.system())


def test_stranger_has_no_part_in_it(alice: User) -> None:
    checking.queue()
    assert not Job.objects.filter(account=accounts.of(alice)).exists()


def test_malformed_keys_refuse_it_and_nothing_is_stored(settings) -> None:
    accounts.system()
    settings.CHATHISTORY_MASTER_KEYS = [("other", b"k" * 32)]
    keyring.forget()
    with pytest.raises(MasterKeyError):
        checking.queue()
    assert not Job.objects.exists()


def test_repeated_it_does_nothing_until_the_first_is_over(db: None) -> None:
    job = checking.queue()
    assert job is not None
    assert checking.queue() is None
    Job.objects.filter(pk=job.pk).update(state=Job.State.RUNNING)
    assert checking.queue() is None
    Job.objects.filter(pk=job.pk).update(state=Job.State.QUEUED)
    working.perform(job.uuid)
    assert checking.queue() is not None
    assert Job.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_concurrent_starts_queue_one(together: Together) -> None:
    accounts.system()
    found = together(*[checking.queue] * 6)
    assert sum(isinstance(one, Job) for one in found) == 1
    assert found.count(None) == 5
    assert Account.objects.count() == Job.objects.count() == 1
