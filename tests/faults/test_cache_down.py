"""A cache that is stopped, killed, or never was: chats are served all the same."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.test import Client
from redis.exceptions import RedisError

from chathistory import cache, metrics
from chathistory.models import Session
from project import environ
from tests.conftest import Talk, Together
from tests.founding.site import Site
from tests.servers import valkey_program, wait_for

DEADLINE = cache.DEADLINE
pytestmark = pytest.mark.django_db(transaction=True)


class Valkey:
    """A server of the test's own, to be stopped and killed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.socket = folder, folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self.folder / "log"
        command = [valkey_program(), "--port", "0", "--unixsocket", str(self.socket), "--save", ""]
        with log.open("wb") as out:
            self._server = subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=out)
        wait_for(self.socket.exists, log)

    def send(self, number: signal.Signals) -> None:
        assert self._server is not None
        self._server.send_signal(number)

    def kill(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None
            self.socket.unlink(missing_ok=True)


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    # A socket's path may have 107 characters only.
    with tempfile.TemporaryDirectory(prefix="chathistory-", dir="/tmp") as folder:
        server = Valkey(Path(folder))
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each thing was counted."""
    found: Counter[str] = Counter()

    def count(name: str, **labels: str) -> None:
        found[" ".join([name, *labels.values()])] += 1

    monkeypatch.setattr(metrics, "count", count)
    return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The breaker's clock: it stands still unless the test moves it."""
    now = [1000.0]
    monkeypatch.setattr(cache, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def tier(
    settings: Any, valkey: Valkey, tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The site's own settings of the tier."""
    settings.CACHES = settings.CACHES | environ.page_caches(valkey.url, tmp_path)
    settings.CHATHISTORY_CACHE = "chat_redis"
    cache.forget()
    # A server that runs may be slow where many tests do; the real deadline is for one that hangs.
    monkeypatch.setattr(cache, "DEADLINE", 5)
    yield
    cache.forget()


def said(user: User, chat: Session) -> list[str]:
    client = Client()
    client.force_login(user)
    answer = client.get(f"/api/chat_history/sessions/{chat.uuid}")
    assert answer.status_code == 200
    return [message["content"] for message in answer.json()["messages"]]


def test_what_a_request_waits_for_is_bounded() -> None:
    assert DEADLINE * 2 < 0.2


def test_one_that_answers_is_used(
    alice: User, talk: Talk, tier: None, valkey: Valkey, counts: Counter[str]
) -> None:
    valkey.start()
    chat = talk("Hello")
    assert said(alice, chat) == ["Hello"]
    cache.forget()
    assert said(alice, chat) == ["Hello"]
    assert counts["cache.hit shared"] == 1
    assert counts["cache.failed"] == counts["cache.skipped"] == 0


def test_one_that_refuses_is_left_alone_for_half_a_minute(
    alice: User,
    talk: Talk,
    tier: None,
    valkey: Valkey,
    counts: Counter[str],
    clock: list[float],
) -> None:
    chats = [talk(f"chat {n}") for n in range(5)]
    assert [said(alice, chat) for chat in chats] == [[f"chat {n}"] for n in range(5)]
    assert counts["cache.failed"] == 2  # to read the first page, and to write it
    assert counts["cache.skipped"] == 8
    valkey.start()
    clock[0] += cache.PAUSE + 1
    more = talk("one more")
    said(alice, more)
    assert isinstance(caches["chat_redis"].get(cache._slot(more, "newest")), bytes)


@pytest.mark.parametrize("timeouts", [True, False])
def test_one_that_hangs_holds_nobody_up(
    alice: User,
    talk: Talk,
    tier: None,
    valkey: Valkey,
    settings: Any,
    counts: Counter[str],
    clock: list[float],
    monkeypatch: pytest.MonkeyPatch,
    *,
    timeouts: bool,
) -> None:
    """Also where the host has set no timeouts: the answers come while it still hangs."""
    if not timeouts:
        options = {"socket_timeout": None, "socket_connect_timeout": None}
        without = settings.CACHES["chat_redis"] | {"OPTIONS": options}
        settings.CACHES = settings.CACHES | {"chat_redis": without}
    valkey.start()
    first, second, third = talk("first"), talk("second"), talk("third")
    said(alice, first)
    valkey.send(signal.SIGSTOP)
    cache.forget()
    monkeypatch.setattr(cache, "DEADLINE", DEADLINE)
    assert [said(alice, chat) for chat in (first, second, third)] == [
        ["first"],
        ["second"],
        ["third"],
    ]
    assert counts["cache.failed"] == 1
    assert counts["cache.skipped"] == 5
    valkey.send(signal.SIGCONT)
    monkeypatch.setattr(cache, "DEADLINE", 5)
    clock[0] += cache.PAUSE + 1
    fourth = talk("fourth")
    said(alice, fourth)
    cache.forget()
    assert said(alice, fourth) == ["fourth"]
    assert counts["cache.hit shared"] == 1


def test_a_late_answer_is_never_given_to_somebody_else(
    alice: User,
    talk: Talk,
    tier: None,
    valkey: Valkey,
    counts: Counter[str],
    clock: list[float],
    together: Together,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a connection still owes when its request has given up goes nowhere."""
    valkey.start()
    chats = [talk(f"chat {n}") for n in range(12)]
    for chat in chats:
        said(alice, chat)
    for _ in range(3):
        valkey.send(signal.SIGSTOP)
        cache.forget()
        monkeypatch.setattr(cache, "DEADLINE", DEADLINE)
        asked = [lambda chat=chat: said(alice, chat) for chat in chats]
        assert together(*asked) == [[f"chat {n}"] for n in range(12)]
        valkey.send(signal.SIGCONT)
        clock[0] += cache.PAUSE + 1
        cache.forget()
        monkeypatch.setattr(cache, "DEADLINE", 5)
        before = counts["cache.hit shared"]
        assert [said(alice, chat) for chat in chats] == [[f"chat {n}"] for n in range(12)]
    assert counts["cache.failed"] > 0
    assert counts["cache.hit shared"] > before


def test_one_that_is_killed_in_mid_run_is_found_again_when_it_is_back(
    alice: User, talk: Talk, tier: None, valkey: Valkey, counts: Counter[str], clock: list[float]
) -> None:
    valkey.start()
    chats = [talk(f"chat {n}") for n in range(6)]
    for number, chat in enumerate(chats):
        if number == 3:
            valkey.kill()
        assert said(alice, chat) == [f"chat {number}"]
    assert counts["cache.failed"] > 0
    with pytest.raises(RedisError):
        caches["chat_redis"].get("anything")
    valkey.start()
    clock[0] += cache.PAUSE + 1
    for _ in range(2):
        cache._memory.forget()
        assert [said(alice, chat) for chat in chats] == [[f"chat {n}"] for n in range(6)]
    assert counts["cache.hit shared"] >= 6


def test_a_site_goes_on_while_its_cache_and_broker_are_down(tmp_path: Path, valkey: Valkey) -> None:
    valkey.start()
    site = Site(tmp_path)
    site.environment |= {"REDIS_URL": valkey.url, "CHATHISTORY_CACHE": "chat_redis"}
    site.prepare()
    with site.serving():
        _, made = site.signed("POST", "sessions", {"workflow_type": "tutor", "title": "Kept"})
        path, words = f"sessions/{made['session_id']}", []
        for number in range(12):
            if number in (4, 8):
                valkey.send(signal.SIGSTOP if number == 4 else signal.SIGKILL)
            said = {"role": "user", "content": f"word{number}"}
            assert site.signed("POST", f"{path}/messages", said)[0] == 201
            words.append(said["content"])
            for _ in range(2):
                status, shown = site.signed("GET", path)
                assert status == 200
                assert [one["content"] for one in shown["messages"]] == words
