"""restore.plan: which backups bring a moment back."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest
from django.utils import timezone

from chathistory.actions import accounts, backup, messages, restore
from chathistory.backups import store
from chathistory.exceptions import Damaged, Invalid, NotFound
from chathistory.models import Backup
from tests.actions import backed
from tests.actions.restored import shown, tick
from tests.living import MICRO

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]


@pytest.fixture
def clock(time_machine):
    time_machine.move_to("2026-03-01T12:00:00Z", tick=False)
    return time_machine


@pytest.fixture
def chain(alice, talk, clock):
    """A base and three segments, ten minutes apart; a session."""
    session = talk("one")
    backup.full()
    for word in ("two", "three", "four"):
        clock.shift(600)
        messages.append(session, alice, "user", word)
        assert backup.incremental().number
    clock.shift(600)
    return session


def numbers(found):
    """Return what a plan brings in, and in the end the first that is beyond."""
    beyond = [found.beyond.at.number] if found.beyond else []
    return [part.at.number for part in found.parts] + beyond


def test_happy_the_base_and_what_leads_past_the_moment(chain, alice):
    base, *segments = Backup.objects.order_by("number")
    assert numbers(restore.plan(base.at)) == [0, 1]
    assert numbers(restore.plan(segments[0].at - timedelta(minutes=2))) == [0, 1]
    assert numbers(restore.plan(segments[0].at - MICRO)) == [0, 1, 2]
    assert numbers(restore.plan(segments[0].at)) == [0, 1, 2]
    assert numbers(restore.plan(segments[2].at)) == [0, 1, 2, 3]
    found = restore.plan(segments[1].at, accounts.of(alice), chain.uuid)
    assert (found.is_of_site, found.account, found.session, found.until) == (
        True,
        accounts.of(alice).uuid,
        chain.uuid,
        segments[1].at,
    )


def test_happy_a_quiet_time_longer_than_the_journal_goes_back(chain, alice, clock):
    moment = timezone.now()
    before = shown(alice)
    clock.shift(60 * 86_400)
    messages.append(chain, alice, "user", "at last")
    backup.incremental()
    clock.shift(1)
    found = restore.plan(moment)
    assert (numbers(found), found.beyond.at.number) == ([0, 1, 2, 3, 4], 4)
    assert found.until == moment
    assert restore.account(alice, moment)["messages_removed"] == 1
    assert shown(alice) == before


def test_malformed_a_segment_that_spans_more_than_the_journal_is_named(chain, alice, clock):
    moment = timezone.now()
    messages.append(chain, alice, "user", "not shipped")
    clock.shift(60 * 86_400)
    messages.append(chain, alice, "user", "at last")
    backup.incremental()
    with pytest.raises(Damaged, match=Backup.objects.get(number=4).name):
        restore.plan(moment)


def test_happy_what_no_backup_has_yet_is_shipped_first(chain, alice, clock):
    messages.append(chain, alice, "user", "five")
    clock.shift(1)
    assert numbers(restore.plan(timezone.now())) == [0, 1, 2, 3, 4]
    assert numbers(restore.plan(timezone.now())) == [0, 1, 2, 3, 4]


def test_happy_a_later_chain_is_taken_as_soon_as_it_begins(chain, alice, clock):
    old = Backup.objects.get(number=0)
    messages.append(chain, alice, "user", "five")
    new = backup.full()
    clock.shift(1)
    assert restore.plan(new.at).parts[0].at == backed.place(new)
    found = restore.plan(new.at - MICRO)
    assert found.parts[0].at == backed.place(old)
    assert found.until == new.at - MICRO


def test_happy_a_later_base_is_undone_where_a_chain_ends_too_soon(chain, alice, clock, home):
    last = Backup.objects.get(number=3)
    moment = tick(clock, 60)
    messages.append(chain, alice, "user", "five")
    backed.path(home, last).unlink()
    new = backup.full()
    Backup.objects.filter(pk=last.pk).delete()
    assert [part.at for part in restore.plan(moment).parts] == [backed.place(new)]


def test_happy_one_accounts_own_backup_where_the_site_has_none(alice, bob, talk, clock):
    session = talk("one")
    mine = backup.full(alice, accounts.of(alice))
    clock.shift(60)
    found = restore.plan(timezone.now(), accounts.of(alice), session.uuid)
    assert (found.is_of_site, found.until) == (False, mine.at)
    with pytest.raises(NotFound):
        restore.plan(timezone.now(), accounts.of(bob))


def test_stranger_none_reads_the_backups_of_another(alice, bob, talk, clock):
    backup.full(alice, accounts.of(alice), talk("one"))
    clock.shift(60)
    for whose in (None, accounts.of(bob), accounts.of(alice)):
        with pytest.raises(NotFound):
            restore.plan(timezone.now(), whose)


def test_malformed_a_time_to_come(chain):
    with pytest.raises(Invalid):
        restore.plan(timezone.now() + MICRO)


def test_malformed_a_time_before_the_first_names_the_oldest(chain):
    oldest = Backup.objects.get(number=0).at
    with pytest.raises(NotFound) as error:
        restore.plan(oldest - MICRO)
    assert str(error.value).startswith(f"No backup found for timestamp {oldest - MICRO:%Y-%m-%dT}")
    assert oldest.isoformat() in str(error.value)


def test_malformed_nothing_was_ever_backed_up(alice, clock):
    with pytest.raises(NotFound) as error:
        restore.plan(timezone.now())
    assert "No backup found for timestamp 2026-03-01T12:00:00+00:00." in str(error.value)


def test_malformed_a_segment_that_is_gone_is_named(chain, home):
    moment = timezone.now()
    for number in (1, 2, 3):
        row = Backup.objects.get(number=number)
        path = backed.path(home, row)
        kept = path.read_bytes()
        path.unlink()
        with pytest.raises(Damaged, match=f"{row.chain}/{number:08d}"):
            restore.plan(moment)
        path.write_bytes(kept)
    assert numbers(restore.plan(moment)) == [0, 1, 2, 3]


def test_malformed_without_a_list_a_gap_is_seen_all_the_same(chain, home):
    row = Backup.objects.get(number=2)
    backed.path(home, row).unlink()
    Backup.objects.all().delete()
    with pytest.raises(Damaged, match=f"{row.chain}/00000002 is missing"):
        restore.plan(timezone.now())


def test_malformed_a_segment_that_is_there_twice_swapped_or_foreign(chain, talk, home):
    first, second = (backed.path(home, Backup.objects.get(number=n)) for n in (1, 2))
    whole = first.read_bytes(), second.read_bytes()
    twice = second.with_name(f"00000002-{'0' * 64}.chat")
    shutil.copy(second, twice)
    with pytest.raises(Damaged, match="has the same number"):
        restore.plan(timezone.now())
    twice.unlink()
    for path, mine, other in ((first, *whole), (second, *reversed(whole))):
        path.chmod(0o600)
        path.write_bytes(other)
        with pytest.raises(Damaged, match=path.name):
            restore.plan(timezone.now())
        path.write_bytes(mine)
    assert numbers(restore.plan(timezone.now())) == [0, 1, 2, 3]


def test_malformed_an_unreadable_base_matters_where_it_may_be_wanted(chain, alice, clock, home):
    new = backup.full()
    clock.shift(1)
    moment = timezone.now()
    backed.flipped(backed.path(home, new), 3)
    with pytest.raises(Damaged, match=new.name):
        restore.plan(moment)
    assert numbers(restore.plan(new.at - timedelta(minutes=30)))[0] == 0
    backed.flipped(backed.path(home, new), 3)
    backed.flipped(backed.path(home, Backup.objects.order_by("pk")[0]), 3)
    assert restore.plan(moment).parts[0].at == backed.place(new)


def test_repeated_it_is_the_same(chain):
    moment = timezone.now()
    assert restore.plan(moment) == restore.plan(moment)


def test_concurrent_plans_agree_and_ship_once(chain, alice, clock, together):
    messages.append(chain, alice, "user", "five")
    clock.shift(1)
    moment = timezone.now()
    found = together(*[lambda: restore.plan(moment)] * 4)
    assert {tuple(numbers(one)) for one in found} == {(0, 1, 2, 3, 4)}
    assert len(store.places()) == 5
