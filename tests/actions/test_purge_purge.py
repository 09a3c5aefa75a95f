"""purge.purge: out of the trash for good."""

from __future__ import annotations

import pytest
from django.db import connection

from chathistory import keyring, ledger, registry
from chathistory.actions import accounts, messages, packing, purge, removing, sessions
from chathistory.exceptions import Conflict, NotAllowed, NotFound, Stale
from chathistory.models import (
    Block,
    Change,
    DataKey,
    Message,
    Revision,
    Session,
    Share,
    Tag,
)
from chathistory.search.base import index
from chathistory.search.find import search
from tests.actions.asked import Asked

pytestmark = pytest.mark.usefixtures("keyed_home")

HANGING = (Session, Message, Revision, Block, Share, Session.tags.through)


@pytest.fixture
def trashed(alice, bob, talk, invite):
    """A session that has lived a little, in the trash."""
    session = talk("zebra", "a striped horse", title="stripes")
    invite(session, bob, "read", "delete")
    sessions.change(session, alice, tags=["animals"], metadata={"a": 1})
    messages.edit(session.messages.get(seq=2), alice, "a striped donkey")
    messages.delete(session.messages.get(seq=1), alice)
    return sessions.delete(session, alice)


def indexed(account, word):
    keyed = keyring.account_keys(account).search
    return index().counts([keyed.token(word)], 10)[0]


def left():
    return {model.__name__: model._base_manager.count() for model in HANGING}


def test_happy_all_that_hung_on_it_is_gone(alice, trashed):
    account = trashed.account
    purge.purge(trashed, alice)
    assert set(left().values()) == {0}
    assert not DataKey.objects.filter(purpose="session").exists()
    assert indexed(account, "donkey") == indexed(account, "zebra") == 0
    assert (index().marked() is None) == (connection.vendor != "sqlite")
    (noted,) = ledger.read()
    assert (noted.account, noted.session, noted.messages) == (account.uuid, trashed.uuid, ())


def test_happy_changes_stay_without_what_they_replaced(alice, trashed):
    before = Change.objects.filter(session=trashed.uuid).count()
    purge.purge(trashed, alice)
    rows = Change.objects.filter(session=trashed.uuid)
    assert not rows.filter(before__isnull=False).exists()
    purged = rows.filter(op="session.purge").values_list("table", flat=True)
    assert sorted(purged) == ["message"] * 2 + ["revision"] + ["session"] * 2 + ["share"]
    assert rows.count() == before + len(purged)
    assert {row.actor for row in rows.filter(op="session.purge")} == {accounts.of(alice)}


def test_happy_others_keep_everything(alice, talk, trashed):
    other = talk("another zebra", title="other stripes")
    sessions.tag(other, alice, ["animals"])
    purge.purge(trashed, alice)
    assert [hit.message.session_id for hit in search(alice, "zebra").hits] == [other.pk]
    assert search(alice, "stripes").titles == [other]
    assert list(Tag.objects.get().sessions.all()) == [other]


def test_happy_archived_and_packed(alice, talk):
    session = talk(*"abcdefghijklmno")
    Session.objects.filter(pk=session.pk).update(state="archived")
    packing.compress(Asked(session.account))
    assert Block.objects.count() == 2
    gone = sessions.delete(session, alice)
    purge.purge(gone, None)
    assert set(left().values()) == {0}


def test_happy_hooks_are_told_of_every_message_and_then_of_the_session(alice, trashed, monkeypatch):
    told = []
    hook = lambda op, session, rows: told.append((session.uuid, [row.seq for row in rows]))  # noqa: E731
    monkeypatch.setattr(registry, "PURGES", [*registry.PURGES, hook])
    purge.purge(trashed, alice)
    assert told == [(trashed.uuid, [1, 2]), (trashed.uuid, [])]


def test_happy_what_does_not_open_goes_too_with_its_tokens(alice, trashed):
    account = trashed.account
    said = trashed.messages.get(seq=2)
    Message.objects.filter(pk=said.pk).update(body=b"damaged" * 9)
    Session.objects.filter(pk=trashed.pk).update(title=b"damaged" * 9)
    purge.purge(Session.objects.get(pk=trashed.pk), alice)
    assert set(left().values()) == {0}
    assert indexed(account, "donkey") == 0
    assert index().read([said.place]) == index().read([trashed.pk], titles=True) == []


def test_happy_a_session_without_its_key_goes_too(alice, trashed):
    account = trashed.account
    DataKey.objects.filter(session=trashed).delete()
    keyring.forget()
    purge.purge(trashed, alice)
    assert set(left().values()) == {0}
    assert indexed(account, "donkey") == 0


def test_stranger_gets_not_found(bob, charlie, nobody, trashed):
    for user in (bob, charlie, nobody):  # what is in the trash is its owner's alone
        with pytest.raises(NotFound):
            purge.purge(trashed, user)
    assert left()["Message"] == 2
    assert ledger.read() == []


def test_stranger_who_may_delete_may_not_purge(alice, bob, trashed):
    back = sessions.restore(trashed, alice)
    with pytest.raises(NotAllowed):
        purge.purge(back, bob)


@pytest.mark.parametrize("state", ["active", "idle", "archived"])
def test_malformed_it_must_be_in_the_trash(alice, talk, state):
    session = talk("zebra")
    Session.objects.filter(pk=session.pk).update(state=state)
    for user in (alice, None):
        with pytest.raises(Conflict) as refused:
            purge.purge(session, user)
        assert refused.value.data["state"] == state
    assert Session.objects.get().purging_at is None
    assert ledger.read() == []


def test_malformed_a_hold_refuses_it(alice, trashed):
    Session.objects.filter(pk=trashed.pk).update(hold=True)
    for user in (alice, None):
        with pytest.raises(Conflict):
            purge.purge(trashed, user)
    assert Session.objects.get().purging_at is None
    assert ledger.read() == []


@pytest.mark.parametrize("version", [0, -1, 10**30, "2"])
def test_malformed_versions_are_stale(alice, trashed, version):
    with pytest.raises(Stale):
        purge.purge(trashed, alice, version=version)
    assert left()["Message"] == 2


def test_repeated_does_nothing(alice, trashed):
    purge.purge(trashed, alice)
    before = Change.objects.count()
    purge.purge(trashed, alice)
    assert Change.objects.count() == before
    assert len(ledger.read()) == 1


@pytest.mark.django_db(transaction=True)
def test_repeated_after_each_step_it_was_cut_short_at(alice, talk, monkeypatch):
    monkeypatch.setattr(removing, "CHUNK", 2)
    cut = 0
    while True:
        session = talk("one", "two", "three", "four", "five", title="zebra")
        messages.edit(session.messages.get(seq=3), alice, "changed")
        sessions.delete(session, alice)
        steps = purge._steps(session, accounts.of(alice))
        if len([True for _ in zip(range(cut), steps, strict=False)]) < cut:
            break
        steps.close()
        if cut:  # it has begun: there is no way back
            with pytest.raises(Conflict):
                sessions.restore(session, alice)
        purge.purge(session, alice)
        assert set(left().values()) == {0}, cut
        assert indexed(session.account, "four") == 0
        cut += 1
    assert cut > 4


@pytest.mark.django_db(transaction=True)
def test_concurrent_purges_are_one(alice, talk, together):
    session = talk(*"abcdefgh", title="zebra")
    other = talk("a living zebra")
    sessions.delete(session, alice)
    assert together(*[lambda: purge.purge(session, alice)] * 4) == [None] * 4
    assert (Session.objects.get(), Message.objects.count()) == (other, 1)
    gone = Change.objects.filter(op="session.purge", table="message")
    assert gone.count() == len(set(gone.values_list("row"))) == 8
    assert len(search(alice, "zebra").hits) == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_restore_and_purge_leave_all_or_nothing(alice, talk, together):
    session = talk("zebra", "horse")
    sessions.delete(session, alice)
    together(lambda: sessions.restore(session, alice), lambda: purge.purge(session, alice))
    assert left()["Message"] == 2 * Session.objects.count()
    assert Session.objects.filter(state="deleted").count() == 0
