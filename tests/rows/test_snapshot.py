"""snapshot.consistent: one view of all tables while others write."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction

from chathistory import bulk
from chathistory.actions import messages
from chathistory.backups import snapshot
from chathistory.models import Account, Change, Message, Session

pytestmark = pytest.mark.django_db(transaction=True)


def elsewhere(work: Callable[[], Any]) -> None:
    """Run ``work`` to its end in a thread of its own."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  (told below)
            failed.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    if failed:
        raise failed[0]


def counted() -> tuple[int, ...]:
    return Session.objects.count(), Message.objects.count(), Change.objects.count()


def test_it_sees_what_was_there_when_it_began_and_holds_up_nobody(alice, talk):
    session = talk("one", "two")
    before = counted()
    with snapshot.consistent():
        elsewhere(lambda: messages.append(session, alice, "user", "three"))
        assert counted() == before
        elsewhere(lambda: messages.append(session, alice, "user", "four"))
        assert counted() == before
    assert Message.objects.count() == before[1] + 2


def test_the_view_begins_before_the_first_look(alice, talk):
    session = talk("one")
    with snapshot.consistent():
        elsewhere(lambda: messages.append(session, alice, "user", "two"))
        assert Message.objects.count() == 1


def test_afterwards_writes_take_the_lock_at_once_again(talk):
    mode = getattr(connection, "transaction_mode", None)
    with snapshot.consistent():
        pass
    with pytest.raises(KeyError), snapshot.consistent():
        raise KeyError
    assert getattr(connection, "transaction_mode", None) == mode
    assert not connection.in_atomic_block
    talk("still works")


def test_it_does_not_begin_within_a_transaction(talk):
    talk("one")
    with (
        transaction.atomic(),
        pytest.raises(RuntimeError, match="durable"),
        snapshot.consistent(),
    ):
        pass


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no such promise")
def test_nothing_is_written_in_it(talk):
    talk("one")
    with pytest.raises(DatabaseError, match="read-only"), snapshot.consistent():
        Account.objects.update(epoch=2)


def test_two_views_at_once(talk):
    talk("one")
    with snapshot.consistent():
        elsewhere(_look)


def _look() -> None:
    with snapshot.consistent():
        assert Message.objects.count() == 1
    assert not bulk.connection(Account).in_atomic_block
