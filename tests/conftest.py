"""Alice owns, Bob is invited, Charlie is a stranger; the master key is a file of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import connections

from chathistory import keyring, policy
from chathistory.actions import accounts, messages, sessions
from chathistory.models import Session, Share

Talk = Callable[..., Session]
Invite = Callable[..., Share]
Together = Callable[..., list[Any]]


@pytest.fixture(autouse=True)
def no_keys_left_over() -> Iterator[None]:
    """Each test loads its keys anew."""
    keyring.forget()
    yield
    keyring.forget()


@pytest.fixture
def home(settings: Any, tmp_path: Path) -> Path:
    """A data folder that nobody has written to."""
    settings.CHATHISTORY_HOME = tmp_path
    return tmp_path


@pytest.fixture
def keyed_home(settings: Any, home: Path) -> Path:
    """Another whose master key is no file in it."""
    settings.CHATHISTORY_MASTER_KEYS = [("test", bytes(32))]
    return home


@pytest.fixture
def alice(db: None) -> User:
    """The owner."""
    return User.objects.create_user("alice")


@pytest.fixture
def bob(db: None) -> User:
    """The one who is invited."""
    return User.objects.create_user("bob")


@pytest.fixture
def charlie(db: None) -> User:
    """The stranger."""
    return User.objects.create_user("charlie")


@pytest.fixture
def nobody() -> AnonymousUser:
    """Somebody who has not signed in."""
    return AnonymousUser()


@pytest.fixture
def talk(alice: User) -> Talk:
    """Make a session, by default Alice's, in which the user and the model speak in turn."""

    def make(*said: str, user: User = alice, workflow: str = "tutor", **more: Any) -> Session:
        session = sessions.create(user, workflow, **more)
        for at, content in enumerate(said):
            messages.append(session, user, ("user", "assistant")[at % 2], content)
        return Session.objects.select_related("account").get(pk=session.pk)

    return make


@pytest.fixture
def invite() -> Invite:
    """Share a session with a person or a group."""

    def share(session: Session, to: User | Group, *verbs: str, **more: Any) -> Share:
        whom = {"group": to} if isinstance(to, Group) else {"grantee": accounts.of(to)}
        bits = policy.mask(verbs or ["read"])
        return Share.objects.create(
            account=session.account, session=session, verbs=bits, **whom, **more
        )

    return share


@pytest.fixture
def together() -> Together:
    """Run functions at the same moment, each in a thread; return results and exceptions."""

    def run(*work: Callable[[], Any]) -> list[Any]:
        results: list[Any] = [None] * len(work)
        barrier = threading.Barrier(len(work))

        def one(at: int) -> None:
            try:
                barrier.wait(10)
                results[at] = work[at]()
            except Exception as error:  # noqa: BLE001  (the test looks at what went wrong)
                results[at] = error
            finally:
                connections.close_all()

        threads = [threading.Thread(target=one, args=(at,)) for at in range(len(work))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        return results

    return run
