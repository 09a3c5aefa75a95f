"""A broker that refuses, hangs, dies or is full: what is asked for is stored, and done later."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from chathistory import hints
from chathistory.actions import accounts, jobs
from chathistory.models import Job
from project import environ
from tests import servers
from tests.tasks.conftest import use_broker, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def hung() -> Iterator[str]:
    """A server that takes every connection and never says a word."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)
        yield f"redis://127.0.0.1:{silent.getsockname()[1]}/0"


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Use a broker, with a breaker that has not yet tripped."""

    def use(url: str) -> None:
        monkeypatch.setattr(hints, "_quiet_until", 0.0)
        use_broker(monkeypatch, environ.broker(url, tmp_path))

    return use


@pytest.fixture
def refusing() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{probe.getsockname()[1]}/0"


@pytest.mark.parametrize("how", ["hung", "refusing"])
def test_a_job_is_stored_whatever_the_broker_does(alice, broker, how, request, monkeypatch):
    broker(request.getfixturevalue(how))
    tried = []
    real = hints.current_app.send_task
    monkeypatch.setattr(
        hints.current_app, "send_task", lambda *a, **k: tried.append(a) or real(*a, **k)
    )
    account = accounts.of(alice)
    made = [jobs.enqueue(account, "export", {}) for _ in range(5)]
    assert {Job.objects.get(pk=job.pk).state for job in made} == {"queued"}
    assert len(tried) == 1  # the others did not wait for it


def test_a_folder_that_is_gone_or_full_of_rubbish_breaks_nothing(alice, broker, tmp_path):
    broker("")
    shutil.rmtree(tmp_path)
    jobs.enqueue(accounts.of(alice), "export", {})
    assert Job.objects.get().state == "queued"
    broker("")
    (tmp_path / "control" / "celery.exchange").write_bytes(b"")
    assert hints.send(jobs.TASK) is True
    assert len(list((tmp_path / "messages").iterdir())) == 1


def test_the_sweep_sends_what_a_dead_broker_did_not_take(alice, broker, refusing):
    folder = Path(tempfile.mkdtemp(prefix="chathistory-", dir="/tmp"))
    try:
        broker(refusing)
        job = jobs.enqueue(accounts.of(alice), "export", {})
        Job.objects.update(created_at=job.created_at.replace(year=2000))
        assert jobs.sweep() == 0
        with servers.valkey(folder) as url:
            broker(url)
            assert jobs.sweep() == 1
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("site", ["redis"], indirect=True)
def test_a_worker_goes_on_after_its_broker_was_gone(site, alice):
    """The server is killed and comes back empty, as after a crash."""
    worker = site.worker()
    given = {"notes": str(site.notes), "seconds": 0}
    account = accounts.of(alice)
    first = jobs.enqueue(account, "test.slow", given)
    wait_for(lambda: Job.objects.get(pk=first.pk).finished_at, "the first job")
    socket_ = Path(site.url.removeprefix("unix://"))
    redis.Redis(unix_socket_path=str(socket_)).shutdown(nosave=True)
    wait_for(lambda: not socket_.exists(), "the broker's end")
    second = jobs.enqueue(account, "test.slow", given)
    with servers.valkey(site.folder):
        hints._quiet_until = 0.0
        Job.objects.filter(pk=second.pk).update(created_at=first.created_at.replace(year=2000))

        def is_over():
            jobs.sweep()
            return Job.objects.get(pk=second.pk).finished_at

        wait_for(is_over, "the job that was asked for meanwhile")
        assert worker.poll() is None


@pytest.mark.parametrize("site", ["redis"], indirect=True)
def test_a_worker_goes_on_after_its_broker_hung(site, alice):
    """A running job comes to its end meanwhile, and a new one is stored without waiting."""
    worker = site.worker()
    account, given = accounts.of(alice), {"notes": str(site.notes), "seconds": 0.5}
    running = jobs.enqueue(account, "test.slow", given)
    wait_for(site.lines, "the job's begin")
    server = redis.Redis(unix_socket_path=site.url.removeprefix("unix://"))
    pid = int(server.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: Job.objects.get(pk=running.pk).finished_at, "the running job's end")
        second = jobs.enqueue(account, "test.slow", given)
        assert hints._quiet_until > 0
    finally:
        os.kill(pid, signal.SIGCONT)
    hints._quiet_until = 0.0
    assert hints.send(jobs.TASK) is True
    wait_for(lambda: Job.objects.get(pk=second.pk).finished_at, "the second job's end")
    assert worker.poll() is None
