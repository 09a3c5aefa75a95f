"""The demo: its chats come once, and its open door stays on this machine."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from chathistory.models import Message, Session
from chathistory.workflows import Conversation, Turn
from project import responders

pytestmark = pytest.mark.django_db


@pytest.fixture
def demo() -> User:
    call_command("chat_demo")
    return User.objects.get(username="demo")


@pytest.fixture
def open_door(settings: Any) -> None:
    settings.DEBUG = settings.CHATHISTORY_DEMO = True


def test_it_adds_its_chats_once(demo: User) -> None:
    counts = Session.objects.count(), Message.objects.count()
    call_command("chat_demo")
    assert (Session.objects.count(), Message.objects.count()) == counts
    assert counts[0] >= 12
    assert not demo.has_usable_password()
    workflows = set(Session.objects.values_list("workflow", flat=True))
    assert len(workflows) >= 10
    assert "imported" not in workflows
    times = sorted(Session.objects.values_list("last_activity", flat=True))
    assert (times[-1] - times[0]).days > 28


def test_it_leaves_an_administrator_alone() -> None:
    User.objects.create_superuser("demo", password="demo")
    with pytest.raises(CommandError):
        call_command("chat_demo")
    assert not Session.objects.exists()


@pytest.mark.usefixtures("open_door")
def test_one_signs_in_without_a_password(demo: User, client: Client) -> None:
    assert b"Continue as demo" in client.get("/accounts/login/").content
    answer = client.post("/accounts/demo/", {"next": "/chat/history/"})
    assert answer["Location"] == "/chat/history/"
    assert client.get("/chat/history/").status_code == 200


@pytest.mark.usefixtures("open_door")
@pytest.mark.parametrize(
    "how",
    [
        {"REMOTE_ADDR": "192.0.2.7"},
        {"REMOTE_ADDR": ""},
        {"HTTP_X_FORWARDED_FOR": "192.0.2.7"},
    ],
)
def test_the_door_is_shut_to_other_machines(
    demo: User, client: Client, how: dict[str, Any]
) -> None:
    assert b"Continue as demo" not in client.get("/accounts/login/", **how).content
    assert client.post("/accounts/demo/", **how).status_code == 404
    assert "_auth_user_id" not in client.session


@pytest.mark.parametrize("name", ["DEBUG", "CHATHISTORY_DEMO"])
@pytest.mark.usefixtures("open_door")
def test_the_door_is_shut_without_demo_mode_and_debug(
    demo: User, client: Client, settings: Any, name: str
) -> None:
    setattr(settings, name, False)
    assert client.post("/accounts/demo/").status_code == 404


@pytest.mark.usefixtures("open_door")
def test_it_leads_nowhere_else_and_needs_a_token(demo: User, client: Client) -> None:
    answer = client.post("/accounts/demo/", {"next": "https://example.com/"})
    assert answer["Location"] == "/chat/"
    assert Client(enforce_csrf_checks=True).post("/accounts/demo/").status_code == 403
    assert client.get("/accounts/demo/").status_code == 405


def asked(user: User, question: str, workflow: str = "tutor") -> str:
    session = Session.objects.filter(account__user=user).latest("id")
    turns = (Turn("user", question),)
    conversation = Conversation(user, workflow, str(session.uuid), turns)
    return "".join(responders.answer_from_history(conversation))


def test_the_responder_quotes_and_cites_and_repeats_itself(demo: User) -> None:
    answer = asked(demo, "How does jitter help the retry decorator?", "code_generator")
    source = Session.objects.get(pinned=True)
    assert f"](/chat/history/{source.uuid}/?message=" in answer
    assert "> ```python" in answer
    assert answer == asked(demo, "How does jitter help the retry decorator?", "code_generator")


def test_the_responder_finds_words_that_no_space_divides(demo: User) -> None:
    assert "取引先" in asked(demo, "取引先へのメールの書き方")


def test_the_responder_sees_no_chats_of_others(demo: User) -> None:
    stranger = User.objects.create_user("charlie")
    conversation = Conversation(
        stranger, "tutor", str(Session.objects.latest("id").uuid), (Turn("user", "jitter retry"),)
    )
    answer = "".join(responders.answer_from_history(conversation))
    assert "I found nothing about “jitter”, “retry”" in answer


@pytest.mark.parametrize("question", ["Hello!", "?", "xyzzy plugh", "\u202e", "[x](y) `` ```"])
def test_the_responder_says_what_it_can_do_when_it_finds_nothing(demo: User, question: str) -> None:
    assert "quote what fits" in asked(demo, question)
