"""restore.session: one session, as it was."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.utils import timezone

from chathistory import keyring, records
from chathistory.actions import (
    accounts,
    backup,
    lifecycle,
    messages,
    packing,
    pipeline,
    restore,
    sessions,
)
from chathistory.exceptions import Conflict, Invalid, NotAllowed, NotFound
from chathistory.journal import Operation
from chathistory.models import Change, DataKey, Message, Session, Share
from chathistory.search.find import search
from tests.actions.restored import say, shown, texts, tick
from tests.living import Work, indexed, picture

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]


@pytest.fixture
def clock(time_machine):
    time_machine.move_to("2026-03-01T12:00:00Z", tick=False)
    return time_machine


@pytest.fixture
def long_ago(talk, clock):
    """A session in a backup, and the moment."""
    session = talk("lion", "roars", title="Savanna", metadata={"a": 1})
    backup.full()
    return session, tick(clock)


def fresh(session):
    return Session.objects.select_related("account").get(uuid=session.uuid)


def test_happy_texts_are_put_back_as_edits_and_later_words_are_buried(alice, long_ago, clock):
    session, moment = long_ago
    first, second = session.messages.order_by("seq")
    messages.edit(first, alice, "tiger")
    messages.delete(second, alice)
    say(session, alice, "later")
    sessions.change(fresh(session), alice, title="Jungle", tags=["x"], metadata={}, pinned=True)
    clock.shift(1)
    report = restore.session(alice, session.uuid, moment)
    assert shown(alice) == {"Savanna": ("active", ["lion", "roars"])}
    assert (report["sessions_recovered"], report["messages_recovered"]) == (1, 2)
    assert (report["messages_removed"], report["errors"]) == (1, [])
    now = fresh(session)
    assert (now.pinned, now.message_count, records.metadata_of(now)) == (False, 2, {"a": 1})
    assert not now.tags.exists()
    row = now.messages.get(seq=1)
    assert (row.revision, row.revisions.count()) == (3, 2)
    assert now.head_seq == 2
    assert records.preview_of(now) == "roars"
    assert [len(search(alice, word).hits) for word in ("lion", "roars", "tiger", "later")] == [
        *(1, 1, 0, 0),
    ]
    assert indexed(accounts.of(alice))


def test_happy_it_can_be_undone_by_one_more(alice, long_ago, clock):
    session, moment = long_ago
    messages.edit(session.messages.get(seq=1), alice, "tiger")
    say(session, alice, "later")
    before, again = shown(alice), tick(clock)
    restore.session(alice, session.uuid, moment)
    clock.shift(1)
    restore.session(alice, session.uuid, again)
    assert shown(alice) == before
    assert indexed(accounts.of(alice))


def test_happy_it_comes_out_of_the_trash_and_back_into_the_archive(alice, talk, clock):
    session = talk("lion")
    lifecycle.archive(session, alice)
    backup.full()
    moment = tick(clock)
    sessions.delete(session, alice)
    clock.shift(1)
    restore.session(alice, session.uuid, moment)
    now = fresh(session)
    assert (now.state, now.deleted_at, now.purge_after) == ("archived", None, None)
    assert now.archived_at is not None


def test_happy_its_time_in_the_trash_begins_anew(alice, talk, clock):
    session = talk("lion")
    sessions.delete(session, alice)
    backup.full()
    moment = tick(clock)
    sessions.restore(session, alice)
    clock.shift(40 * 86_400)
    backup.full()
    clock.shift(1)
    restore.session(alice, session.uuid, moment)
    now = fresh(session)
    assert (now.state, now.deleted_at) == ("deleted", timezone.now())
    assert now.purge_after > timezone.now()


def test_happy_a_packed_one(alice, talk, clock):
    session = talk(*(f"word{n}" for n in range(12)))
    backup.full()
    moment = tick(clock)
    messages.edit(session.messages.get(seq=3), alice, "changed")
    lifecycle.archive(fresh(session), alice)
    packing.compress(Work(accounts.of(alice)))
    assert Message.objects.filter(block__isnull=False).count() == 12
    clock.shift(1)
    restore.session(alice, session.uuid, moment)
    assert texts(fresh(session)) == [f"word{n}" for n in range(12)]
    assert indexed(accounts.of(alice))


def test_happy_one_that_is_lost_comes_back_under_its_own_ids(alice, long_ago, clock):
    session, _moment = long_ago
    messages.branch(session.messages.get(seq=1), alice, "puma")
    messages.edit(session.messages.get(seq=2), alice, "purrs")
    again = tick(clock)
    backup.incremental()
    before = picture(accounts.of(alice))
    # Lost, not removed: nothing of it is in the ledger.
    session.messages.all().delete()
    Session.objects.filter(pk=session.pk).delete()
    report = restore.session(alice, session.uuid, again)
    assert (report["sessions_recovered"], report["messages_recovered"]) == (1, 3)
    after = picture(accounts.of(alice))
    assert after.keys() == before.keys()
    kept = ("seq", "parent_seq", "content", "revision", "revisions", "created_at", "edited_at")
    for name, row in before.items():
        if name.startswith("message"):
            assert {key: after[name][key] for key in kept} == {key: row[key] for key in kept}
    assert fresh(session).head_seq == 3


def test_happy_grants_and_holds_stay_as_they_are(alice, bob, long_ago, invite, clock):
    session, moment = long_ago
    invite(session, bob, "read")
    lifecycle.hold(fresh(session), None, True, "a reason")
    say(session, alice, "later")
    clock.shift(1)
    restore.session(alice, session.uuid, moment)
    assert Share.objects.count() == 1
    assert fresh(session).hold is True


def test_happy_a_dry_run_says_what_the_run_does_and_writes_nothing(alice, long_ago, clock):
    session, moment = long_ago
    messages.edit(session.messages.get(seq=1), alice, "tiger")
    say(session, alice, "later")
    clock.shift(1)
    backup.incremental()
    before, changes = picture(accounts.of(alice)), Change.objects.count()
    dry = restore.session(alice, session.uuid, moment, dry_run=True)
    assert picture(accounts.of(alice)) == before
    assert Change.objects.count() == changes
    real = restore.session(alice, session.uuid, moment)
    assert dry == real | {"dry_run": True}
    assert not any(word in str(real) for word in ("tiger", "lion"))


def test_stranger_gets_not_found(bob, charlie, nobody, long_ago, invite):
    session, moment = long_ago
    invite(session, bob, "read", "edit", "delete")
    for user in (bob, charlie):
        with pytest.raises(NotFound):
            restore.session(user, session.uuid, moment)
    with pytest.raises(NotAllowed):
        restore.session(nobody, session.uuid, moment)


def test_malformed_what_is_not_in_the_backup_of_then(alice, long_ago, talk, clock):
    _session, moment = long_ago
    later = talk("later")
    clock.shift(1)
    for uuid in (later.uuid, uuid4()):
        with pytest.raises(NotFound):
            restore.session(alice, uuid, moment)


@pytest.mark.parametrize("at", [None, "2026-03-01", 5, timezone.datetime(2026, 3, 1)])
def test_malformed_times(alice, long_ago, at):
    with pytest.raises(Invalid):
        restore.session(alice, long_ago[0].uuid, at)


def test_malformed_ids(alice, long_ago):
    with pytest.raises(Invalid):
        restore.session(alice, "no uuid", long_ago[1])


def test_repeated_does_nothing(alice, long_ago, clock):
    session, moment = long_ago
    messages.edit(session.messages.get(seq=1), alice, "tiger")
    sessions.delete(session, alice)
    clock.shift(1)
    restore.session(alice, session.uuid, moment)
    changes = Change.objects.count()
    clock.shift(60)
    again = restore.session(alice, session.uuid, moment)
    assert (again["sessions_recovered"], again["sessions"]) == (0, [])
    assert Change.objects.count() == changes


def test_concurrent_restores_take_turns_and_words_go_on(
    alice, long_ago, together, clock, monkeypatch
):
    session, moment = long_ago
    messages.edit(session.messages.get(seq=1), alice, "tiger")
    clock.shift(1)
    work = [lambda: restore.session(alice, session.uuid, moment)] * 2
    done = together(*work, lambda: say(session, alice, "meanwhile"))
    reports = [one for one in done[:2] if not isinstance(one, Conflict)]
    assert reports
    assert all(isinstance(one, dict) for one in reports)
    assert texts(fresh(session))[:2] == ["lion", "roars"]
    assert Message.objects.filter(session=session).count() == 3


def test_malformed_a_version_of_its_key_that_no_key_set_has_is_named(alice, long_ago, clock):
    session, _moment = long_ago
    with Operation(session.account, None, "session.rekey") as op:
        session = pipeline.lock(op, session)
        session.key_version += 1
        keyring.make_session_keys(op.account, [session])
        pipeline.touch(op, session, {}, "key_version")
    say(session, alice, "purrs")
    DataKey.objects.filter(session=session, version=2).delete()
    keyring.forget()
    backup.incremental()
    now = tick(clock)
    lost = session.messages.get(seq=3)
    report = restore.session(alice, session.uuid, now)
    assert any(str(lost.uuid) in one and "version 2" in one for one in report["errors"])
    first = session.messages.get(seq=1)
    assert records.open_body(first, session).content == "lion"
