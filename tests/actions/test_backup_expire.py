"""backup.expire: grandfather, father and son, and what may never go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import time_machine

from chathistory.actions import accounts, backup, messages
from chathistory.backups import store
from chathistory.backups.store import Place
from chathistory.exceptions import Invalid
from chathistory.models import Backup
from tests.actions import backed

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 6, 17, 12, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def home(settings, tmp_path):
    settings.CHATHISTORY_HOME = tmp_path
    with time_machine.travel(NOW, tick=False):
        yield tmp_path


def made(age: timedelta, *, chain: UUID | None = None, number: int = 0, **more) -> Backup:
    """List a backup of this age, and let the storage hold a file of its name."""
    at = Place(chain or uuid4(), number, uuid4().hex * 2)
    with store.draft("test") as file:
        store.publish(file, at)
    kind = "incremental" if number else "full"
    return Backup.objects.create(
        chain=at.chain,
        number=number,
        name=at.digest,
        kind=kind,
        at=NOW,
        created_at=NOW - age,
        **more,
    )


def left() -> set[Backup]:
    """Return what is listed, which is what the storage holds."""
    rows = set(Backup.objects.all())
    assert {row.name for row in rows} == {at.digest for at in store.places()}
    return rows


def test_happy_hours_days_weeks_and_months(settings):
    hourly = [made(hours * HOUR) for hours in range(60)]
    older = [made(days * DAY) for days in [*range(3, 40), *range(40, 400, 12)]]
    gone = {row.name for row in backup.expire()}
    kept = left()
    assert gone | {row.name for row in kept} == {row.name for row in [*hourly, *older]}
    assert {*hourly[:24]} <= kept
    days = {row.created_at.date() for row in kept}
    assert {(NOW - n * DAY).date() for n in range(7)} <= days
    months = {(row.created_at.year, row.created_at.month) for row in kept}
    assert len(months) == 12
    assert len(kept) <= 24 + 7 + 5 + 12
    assert backup.expire() == []


def test_happy_a_dry_run_says_the_same_and_drops_nothing():
    for days in range(30):
        made(days * DAY)
    before = left()
    said = backup.expire(dry_run=True)
    assert said
    assert left() == before
    names = {row.name for row in said}
    assert {row.name for row in backup.expire()} == names
    assert {row.name for row in before - left()} == names


def test_happy_what_a_kept_segment_needs_is_kept(settings):
    settings.CHATHISTORY_BACKUP_KEEP = {"daily": 1}
    chain = uuid4()
    rows = [made((5 - number) * DAY, chain=chain, number=number) for number in range(5)]
    alone = made(6 * DAY)
    assert backup.expire() == [alone]
    assert left() == set(rows)
    newer = made(HOUR)
    assert backup.expire() == list(reversed(rows))  # the base last
    assert left() == {newer}


def test_happy_the_tail_of_a_kept_chain_may_go(settings):
    settings.CHATHISTORY_BACKUP_KEEP = {"monthly": 2}
    chain = uuid4()
    rows = [made(80 * DAY - n * DAY, chain=chain, number=n) for n in range(3)]
    made(30 * DAY)
    made(DAY)
    Backup.objects.filter(pk=rows[1].pk).update(verified_at=NOW)
    assert backup.expire() == [rows[2]]


def test_happy_the_last_verified_never_goes(settings):
    settings.CHATHISTORY_BACKUP_KEEP = {"hourly": 1}
    old, verified, newer, newest = (made(n * DAY) for n in (9, 8, 7, 6))
    Backup.objects.filter(pk__in=(old.pk, verified.pk)).update(verified_at=NOW)
    assert set(backup.expire()) == {old, newer}
    assert left() == {verified, newest}


def test_happy_one_from_the_future_counts_as_nothing_and_stays(settings):
    settings.CHATHISTORY_BACKUP_KEEP = {"hourly": 1}
    ahead, old, new = made(-30 * DAY), made(DAY), made(HOUR)
    assert backup.expire() == [old]
    assert left() == {ahead, new}


def test_happy_what_one_from_the_future_needs_stays(settings):
    settings.CHATHISTORY_BACKUP_KEEP = {"hourly": 1}
    chain = uuid4()
    rows = {made(3 * DAY, chain=chain), made(-DAY, chain=chain, number=1), made(DAY)}
    assert backup.expire() == []
    assert left() == rows


def test_happy_real_ones_that_are_left_still_verify(alice, talk, settings):
    settings.CHATHISTORY_BACKUP_KEEP = {"daily": 2}
    session = talk("a heron")
    for day in range(4):
        with time_machine.travel(NOW + day * DAY):
            messages.append(session, alice, "user", f"number {day}")
            backup.full()
    with time_machine.travel(NOW + 4 * DAY):
        assert backup.expire()
        for row in left():
            backup.verify(row)
        messages.append(session, alice, "user", "after")
        backup.incremental()


def test_stranger_to_each_other_accounts_and_the_site_are_kept_apart(alice, bob, settings):
    settings.CHATHISTORY_BACKUP_KEEP = {"hourly": 1}
    session = uuid4()
    groups = [
        {},
        {"account": accounts.of(alice)},
        {"account": accounts.of(bob)},
        {"account": accounts.of(bob), "session": session},
    ]
    old = [made(3 * DAY, **group) for group in groups]
    new = [made(2 * DAY, **group) for group in groups]
    archive = Backup.objects.create(
        account=accounts.of(alice), kind="archive", chain=session, name="a" * 64, at=NOW - 9 * DAY
    )
    assert set(backup.expire()) == set(old)
    assert set(Backup.objects.all()) == {*new, archive}


@pytest.mark.parametrize(
    "policy",
    [
        {},
        {"hourly": 0, "daily": 0},
        {"daily": -1},
        {"daily": True},
        {"daily": "7"},
        {"yearly": 1},
        7,
    ],
)
def test_malformed_a_policy_that_keeps_nothing_is_refused(settings, policy):
    rows = {made(n * DAY) for n in range(3)}
    settings.CHATHISTORY_BACKUP_KEEP = policy
    for dry_run in (True, False):
        with pytest.raises(Invalid) as caught:
            backup.expire(dry_run)
        assert caught.value.field == "BACKUP_KEEP"
    assert left() == rows


def test_malformed_files_that_are_gone_already_are_no_matter(settings):
    settings.CHATHISTORY_BACKUP_KEEP = {"hourly": 1}
    old, new = made(DAY), made(HOUR)
    store.remove(backed.place(old))
    assert backup.expire() == [old]
    assert left() == {new}


def test_happy_a_new_base_is_kept_though_what_closed_the_chain_before_it_is_newer(alice, talk):
    session = talk("a lion")
    with time_machine.travel(NOW - HOUR, tick=True):
        backup.full()
    with time_machine.travel(NOW - HOUR / 2, tick=True):
        messages.append(session, alice, "user", "more")
        new = backup.full()
    closing = Backup.objects.get(kind="incremental")
    Backup.objects.filter(pk=closing.pk).update(created_at=new.created_at + timedelta(seconds=5))
    assert backup.expire() == []


def test_repeated_drops_nothing_more(settings):
    settings.CHATHISTORY_BACKUP_KEEP = {"daily": 2}
    for days in range(5):
        made(days * DAY)
    assert len(backup.expire()) == 3
    kept = left()
    assert backup.expire() == []
    assert left() == kept


def test_concurrent_ones_drop_each_once(settings, together):
    settings.CHATHISTORY_BACKUP_KEEP = {"daily": 1}
    for days in range(8):
        made(days * DAY)
    results = together(*[backup.expire] * 3)
    assert not [one for one in results if isinstance(one, Exception)], results
    assert len(left()) == 1
