"""The shipper: what was said seconds ago is in a segment; what fails is tried again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connections

from chathistory import shipper
from chathistory.actions import messages
from chathistory.models import Account, Backup
from tests.actions import backed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def home(settings, tmp_path):
    settings.CHATHISTORY_HOME = tmp_path
    settings.CHATHISTORY_SHIP_SECONDS = 0.05
    return tmp_path


@contextmanager
def shipping() -> Iterator[None]:
    stop = threading.Event()

    def run() -> None:
        try:
            shipper.ship(stop)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


def all_shipped() -> bool:
    rows = Account.objects.filter(seq__gt=0).values_list("seq", "shipped")
    return Backup.objects.exists() and all(seq == shipped for seq, shipped in rows)


def test_it_ships_what_is_said_and_rests_when_nothing_is(alice, talk):
    session = talk("a heron")
    with shipping():
        for number in range(5):
            messages.append(session, alice, "user", f"number {number}")
            until(all_shipped)
        count = Backup.objects.count()
        time.sleep(0.5)
        assert Backup.objects.count() == count
    assert [number for _, number in backed.site()] == list(range(count))
    assert sum(row.counts.get("message", 0) for row in Backup.objects.all()) == 6


def test_a_storage_that_refuses_for_a_while_stops_nothing(alice, talk, home, caplog):
    session = talk("a heron")
    with shipping():
        until(all_shipped)
        folder = home / "backups"
        aside = folder.rename(home / "aside")
        folder.write_bytes(b"no folder")
        messages.append(session, alice, "user", "unmistakable")
        until(lambda: "Nothing could be shipped" in caplog.text)
        folder.unlink()
        aside.rename(folder)
        until(all_shipped)
    assert "unmistakable" not in caplog.text


def test_two_of_them_make_one_chain(alice, talk):
    session = talk("a heron")
    with shipping(), shipping():
        for number in range(8):
            messages.append(session, alice, "user", f"number {number}")
            time.sleep(0.05)
        until(all_shipped)
    assert [number for _, number in backed.site()] == list(range(Backup.objects.count()))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_process_of_its_own_ends_when_it_is_told(alice, talk, home, name):
    talk("a heron")
    link = connections["default"].settings_dict
    code = (
        "import django; django.setup()\n"
        "from django.db import connections\n"
        f"connections['default'].settings_dict['NAME'] = {link['NAME']!r}\n"
        "from chathistory import shipper; print('ready', flush=True); shipper.run()"
    )
    environ = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    environ |= {"CHATHISTORY_HOME": str(home), "CHATHISTORY_SHIP_SECONDS": "0.05"}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        until(all_shipped)
        process.send_signal(getattr(signal, name))
        assert process.wait(10) == 0
