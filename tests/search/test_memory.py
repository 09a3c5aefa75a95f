"""The strict backend: nothing at rest, in memory no more than is allowed, never behind the rows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection, transaction

from chathistory import health, keyring
from chathistory.actions import accounts, erase, messages, purge, sessions
from chathistory.models import Account, Message, Session
from chathistory.search import find, memory, upkeep
from chathistory.search.base import index, stored
from chathistory.search.find import search
from tests.search import brute

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def strict(settings: Any) -> Any:
    """The backend under test."""
    settings.CHATHISTORY_SEARCH_BACKEND = "memory"
    memory.forget()
    yield
    memory.forget()


@pytest.fixture
def builds(monkeypatch: Any) -> list[str]:
    """How each index came to be, in turn."""
    made: list[str] = []
    for name in ("_built", "_followed"):
        made_by: Callable[..., Any] = getattr(memory, name)

        def noted(*args: Any, _name: str = name, _by: Callable[..., Any] = made_by) -> Any:
            made.append(_name)
            return _by(*args)

        monkeypatch.setattr(memory, name, noted)
    return made


def texts(user: Any, query: str) -> list[Any]:
    return [hit.message.uuid for hit in search(user, query, limit=100).hits]


def held() -> int:
    """Return how many rows stand in the database's own index."""
    table = "chathistory_fts" if connection.vendor == "sqlite" else "chathistory_index"
    kept = f"{table}_idx" if connection.vendor == "sqlite" else table
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {kept}")  # noqa: S608
        (one,) = cursor.fetchone()
        titles = kept.replace(table, f"{table}_title")
        cursor.execute(f"SELECT count(*) FROM {titles}")  # noqa: S608
        (other,) = cursor.fetchone()
    return int(one + other)


def test_nothing_of_it_is_at_rest(alice, talk):
    session = talk("a zebra", "a lion", title="Zebras", metadata={"kind": "zebra"})
    messages.edit(session.messages.get(seq=1), alice, "a heron")
    sessions.rename(session, alice, "Herons")
    assert len(texts(alice, "heron")) == 1
    assert held() == 0
    assert not Message.objects.exclude(indexed=0).exists()
    assert not Session.objects.exclude(indexed=0).exists()


def test_it_is_made_once_and_follows_the_journal(alice, talk, builds):
    session = talk("a zebra")
    assert len(texts(alice, "zebra")) == len(texts(alice, "zebra")) == 1
    assert builds == ["_built"]
    messages.append(session, alice, "user", "another zebra")
    first = session.messages.get(seq=1)
    for said, count in (("a lion", 1), ("a zebra again", 2), ("a tiger", 1)):
        messages.edit(Message.objects.get(pk=first.pk), alice, said)
        assert len(texts(alice, "zebra")) == count
        assert texts(alice, "zebra") == brute.found(alice, "zebra")
    messages.delete(Message.objects.get(pk=first.pk), alice)
    assert texts(alice, "tiger") == []
    sessions.rename(session, alice, "Zebras")
    assert [row.pk for row in search(alice, "zebras").titles] == [session.pk]
    sessions.rename(session, alice, "Lions")
    assert search(alice, "zebras").titles == []
    assert builds == ["_built", *["_followed"] * (len(builds) - 1)]


def test_nothing_of_what_was_removed_for_good_stays(alice, talk, builds):
    talk("a lion")
    session = talk("a zebra")
    assert texts(alice, "zebra")
    sessions.delete(session, alice)
    purge.purge(Session.objects.select_related("account").get(pk=session.pk), alice)
    assert texts(alice, "zebra") == []
    token = keyring.account_keys(session.account).search.token("zebra")
    reader = index().reader([Account.objects.get(pk=session.account_id)])
    assert reader is not None
    assert reader.counts(session.account_id, [token], 9) == [0]
    assert builds[-1] == "_built"


def test_an_erased_person_is_not_found(alice, bob, talk, invite):
    session = talk("a zebra")
    invite(session, bob)
    assert texts(bob, "zebra")
    erase.erase(accounts.of(alice), None)
    assert texts(bob, "zebra") == []


def test_what_a_transaction_did_and_took_back_is_not_found(alice, talk):
    session = talk("a zebra")
    assert len(texts(alice, "zebra")) == 1
    with transaction.atomic():
        messages.append(session, alice, "user", "another zebra")
        assert len(texts(alice, "zebra")) == 2
        transaction.set_rollback(True)
    messages.append(Session.objects.get(pk=session.pk), alice, "user", "a lion")
    assert len(texts(alice, "zebra")) == 1
    assert len(texts(alice, "lion")) == 1


def test_a_text_changed_after_the_index_was_read_is_held_to_the_query(alice, talk, monkeypatch):
    session = talk("a zebra", "the zebra")
    first = session.messages.get(seq=1)
    read = find.Asked.candidates

    def edit_first(asked: Any, *args: Any, **more: Any) -> Any:
        if first.revision == 1:
            assert asked.is_indexed
            first.revision = 2
            messages.edit(Message.objects.get(pk=first.pk), alice, "a lion")
        return read(asked, *args, **more)

    monkeypatch.setattr(find.Asked, "candidates", edit_first)
    assert [hit.message.seq for hit in search(alice, "zebra").hits] == [2]


def test_what_another_process_says_is_found(alice, talk, settings):
    """Two processes on one database, each with an index of its own."""
    session = talk("a zebra")
    assert len(texts(alice, "zebra")) == 1
    program = (
        "import sys, django; django.setup()\n"
        "from django.conf import settings; from django.db import connection\n"
        "settings.DATABASES['default']['NAME'] = connection.settings_dict['NAME'] = sys.argv[1]\n"
        "from chathistory.conf import settings as ours\n"
        "from django.contrib.auth.models import User\n"
        "from chathistory.models import Message, Session\n"
        "from chathistory.actions import messages\n"
        "from chathistory.search.find import search\n"
        "user = User.objects.get(username='alice')\n"
        "settings.CHATHISTORY_SEARCH_BACKEND = 'memory'\n"
        "assert len(search(user, 'zebra').hits) == 1\n"
        "session = Session.objects.select_related('account').get()\n"
        "messages.append(session, user, 'user', 'another zebra')\n"
        "messages.edit(Message.objects.get(seq=1), user, 'a lion')\n"
        "messages.append(session, user, 'user', 'a third zebra')\n"
        "assert len(search(user, 'zebra').hits) == 2\n"
    )
    name = str(connection.settings_dict["NAME"])
    command = [sys.executable, "-c", program, name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [hit.message.seq for hit in search(alice, "zebra").hits] == [3, 2]
    assert [hit.message.seq for hit in search(alice, "lion").hits] == [1]
    assert session.messages.count() == 3


def test_threads_that_search_and_write_find_all_that_was_said_before(alice, talk, together):
    session = talk("zebra 0")
    counts: list[int] = []

    def write() -> None:
        for number in range(1, 15):
            row = Session.objects.select_related("account").get(pk=session.pk)
            messages.append(row, alice, "user", f"zebra {number}")

    def look() -> None:
        for _ in range(15):
            there = session.messages.count()
            found = len(texts(alice, "zebra"))
            counts.append(found - there)

    assert together(write, look, look) == [None] * 3
    assert min(counts) >= 0
    assert len(texts(alice, "zebra")) == 15


def test_what_does_not_fit_is_opened_instead(alice, talk, settings, builds):
    session = talk(*(f"zebra {' '.join(f'w{n}x{i}' for i in range(50))}" for n in range(30)))
    settings.CHATHISTORY_SEARCH_MEMORY = 100_000
    assert texts(alice, "zebra") == brute.found(alice, "zebra")
    assert texts(alice, "w7x7 -lion") == brute.found(alice, "w7x7")
    assert search(alice, "zebra", sort="relevance").hits
    assert builds == ["_built"]
    assert memory._shelves().weight <= 100_000
    settings.CHATHISTORY_SEARCH_MEMORY = 10_000_000
    assert texts(alice, "w7x7") == [session.messages.get(seq=8).uuid]


def test_who_was_not_asked_for_longest_goes_first(alice, bob, charlie, talk, settings, builds):
    for user in (alice, bob, charlie):
        talk("zebra", user=user)
        assert len(texts(user, "zebra")) == 1
    one = memory._shelves().weight // 3
    settings.CHATHISTORY_SEARCH_MEMORY = 5 * one // 2
    builds.clear()
    for user in (alice, bob, charlie):
        texts(user, "zebra")
        assert memory._shelves().weight <= 5 * one // 2
    texts(charlie, "zebra")
    assert builds == ["_built"] * 3
    texts(alice, "zebra")
    assert builds == ["_built"] * 4


def test_what_is_at_rest_is_forgotten_by_migrate_and_comes_back(alice, talk, settings):
    settings.CHATHISTORY_SEARCH_BACKEND = "auto"
    session = talk("a zebra", "a lion", title="Zebras")
    assert held()
    settings.CHATHISTORY_SEARCH_BACKEND = "memory"
    assert not health.search_index().ok
    call_command("migrate", verbosity=0)
    assert held() == 0
    assert health.search_index().ok
    assert not Message.objects.exclude(indexed=0).exists()
    assert len(texts(alice, "zebra")) == 1
    messages.edit(session.messages.get(seq=1), alice, "a heron")
    settings.CHATHISTORY_SEARCH_BACKEND = "auto"
    assert not health.search_index().ok
    call_command("migrate", verbosity=0)
    assert health.search_index().ok
    assert texts(alice, "zebra") == []
    assert len(texts(alice, "heron")) == 1
    assert [row.pk for row in search(alice, "zebras").titles] == [session.pk]


def test_what_changes_before_migrate_leaves_the_index_at_rest_whole(alice, talk, settings):
    """Some processes may know of the change before others: ``indexed`` is true for both."""
    settings.CHATHISTORY_SEARCH_BACKEND = "auto"
    session = talk("a zebra", "a lion", title="Zebras")
    settings.CHATHISTORY_SEARCH_BACKEND = "memory"
    messages.edit(session.messages.get(seq=1), alice, "a heron")
    messages.delete(session.messages.get(seq=2), alice)
    sessions.rename(session, alice, "Herons")
    messages.append(Session.objects.get(pk=session.pk), alice, "user", "a tiger")
    settings.CHATHISTORY_SEARCH_BACKEND = "auto"
    assert upkeep.fill() == []
    for query in ("zebra", "lion", "heron", "tiger"):
        assert texts(alice, query) == brute.found(alice, query)
    keyed = keyring.account_keys(session.account).search
    assert stored().counts([keyed.token(word) for word in ("zebra", "heron", "tiger")], 9) == [
        *(0, 1, 1),
    ]


def test_another_name_is_refused(settings):
    settings.CHATHISTORY_SEARCH_BACKEND = "elastic"
    assert "chathistory.E006" in {one.id for one in run_checks()}
    settings.CHATHISTORY_SEARCH_BACKEND = "auto"
    settings.CHATHISTORY_SEARCH_MEMORY = 0
    assert "chathistory.E002" in {one.id for one in run_checks()}
