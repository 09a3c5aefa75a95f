"""Opened pages are kept for those who may read them, and never outlive what they show."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.core.checks import run_checks
from django.db import DatabaseError, transaction
from django.test import Client

from chathistory import cache, crypto, keyring, views
from chathistory.actions import accounts, messages, purge, sessions
from chathistory.lru import Lru
from chathistory.models import Account, DataKey, Message, Session
from tests.conftest import Invite, Talk, Together

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    cache.forget()
    yield
    cache.forget()


@pytest.fixture
def files(settings: Any, tmp_path: Any) -> Any:
    """The file tier, in a folder of the test's own."""
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    settings.CACHES = settings.CACHES | {"pages": {"BACKEND": backend, "LOCATION": str(tmp_path)}}
    settings.CHATHISTORY_CACHE = "pages"
    return caches["pages"]


@pytest.fixture
def chat(talk: Talk) -> Session:
    return talk("How does yeast work?", "It eats *sugar*.", title="Bread")


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Call it, and from then on nothing opens any more."""

    def refuse(*_args: Any) -> bytes:
        raise AssertionError("something was opened")

    return lambda: monkeypatch.setattr(crypto, "unseal", refuse)


def client(user: User) -> Client:
    found = Client()
    found.force_login(user)
    return found


def shown(user: User, chat: Session, query: str = "") -> Any:
    return client(user).get(f"/api/chat_history/sessions/{chat.uuid}{query}")


def contents(user: User, chat: Session) -> list[str]:
    return [message["content"] for message in shown(user, chat).json()["messages"]]


@pytest.mark.parametrize("query", ["", "?render=html"])
def test_who_reads_a_chat_again_waits_for_nothing_to_be_opened(
    alice: User, chat: Session, sealed: Any, query: str
) -> None:
    first = shown(alice, chat, query).json()
    assert ("content_html" in first["messages"][0]) == bool(query)
    sealed()
    assert shown(alice, chat, query).json() == first


@pytest.mark.parametrize("path", ["/chat/history/{}/", "/chat/tutor/?session={}"])
def test_so_does_who_reads_a_page(alice: User, chat: Session, sealed: Any, path: str) -> None:
    who, path = client(alice), path.format(chat.uuid)
    first = who.get(path).content.decode()
    assert "<em>sugar</em>" in first
    sealed()
    again = who.get(path).content.decode()
    assert again.count("<em>sugar</em>") == first.count("<em>sugar</em>")


def test_the_gate_is_asked_before_the_cache(
    alice: User, bob: User, charlie: User, chat: Session, invite: Invite
) -> None:
    share = invite(chat, bob)
    assert contents(alice, chat) == contents(bob, chat)
    assert shown(charlie, chat).status_code == 404
    share.delete()
    assert shown(bob, chat).status_code == 404


def test_a_grantee_is_not_shown_what_is_the_owners_own(
    alice: User, bob: User, chat: Session, invite: Invite
) -> None:
    sessions.change(chat, alice, tags=["kitchen"], pinned=True)
    invite(chat, bob)
    mine, his = shown(alice, chat).json(), shown(bob, chat).json()
    assert (mine["tags"], mine["pinned"]) == (["kitchen"], True)
    assert (his["tags"], his["pinned"]) == ([], False)
    assert his["messages"] == mine["messages"]


@pytest.mark.parametrize("tier", ["memory", "files"])
def test_whatever_changes_is_shown_at_once(
    alice: User, chat: Session, tier: str, request: pytest.FixtureRequest
) -> None:
    if tier == "files":
        request.getfixturevalue("files")
    assert contents(alice, chat) == ["How does yeast work?", "It eats *sugar*."]
    more = messages.append(chat, alice, "user", "And then?")
    assert contents(alice, chat)[2:] == ["And then?"]
    messages.edit(more, alice, "And after that?")
    assert contents(alice, chat)[2:] == ["And after that?"]
    messages.delete(more, alice)
    assert contents(alice, chat)[2:] == [""]
    sessions.change(chat, alice, title="Dough", tags=["kitchen"])
    found = shown(alice, chat).json()
    assert (found["title"], found["tags"]) == ("Dough", ["kitchen"])
    sessions.delete(chat, alice)
    assert shown(alice, chat).json()["state"] == "deleted"


def page(chat: Session, said: str) -> Any:
    return cache.page(chat, "newest", lambda: ({"said": said}, True))["said"]


@pytest.mark.parametrize("column", ["epoch", "key_version"])
def test_memory_knows_no_page_of_another_epoch_or_key(chat: Session, column: str) -> None:
    assert [page(chat, "first"), page(chat, "second")] == ["first", "first"]
    Account.objects.filter(pk=chat.account_id).update(**{column: 2})
    assert page(Session.objects.reach(None, chat.uuid), "third") == "third"


def test_the_shared_tier_knows_no_page_of_another_epoch(chat: Session, files: Any) -> None:
    assert page(chat, "first") == "first"
    cache.forget()
    assert page(chat, "second") == "first"
    Account.objects.filter(pk=chat.account_id).update(epoch=2)
    assert page(Session.objects.reach(None, chat.uuid), "third") == "third"


def test_what_is_damaged_is_not_kept(alice: User, chat: Session, files: Any) -> None:
    row = chat.messages.get(seq=2)
    whole = row.body
    Message.objects.filter(pk=row.pk).update(body=whole[:-1] + bytes([whole[-1] ^ 1]))
    assert [m["damaged"] for m in shown(alice, chat).json()["messages"]] == [False, True]
    Message.objects.filter(pk=row.pk).update(body=whole)
    assert [m["damaged"] for m in shown(alice, chat).json()["messages"]] == [False, False]


def test_what_a_transaction_sees_is_not_kept(alice: User, chat: Session) -> None:
    class Stop(Exception):
        pass

    with pytest.raises(Stop), transaction.atomic():  # noqa: PT012  (the roll-back is the point)
        messages.append(chat, alice, "user", "never said")
        assert contents(alice, chat)[2:] == ["never said"]
        raise Stop
    messages.append(chat, alice, "user", "said")
    assert contents(alice, chat)[2:] == ["said"]


def test_of_many_readers_at_once_one_opens(chat: Session, together: Together) -> None:
    opened, go = [], threading.Event()

    def make() -> tuple[Any, bool]:
        opened.append(threading.get_ident())
        go.wait(5)
        return {"page": 1}, True

    threading.Timer(0.3, go.set).start()
    asked = [lambda: cache.page(chat, "branch-50", make)] * 12
    assert together(*asked) == [{"page": 1}] * 12
    assert len(opened) == 1


def test_an_error_is_told_to_who_met_it_and_not_kept(chat: Session, together: Together) -> None:
    tries: list[int] = []

    def make() -> tuple[Any, bool]:
        tries.append(1)
        if len(tries) == 1:
            raise DatabaseError("just now")
        return {"page": 1}, True

    found = together(*[lambda: cache.page(chat, "branch-50", make)] * 6)
    assert sum(isinstance(one, DatabaseError) for one in found) == 1
    assert found.count({"page": 1}) == 5
    assert len(tries) == 2


def test_memory_is_bounded_by_bytes(chat: Session) -> None:
    text = "x" * 100_000
    for number in range(500):
        cache.page(chat, f"branch-{number}", lambda: ({"text": text}, True))
    assert cache.MEMORY - 110_000 < cache._memory.weight <= cache.MEMORY
    cache.page(chat, "huge", lambda: ({"text": "x" * cache.MEMORY}, True))
    assert cache._memory.get(cache._label(chat, "huge")) is None
    assert cache._memory.get(cache._label(chat, "branch-499")) is not None


# The shared tier


def test_another_process_finds_the_page_in_the_shared_tier(
    alice: User, chat: Session, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shown(alice, chat).json()
    cache.forget()

    def unread(*_args: Any) -> None:
        raise AssertionError("a message was read")

    monkeypatch.setattr("chathistory.api.sessions.messages_json", unread)
    assert shown(alice, chat).json() == first


def test_the_shared_tier_holds_no_word_in_the_clear(
    alice: User, chat: Session, files: Any, tmp_path: Any
) -> None:
    shown(alice, chat, "?render=html")
    record = files.get(cache._slot(chat, "newest-html"))
    assert len(record) > 300
    for word in (b"yeast", b"sugar", b"Bread", b"seq"):
        assert word not in record


def test_a_page_of_somebody_else_is_a_miss(
    alice: User, bob: User, talk: Talk, chat: Session, files: Any
) -> None:
    his = talk("His own words", user=bob)
    mine_too = talk("Another chat of hers")
    for other in (his, mine_too):
        shown(other.account.user, other)
        stolen = files.get(cache._slot(other, "newest"))
        files.set(cache._slot(chat, "newest"), stolen)
        assert contents(alice, chat) == ["How does yeast work?", "It eats *sugar*."]
        cache.forget()


@pytest.mark.parametrize("value", [b"", b"\1" * 40, "text", 7, {"messages": []}, None])
def test_a_value_that_is_none_of_ours_is_a_miss(
    alice: User, chat: Session, files: Any, value: Any
) -> None:
    files.set(cache._slot(chat, "newest"), value)
    assert contents(alice, chat)[0] == "How does yeast work?"
    mended = files.get(cache._slot(chat, "newest"))
    assert isinstance(mended, bytes)
    assert len(mended) > 100


def test_a_damaged_page_is_a_miss_and_written_anew(alice: User, chat: Session, files: Any) -> None:
    shown(alice, chat)
    slot = cache._slot(chat, "newest")
    record = files.get(slot)
    files.set(slot, record[:-1] + bytes([record[-1] ^ 1]))
    cache.forget()
    assert contents(alice, chat)[0] == "How does yeast work?"
    assert files.get(slot) != record


def test_a_page_whose_key_is_gone_is_a_miss(alice: User, chat: Session, files: Any) -> None:
    shown(alice, chat)
    DataKey.objects.filter(session=chat).delete()
    cache.forget()
    keyring.forget()
    found = shown(alice, chat)
    assert (found.status_code, found.json()["damaged"]) == (200, True)


def test_a_file_that_cannot_be_read_is_a_miss_and_written_anew(
    alice: User, chat: Session, files: Any, tmp_path: Any
) -> None:
    shown(alice, chat)
    (file,) = tmp_path.glob("*.djcache")
    file.write_bytes(b"no pickle")
    cache.forget()
    assert contents(alice, chat)[0] == "How does yeast work?"
    assert isinstance(files.get(cache._slot(chat, "newest")), bytes)


def test_a_dropped_session_is_gone_from_both_tiers(
    alice: User, talk: Talk, chat: Session, files: Any, tmp_path: Any
) -> None:
    other = talk("Another")
    for one in (chat, other):
        shown(alice, one)
        shown(alice, one, "?render=html")
        for path in (f"/chat/history/{one.uuid}/", f"/chat/tutor/?session={one.uuid}"):
            assert client(alice).get(path).status_code == 200
    assert len(list(tmp_path.glob("*.djcache"))) == 8
    cache.drop(chat)
    assert len(list(tmp_path.glob("*.djcache"))) == 4
    assert cache._memory.get(cache._label(chat, "newest")) is None
    assert cache._memory.get(cache._label(other, "newest")) is not None


def test_a_purge_takes_the_cached_pages_with_it(alice: User, chat: Session, files: Any) -> None:
    shown(alice, chat)
    assert files.get(cache._slot(chat, "newest")) is not None
    gone = sessions.delete(chat, alice)
    shown(alice, chat)
    purge.purge(gone, alice)
    assert files.get(cache._slot(chat, "newest")) is None
    assert cache._memory.weight == 0
    assert shown(alice, chat).status_code == 404


def test_a_cache_that_the_host_does_not_have_is_named(settings: Any) -> None:
    settings.CHATHISTORY_CACHE = "nowhere"
    assert "chathistory.E005" in {one.id for one in run_checks()}


def test_the_pages_that_people_see_first_are_those_that_are_shared() -> None:
    assert {f"branch-{views.TALK}", f"branch-{views.READ}"} <= set(cache.SHARED)


# Keys


def test_a_key_of_a_transaction_that_was_undone_is_forgotten(
    alice: User, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may store another key for the same uuid, such as an imported chat's."""
    account = talk("hello").account
    with pytest.raises(DatabaseError), transaction.atomic():  # noqa: PT012
        undone = sessions.create(alice, "tutor", title="Undone")
        assert keyring.session_key(account, undone)
        raise DatabaseError
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(keyring, "_sessions", Lru(10))
        made = sessions.create(alice, "tutor", session_id=undone.uuid, title="Made")
    assert shown(alice, made).json()["title"] == "Made"
    messages.append(made, alice, "user", "What is sealed here, opens there")
    keyring.forget()
    assert contents(alice, made) == ["What is sealed here, opens there"]


def test_so_are_the_keys_of_an_account(
    alice: User, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The site's own account always has the same uuid."""
    with pytest.raises(DatabaseError), transaction.atomic():  # noqa: PT012
        undone = keyring.account_keys(accounts.system())
        raise DatabaseError
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(keyring, "_accounts", Lru(10))
        stored = keyring.account_keys(accounts.system())
    assert keyring.account_keys(accounts.system()).rows == stored.rows != undone.rows


def test_a_savepoint_takes_its_keys_with_it_and_leaves_the_others(alice: User) -> None:
    with transaction.atomic():
        kept = sessions.create(alice, "tutor", title="Kept")
        with pytest.raises(DatabaseError), transaction.atomic():  # noqa: PT012
            undone = sessions.create(alice, "tutor", title="Undone")
            raise DatabaseError
        assert keyring.session_key(kept.account, kept)
    names = [keyring._name(kept.account, one.uuid, 1) for one in (kept, undone)]
    assert [keyring._sessions.get(name) is None for name in names] == [False, True]
