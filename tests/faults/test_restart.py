"""A stop, a kill -9 and a start: nothing acknowledged is lost, and the start says what it found."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from chathistory import health, keyring, registry, startup
from chathistory.actions import accounts, checking, jobs, messages
from chathistory.models import DataKey, Job, Message, Session
from chathistory.registry import Finding
from chathistory.search.base import Doc, index
from tests.actions.asked import Asked
from tests.conftest import Talk
from tests.founding.site import Site

REPORT = re.compile(
    r"Start-up check: total_sessions=(\d+) recovered_sessions=(\d+)"
    r" corrupted_sessions=(\d+) errors=(\d+) in"
)
#: Damages a record as a bad disk would; run while the site is down.
DAMAGE = """
from chathistory.models import Message
row = Message.objects.order_by("pk").first()
row.body = row.body[:-1] + bytes([row.body[-1] ^ 1])
row.save(update_fields=["body"])
"""
INTERRUPT = """
from datetime import timedelta
from uuid import uuid4
from django.utils import timezone
from chathistory.actions import accounts, jobs
from chathistory.models import Job
job = jobs.enqueue(accounts.system(), "check", {})
past = timezone.now() - timedelta(hours=1)
Job.objects.filter(pk=job.pk).update(state="running", lease=past, holder=uuid4(), attempts=1)
"""
WORK = """
from chathistory.actions import working
from chathistory.models import Job
for job in Job.objects.filter(kind="check", state__in=["queued", "running"]):
    assert working.perform(job.uuid)
"""
QUEUED = """
from chathistory.models import Job
print(Job.objects.filter(kind="check").count())
"""


# A site of its own


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site that nobody has used yet."""
    made = Site(tmp_path_factory.mktemp("prepared"))
    made.prepare()
    return made


@pytest.fixture
def site(tmp_path: Path, prepared: Site) -> Site:
    """A copy of it."""
    home = shutil.copytree(prepared.home, tmp_path / "site")
    made = Site(Path(home))
    made.token = prepared.token
    return made


def reports(site: Site) -> list[tuple[int, ...]]:
    """Every report since the last start: sessions in all, recovered, corrupted; errors.

    Waits for the first one: another worker may serve already.
    """
    deadline = time.monotonic() + 60
    while not (found := REPORT.findall((site.home / "gunicorn.log").read_text())):
        assert time.monotonic() < deadline, "no report"
        time.sleep(0.05)
    return [tuple(map(int, one)) for one in found]


def create(site: Site, title: str) -> str:
    status, made = site.signed("POST", "sessions", {"workflow_type": "tutor", "title": title})
    assert status == 201
    return str(made["session_id"])


class Writers:
    """Threads that write until the server is gone, and know what was acknowledged."""

    def __init__(self, site: Site, chats: list[str]) -> None:
        self.acknowledged: dict[str, list[str]] = {chat: [] for chat in chats}
        #: Released once for each thread that has written a few.
        self.enough = threading.Semaphore(0)
        self._site = site
        self._threads = [threading.Thread(target=self._write, args=(chat,)) for chat in chats]
        for thread in self._threads:
            thread.start()

    def _write(self, chat: str) -> None:
        number = 0
        while True:
            said = {"role": "user", "content": f"word{number}"}
            try:
                status, made = self._site.signed("POST", f"sessions/{chat}/messages", said)
            except (OSError, HTTPException):
                return
            assert status == 201
            self.acknowledged[chat].append(made["id"])
            number += 1
            if number == 5:
                self.enough.release()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(60)


def test_what_was_acknowledged_when_it_was_killed_is_there_and_counted(site: Site) -> None:
    with site.serving():
        chats = [create(site, f"chat {n}") for n in range(3)]
    acknowledged: dict[str, list[str]] = {chat: [] for chat in chats}
    for _ in range(2):
        with site.serving():
            assert reports(site) == [(3, 3, 0, 0)]
            writers = Writers(site, chats)
            assert all(writers.enough.acquire(timeout=60) for _ in chats)
            site.kill()
            writers.wait()
        for chat, wanted in writers.acknowledged.items():
            acknowledged[chat] += wanted
    with site.serving():
        assert reports(site) == [(3, 3, 0, 0)]
        for chat, wanted in acknowledged.items():
            _, page = site.signed("GET", f"sessions/{chat}/messages?limit=500")
            found = [one["id"] for one in page["messages"]]
            # One more may be stored, whose answer did not come through each time.
            assert set(wanted) <= set(found)
            assert len(found) <= len(wanted) + 3
            assert not any(one["damaged"] for one in page["messages"])
            assert page["total"] == len(found)


def test_damage_is_reported_marked_by_the_full_check_and_the_rest_served(site: Site) -> None:
    with site.serving():
        broken, whole = (create(site, title) for title in ("Broken", "Whole"))
        for chat in (broken, whole):
            for said in ("first", "second"):
                path = f"sessions/{chat}/messages"
                site.signed("POST", path, {"role": "user", "content": said})
    site.manage("shell", "--no-imports", "-c", DAMAGE)
    with site.serving():
        assert reports(site) == [(2, 1, 1, 1)]
        log = (site.home / "gunicorn.log").read_text()
        assert "newest_records: 1 of the newest sessions hold what does not open" in log
        assert "first" not in log
        _, shown = site.signed("GET", f"sessions/{broken}")
        assert [one["content"] for one in shown["messages"]] == [None, "second"]
        assert [one["damaged"] for one in shown["messages"]] == [True, False]
    site.manage("shell", "--no-imports", "-c", WORK)
    with site.serving():
        assert reports(site) == [(2, 1, 1, 1)]
        _, listed = site.signed("GET", "sessions")
        damaged = {one["session_id"]: one["damaged"] for one in listed["sessions"]}
        assert damaged == {broken: True, whole: False}
        _, shown = site.signed("GET", f"sessions/{whole}")
        assert [one["content"] for one in shown["messages"]] == ["first", "second"]
        status, _ = site.signed(
            "POST", f"sessions/{broken}/messages", {"role": "user", "content": "third"}
        )
        assert status == 201


def test_each_start_checks_once_and_queues_one_full_check(site: Site) -> None:
    for _ in range(2):
        with site.serving():
            reports(site)
        assert len(reports(site)) == 1
    assert site.manage("shell", "--no-imports", "-c", QUEUED) == "1"


def test_an_interrupted_job_is_counted_and_not_queued_again(site: Site) -> None:
    site.manage("shell", "--no-imports", "-c", INTERRUPT)
    with site.serving():
        assert reports(site) == [(0, 0, 0, 0)]
        log = (site.home / "gunicorn.log").read_text()
        assert "interrupted_jobs: 1 will be taken up again" in log
    assert site.manage("shell", "--no-imports", "-c", QUEUED) == "1"
    site.manage("shell", "--no-imports", "-c", WORK)


# The checks, one by one


@pytest.fixture
def found(db: None) -> Callable[[str], Finding]:
    """Run the quick check and return what one of its parts found."""

    def look(name: str) -> Finding:
        keyring.forget()
        (one,) = [one for one in health.quick().findings if one.name == name]
        return one

    return look


@pytest.fixture
def chat(talk: Talk) -> Session:
    return talk("How does yeast work?", "It eats sugar.", title="Bread")


def test_all_is_well(chat: Session) -> None:
    report = health.quick()
    assert (report.errors, report.ready) == ([], True)
    names = {one.name for one in report.findings}
    wanted = {"schema", "keys", "wal", "search_index", "interrupted_jobs", "newest_records"}
    assert wanted <= names


def test_an_empty_site_is_well(db: None) -> None:
    assert health.quick().errors == []


@pytest.mark.django_db(transaction=True)
def test_a_migration_that_is_missing_is_named_and_nothing_else_asked() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(id) FROM django_migrations WHERE app = 'chathistory'")
        (last,) = cursor.fetchone()
        cursor.execute("SELECT name, applied FROM django_migrations WHERE id = %s", [last])
        name, applied = cursor.fetchone()
        cursor.execute("DELETE FROM django_migrations WHERE id = %s", [last])
        try:
            report = startup.check()
        finally:
            cursor.execute(
                "INSERT INTO django_migrations (id, app, name, applied)"
                " VALUES (%s, 'chathistory', %s, %s)",
                [last, name, applied],
            )
    assert not report.ready
    assert report.errors == [f"schema: not applied: {name}; run `manage.py migrate`"]
    assert not Job.objects.exists()


def test_a_master_key_that_is_gone_is_named_and_the_check_goes_on(
    chat: Session, settings: Any
) -> None:
    settings.CHATHISTORY_MASTER_KEYS = [("other", b"k" * 32)]
    keyring.forget()
    report = startup.check()
    assert "keys: it could not be looked at (MasterKeyError)" in report.errors
    assert (report.total_sessions, report.corrupted_sessions) == (1, 1)


def test_a_session_key_that_is_gone_is_counted(chat: Session, found: Any) -> None:
    DataKey.objects.filter(session=chat).delete()
    assert found("keys") == Finding("keys", False, "1 of the newest do not open")


def test_a_message_that_the_index_lacks_is_found(chat: Session, found: Any) -> None:
    row = Message.objects.get(session=chat, seq=2)
    tokens = keyring.account_keys(chat.account).search.of_text("It eats sugar.")
    index().remove([Doc(row.place, tokens)])
    assert not found("search_index").ok
    Message.objects.filter(pk=row.pk).update(indexed=0)
    assert "1 of the newest messages" in found("search_index").detail


def test_a_message_without_words_needs_no_index(alice: User, chat: Session, found: Any) -> None:
    messages.append(chat, alice, "user", "🙂")
    assert found("search_index").ok


@pytest.mark.parametrize("column", ["title", "preview", "body"])
def test_what_does_not_open_is_counted_once_a_session(
    talk: Talk, chat: Session, found: Any, column: str
) -> None:
    talk("another")
    row: Any = chat.messages.get(seq=1) if column == "body" else chat
    record = getattr(row, column)
    damaged = record[:-1] + bytes([record[-1] ^ 1])
    type(row).objects.filter(pk=row.pk).update(**{column: damaged})
    assert not found("newest_records").ok
    Session.objects.filter(pk=chat.pk).update(damaged=3)
    report = health.quick()
    counts = (report.total_sessions, report.recovered_sessions, report.corrupted_sessions)
    assert counts == (2, 1, 1)


def test_a_job_whose_lease_runs_is_not_counted(found: Any) -> None:
    job = jobs.enqueue(accounts.system(), "check", {})
    for hours, counted in ((1, ""), (-1, "1 will be taken up again")):
        lease = timezone.now() + timedelta(hours=hours)
        Job.objects.filter(pk=job.pk).update(state="running", lease=lease, holder=uuid4())
        assert found("interrupted_jobs") == Finding("interrupted_jobs", True, counted)


def test_a_long_log_is_named_by_its_size(
    found: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor != "sqlite":
        assert found("wal").ok
        return
    assert found("wal").ok
    monkeypatch.setitem(connection.settings_dict, "NAME", str(tmp_path / "db"))
    with (tmp_path / "db-wal").open("wb") as log:
        log.truncate(health.LARGE_WAL + 1)
    assert "67,108,865 bytes" in found("wal").detail


def test_a_check_of_another_floor_is_asked_too(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> Finding:
        return Finding("disk", False, "90 % full")

    def absent() -> Finding:
        raise FileNotFoundError("/secret")

    monkeypatch.setattr(registry, "STARTS", [*registry.STARTS, full, absent])
    errors = health.quick().errors
    assert errors == ["disk: 90 % full", "absent: it could not be looked at (FileNotFoundError)"]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="its columns hold anything")
@pytest.mark.parametrize(
    "wrong",
    [
        "chathistory_message SET uuid = substr(uuid, 1, 31) || 'q'",
        "chathistory_message SET body = 'text'",
        "chathistory_message SET revision = 1e30",
        "chathistory_session SET uuid = 'x'",
        "chathistory_session SET title = 'text', title_revision = 123456789012",
        "chathistory_datakey SET wrapped = 7",
        "chathistory_datakey SET version = 'new'",
        "chathistory_account SET uuid = 'x'",
    ],
)
def test_whatever_a_column_holds_the_site_starts_and_the_full_check_ends(
    chat: Session, wrong: str
) -> None:
    table = wrong.split()[0]
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE {wrong} WHERE id = (SELECT max(id) FROM {table})")  # noqa: S608
    keyring.forget()
    report = startup.check()
    assert report.errors
    if "account" not in table and "datakey" not in table:
        found = checking.check(Asked(accounts.system()))
        assert found["total_sessions"] == 1
