"""erase.erase: everything of a person, the keys last."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
from django.contrib.auth.models import User
from django.db import connection

from chathistory import keyring, ledger, listing, records, represent, spool
from chathistory.actions import (
    accounts,
    erase,
    jobs,
    messages,
    packing,
    removing,
    retention,
    sessions,
    tokens,
)
from chathistory.backups import keysets
from chathistory.exceptions import (
    ChatHistoryError,
    Conflict,
    Damaged,
    Invalid,
    LimitExceeded,
    NotAllowed,
    NotFound,
)
from chathistory.journal import Operation
from chathistory.models import (
    Account,
    Block,
    Change,
    DataKey,
    Job,
    Message,
    RetentionPolicy,
    Revision,
    Session,
    Share,
    Tag,
    Token,
)
from chathistory.search.base import index
from chathistory.search.find import search
from tests.actions.asked import Asked

pytestmark = pytest.mark.usefixtures("keyed_home")

OWNED = (Session, Message, Revision, Block, Share, Tag, Job, Token, RetentionPolicy, DataKey)


@pytest.fixture
def lived(alice, bob, talk, invite):
    """Alice's account, with something of everything."""
    session = talk("zebra", "a striped horse", title="stripes")
    invite(session, bob, "read", "write")
    messages.edit(session.messages.get(seq=2), alice, "a striped donkey")
    messages.append(session, bob, "user", "and a heron")
    sessions.tag(session, alice, ["animals"])
    sessions.delete(talk("thrown away"), alice)
    packed = talk(*"abcdefghijkl")
    Session.objects.filter(pk=packed.pk).update(state="archived")
    packing.compress(Asked(session.account))
    tokens.create(alice)
    retention.set_policy(alice, tag=Tag.objects.get(), idle_after=60)
    job = jobs.run(session.account, "import", {"file": "chats.json"}, dict)
    with spool.Writer(job.uuid) as file:
        file.write(b"chats")
        file.finish()
    return accounts.of(alice)


def left(account):
    found = {model.__name__: model._base_manager.filter(account=account) for model in OWNED}
    return {name: rows.count() for name, rows in found.items() if rows.exists()}


def fresh(session):
    return Session.objects.select_related("account").get(pk=session.pk)


def said(session):
    rows = session.messages.order_by("seq")
    return [one["content"] for one in represent.messages_json(fresh(session), rows)]


def test_happy_nothing_is_left(lived, tmp_path):
    assert set(left(lived)) == {model.__name__ for model in OWNED}
    proof = erase.erase(lived, None)
    assert left(lived) == {}
    assert not Change.objects.filter(account=lived, before__isnull=False).exists()
    assert list((tmp_path / "tmp").iterdir()) == []
    row = Account.objects.get(pk=lived.pk)
    assert (row.user, row.erased_at.isoformat()) == (None, proof["erased_at"])
    (noted,) = ledger.read()
    assert (noted.account, noted.session, noted.override) == (lived.uuid, None, "")


def test_happy_the_proof_counts(lived):
    counts = {name: count for name, count in left(lived).items() if name != "DataKey"}
    keys = DataKey.objects.filter(account=lived).count()
    images = Change.objects.filter(account=lived, before__isnull=False).count()
    proof = erase.erase(lived, None)
    assert proof["removed"] == {
        "sessions": counts["Session"],
        "messages": counts["Message"],
        "revisions": counts["Revision"],
        "blocks": counts["Block"],
        "shares": counts["Share"],
        "tags": counts["Tag"],
        "jobs": counts["Job"],
        "tokens": counts["Token"],
        "policies": counts["RetentionPolicy"],
        "keys": keys,
        "before_images": images,
    }
    assert (proof["account"], proof["lapses"]) == (str(lived.uuid), "none")


def test_happy_the_proof_names_the_key_sets_and_when_each_is_gone(lived):
    keysets.write_full({})
    proof = erase.erase(lived, None)
    assert proof["lapses"] == {name: at.isoformat() for name, at in keysets.lapsing()}
    assert len(proof["lapses"]) == 1


def test_happy_the_person_begins_anew(alice, lived):
    erase.erase(lived, None)
    account = accounts.of(alice)
    assert account != lived
    session = sessions.create(alice, "tutor", title="a new zebra")
    assert listing.page(alice).sessions == [session]
    assert [one.pk for one in search(alice, "zebra").titles] == [session.pk]


def test_happy_another_process_that_remembers_the_keys_writes_nothing(lived, monkeypatch):
    monkeypatch.setattr(keyring, "forget", lambda: None)
    remembered = Account.objects.get(pk=lived.pk)
    keyring.account_keys(remembered)
    erase.erase(lived, None)
    with pytest.raises(Damaged), Operation(remembered, None, "session.create") as op:
        keyring.account_keys(op.account)


def test_happy_what_they_said_elsewhere_is_emptied(alice, bob, talk, invite):
    session = talk("zebra", "stripes")
    invite(session, bob, "read", "write")
    mine = messages.append(session, bob, "user", "my heron")
    other = talk("of bob", user=bob)
    invite(other, alice, "read")
    account = accounts.of(bob)
    proof = erase.erase(account, account)
    assert proof["removed"] == {
        "sessions": 1,
        "messages": 2,
        "shares": 1,
        "shares_received": 1,
        "keys": 5,
        "before_images": 1,
    }
    assert said(session) == ["zebra", "stripes", ""]
    row = Message.objects.get(pk=mine.pk)
    assert (row.revision, row.deleted_at is None) == (0, False)
    kept = fresh(session)
    assert (kept.message_count, kept.preview, kept.head_seq) == (2, None, 3)
    assert kept.total_tokens == sum(session.messages.values_list("tokens", flat=True))
    keyed = keyring.account_keys(kept.account).search
    assert index().counts([keyed.token("heron")], 10)[0] == 0
    assert {entry.messages for entry in ledger.read()} == {(), (mine.uuid,)}


def test_happy_a_title_made_of_their_words_goes_with_them(alice, bob, talk, invite):
    session, named = talk(), talk(title="my own")
    for one in (session, named):
        invite(one, bob, "read", "write")
        messages.append(one, bob, "user", "the heron is mine")
    erase.erase(accounts.of(bob), None)
    assert records.title_of(fresh(session)).startswith("Chat ")
    assert records.title_of(fresh(named)) == "my own"
    assert search(alice, "heron").titles == []
    messages.append(session, alice, "user", "zebra")
    assert records.title_of(fresh(session)) == "zebra"


def test_happy_the_file_of_a_job_that_comes_in_meanwhile_goes_too(alice, tmp_path, monkeypatch):
    account, delete, late = accounts.of(alice), spool.delete, [1]

    def make():
        with spool.Writer(jobs.enqueue(account, "export", {}).uuid) as file:
            file.finish()

    def delete_and_make(uuid):
        delete(uuid)
        if late:
            late.pop(), make()
            Job.objects.exclude(uuid=uuid).update(id=0)  # it is found first

    make()
    monkeypatch.setattr(erase, "CHUNK", 1)
    monkeypatch.setattr(removing, "CHUNK", 1)
    monkeypatch.setattr(spool, "delete", delete_and_make)
    erase.erase(account, None)
    assert list((tmp_path / "tmp").iterdir()) == []


def images(session):
    """Return every title that the journal still knows of a session."""
    rows = Change.objects.filter(session=session.uuid, table="session", before__isnull=False)
    return [records.open_before(row, fresh(session)).get("title") for row in rows]


def test_happy_nor_does_the_journal_keep_such_a_title(alice, bob, talk, invite):
    named, edited, changed = talk(), talk(), talk("zebra", "stripes")
    for session in (named, edited):
        invite(session, bob, "read", "write")
        messages.append(session, bob, "user", "the heron is mine")
    sessions.rename(named, alice, "my own")
    messages.edit(edited.messages.get(), alice, "a zebra")
    invite(changed, bob, "read", "edit")
    messages.edit(changed.messages.get(seq=1), bob, "heron")
    messages.edit(changed.messages.get(seq=1), bob, "crane")
    assert records.title_of(fresh(changed)) == "crane"
    assert {"the heron is mine", "zebra", "heron"} <= {
        *images(named),
        *images(edited),
        *images(changed),
    }
    proof = erase.erase(accounts.of(bob), None)
    assert {*images(named), *images(edited), *images(changed)} <= {None, "zebra"}
    assert "zebra" in images(changed)
    assert proof["removed"]["before_images"] >= 3
    assert records.title_of(fresh(named)) == "my own"
    assert records.title_of(fresh(changed)).startswith("Chat ")
    for word in ("heron", "crane"):
        assert search(alice, word).titles == []


def test_happy_what_they_changed_says_again_what_it_said(alice, bob, talk, invite):
    session = talk("zebra", "stripes", "lake")
    invite(session, bob, "read", "edit")
    first, second, third = session.messages.order_by("seq")
    messages.edit(first, bob, "heron")  # shown
    messages.edit(second, bob, "bird")  # an earlier text
    messages.edit(second, alice, "spots")
    messages.edit(third, alice, "pond")
    messages.edit(third, bob, "sea")
    messages.edit(third, bob, "ocean")
    proof = erase.erase(accounts.of(bob), None)
    assert proof["removed"]["revisions"] == 4
    assert said(session) == ["zebra", "spots", "pond"]
    earlier = Revision.objects.order_by("pk").select_related("message__session__account")
    kept = [records.open_revision(row, row.message.session).content for row in earlier]
    assert kept == ["stripes", "lake"]
    for word, count in {"zebra": 1, "heron": 0, "spots": 1, "pond": 1, "ocean": 0}.items():
        assert len(search(alice, word).hits) == count, word
    row = Message.objects.get(pk=first.pk)
    assert (row.edited_at, row.revision) == (None, 3)
    assert records.preview_of(fresh(session)) == "pond"
    assert fresh(session).total_tokens == sum(session.messages.values_list("tokens", flat=True))


def test_happy_what_they_changed_and_nobody_else_said_is_emptied(alice, bob, talk, invite):
    session = talk("zebra")
    invite(session, bob, "read", "edit")
    messages.edit(session.messages.get(), bob, "heron")
    Revision.objects.all().delete()
    erase.erase(accounts.of(bob), None)
    assert said(session) == [""]


def test_happy_elsewhere_in_blocks_and_in_the_trash(alice, bob, talk, invite):
    packed, trashed = talk(*"abc"), talk("d")
    for session in (packed, trashed):
        invite(session, bob, "read", "write")
        messages.append(session, bob, "user", "heron")
    Session.objects.filter(pk=packed.pk).update(state="archived")
    packing.compress(Asked(packed.account))
    sessions.delete(trashed, alice)
    erase.erase(accounts.of(bob), None)
    assert said(packed) == ["a", "b", "c", ""]
    assert said(trashed) == ["d", ""]


def test_stranger_gets_not_found(bob, charlie, lived):
    for user in (bob, charlie):
        with pytest.raises(NotFound):
            erase.erase(lived, accounts.of(user))
    assert set(left(lived)) == {model.__name__ for model in OWNED}
    assert ledger.read() == []


@pytest.mark.django_db
def test_malformed_the_sites_own_account():
    with pytest.raises(Invalid):
        erase.erase(accounts.system(), None)


def test_malformed_reasons(lived):
    with pytest.raises(LimitExceeded):
        erase.erase(lived, None, override="x" * 501)
    with pytest.raises(Invalid):
        erase.erase(lived, None, override="   ")
    with pytest.raises(NotAllowed):
        erase.erase(lived, lived, override="because")
    assert ledger.read() == []


@pytest.mark.parametrize("where", ["own", "elsewhere"])
def test_malformed_a_hold_refuses_it_without_a_reason(alice, bob, talk, invite, where):
    session = talk("zebra", user=alice if where == "own" else bob)
    invite(session, alice, "read", "write") if where == "elsewhere" else None
    messages.append(session, alice, "user", "heron")
    Session.objects.filter(pk=session.pk).update(hold=True)
    account = accounts.of(alice)
    with pytest.raises(Conflict) as refused:
        erase.erase(account, None)
    assert refused.value.data["sessions"] == 1
    assert said(session) == ["zebra", "heron"]
    assert ledger.read() == []
    proof = erase.erase(account, None, override="ruling 12/7")
    assert proof["override"] == "ruling 12/7"
    assert Account.objects.get(pk=account.pk).erased_at is not None
    assert ledger.read()[0].override == "ruling 12/7"
    (change,) = Change.objects.filter(op="account.override")
    assert (change.account, change.row) == (accounts.system(), account.uuid)


def test_repeated_does_nothing(lived):
    erase.erase(lived, None)
    before, at = Change.objects.count(), Account.objects.get(pk=lived.pk).erased_at
    proof = erase.erase(Account.objects.get(pk=lived.pk), None)
    assert (proof["removed"], proof["erased_at"]) == ({}, at.isoformat())
    assert Change.objects.count() == before


@pytest.mark.django_db(transaction=True)
def test_repeated_after_it_was_stopped_anywhere_it_finishes(lived, bob, invite, talk, monkeypatch):
    monkeypatch.setattr(removing, "CHUNK", 2)
    other = talk("of bob", user=bob)
    invite(other, User.objects.get(username="alice"), "read", "write")
    for n in range(3):
        messages.append(other, lived.user, "user", f"heron {n}")
    stops = 0

    def stop():
        raise InterruptedError

    while True:
        try:
            erase.erase(Account.objects.get(pk=lived.pk), None, step=stop)
        except InterruptedError:
            stops += 1
            continue
        break
    assert stops > 15
    assert left(lived) == {}
    assert said(other) == ["of bob", "", "", ""]
    assert index().marked() is None


@pytest.mark.django_db(transaction=True)
def test_concurrent_erasures_are_one(lived, together):
    again = [Account.objects.get(pk=lived.pk) for _ in range(3)]
    proofs = together(*[lambda one=one: erase.erase(one, None) for one in again])
    assert sum(proof["removed"].get("sessions", 0) for proof in proofs) == 3
    assert left(lived) == {}
    assert len({proof["erased_at"] for proof in proofs}) == 1


@pytest.mark.django_db(transaction=True)
def test_concurrent_writers_leave_nothing_behind(alice, talk, together):
    rows = [talk(f"zebra {n}") for n in range(6)]
    account = accounts.of(alice)

    def write():
        for n in range(20):
            messages.append(rows[n % 6], alice, "user", f"horse {n}")

    def begin():
        for n in range(10):
            sessions.create(User.objects.get(pk=alice.pk), "tutor", title=f"heron {n}")

    erased, *_others = together(lambda: erase.erase(account, None), write, begin)
    assert isinstance(erased, dict)
    assert left(account) == {}
    assert not Message.objects.filter(session__account=account).exists()
    assert not Share.objects.filter(session__account=account).exists()
    if connection.vendor == "sqlite":
        assert erased["files"] in ("clean", "busy")


@pytest.mark.django_db(transaction=True)
def test_concurrent_somebody_who_goes_on_writing_holds_nothing_up(alice, talk, together):
    talk("a lion")
    account, stop = accounts.of(alice), threading.Event()

    def write():
        user, made = User.objects.get(pk=alice.pk), 0
        while not stop.is_set():
            with contextlib.suppress(ChatHistoryError):
                messages.append(sessions.create(user, "tutor"), user, "user", "again")
                made += 1
            time.sleep(0.01)
        return made

    def end():
        try:
            return erase.erase(account, None)
        finally:
            stop.set()

    proof, *made = together(end, write, write)
    assert proof["erased_at"]
    assert all(isinstance(one, int) for one in made), made
    assert not Session.objects.filter(account=account).exists()
