"""The pages without a browser: who sees what, and what goes wrong."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from chathistory.actions import messages, sessions
from chathistory.models import Message, Session
from chathistory.states import State

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def chat(owner: User) -> Session:
    session = sessions.create(owner, "tutor")
    messages.append(session, owner, "user", "What is <script>alert(1)</script> jitter?")
    messages.append(session, owner, "assistant", "A *small* random delay.")
    return Session.objects.reach(owner, session.uuid)


@pytest.fixture
def alice(owner: User) -> Client:
    client = Client()
    client.force_login(owner)
    return client


@pytest.fixture
def charlie() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("charlie"))
    return client


def paths(chat: Session) -> list[str]:
    names = ("session", "delete")
    pages = [reverse(f"chathistory:{name}", args=[chat.uuid]) for name in names]
    return [*pages, f"{reverse('chathistory:chat', args=['tutor'])}?session={chat.uuid}"]


def test_everybody_else_is_asked_to_sign_in(chat: Session, client: Client) -> None:
    for path in [*paths(chat), "/chat/", "/chat/history/", "/chat/tutor/"]:
        answer = client.get(path)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/accounts/login/?next=")


def test_a_stranger_gets_404_and_changes_nothing(chat: Session, charlie: Client) -> None:
    for path in paths(chat):
        assert charlie.get(path).status_code == 404
    for verb in ("delete", "restore", "pin", "rename"):
        path = reverse(f"chathistory:{verb}", args=[chat.uuid])
        assert charlie.post(path, {"title": "mine", "pinned": "1"}).status_code == 404
    chat.refresh_from_db()
    assert chat.state == State.ACTIVE
    assert not chat.pinned


def test_pages_are_kept_out_of_caches(chat: Session, alice: Client) -> None:
    for path in [*paths(chat), "/chat/", "/chat/history/?q=jitter", "/chat/history/?trash"]:
        answer = alice.get(path)
        assert answer.status_code == 200
        assert answer["Cache-Control"] == "private, no-store"


def test_what_people_said_is_escaped(chat: Session, alice: Client) -> None:
    for path in [*paths(chat), "/chat/", "/chat/history/", "/chat/history/?q=script"]:
        assert b"<script>alert" not in alice.get(path).content


@pytest.mark.parametrize(
    "path",
    [
        "/chat/nonsense/",
        "/chat/imported/",
        "/chat/tutor/?session=nonsense",
        "/chat/tutor/?session=01234567-89ab-7def-8123-456789abcdef",
        "/chat/history/01234567-89ab-7def-8123-456789abcdef/",
    ],
)
def test_what_does_not_exist_is_a_page_with_404(path: str, alice: Client) -> None:
    answer = alice.get(path)
    assert answer.status_code == 404
    assert b"There is nothing here" in answer.content


def test_a_message_of_another_chat_is_404(chat: Session, alice: Client, owner: User) -> None:
    other = messages.append(sessions.create(owner, "tutor"), owner, "user", "elsewhere")
    path = reverse("chathistory:session", args=[chat.uuid])
    for message in (other.uuid, "nonsense"):
        assert alice.get(path, {"message": message}).status_code == 404


@pytest.mark.parametrize("query", ['"open', "-", '""', "x" * 1001])
def test_a_bad_query_says_why_beside_the_box(query: str, alice: Client) -> None:
    answer = alice.get("/chat/history/", {"q": query})
    assert answer.status_code == 400
    assert b'role="alert"' in answer.content


def test_a_bad_cursor_is_400(alice: Client) -> None:
    assert alice.get("/chat/history/", {"cursor": "nonsense"}).status_code == 400
    assert alice.get("/chat/history/", {"cursor": "nonsense", "q": "word"}).status_code == 400


def test_deleting_works_without_a_script(chat: Session, alice: Client) -> None:
    path = reverse("chathistory:delete", args=[chat.uuid])
    assert b"Delete this chat?" in alice.get(path).content
    answer = alice.post(path, follow=True)
    assert b"is in the trash" in answer.content
    assert str(chat.uuid).encode() not in alice.get("/chat/history/").content
    assert str(chat.uuid).encode() in alice.get("/chat/history/?trash").content
    alice.post(reverse("chathistory:restore", args=[chat.uuid]))
    assert str(chat.uuid).encode() in alice.get("/chat/history/").content


def test_a_title_that_cannot_be_used_is_shown_with_the_reason(chat: Session, alice: Client) -> None:
    path = reverse("chathistory:rename", args=[chat.uuid])
    for title in ("", "x" * 201, "a\0b"):
        answer = alice.post(path, {"title": title})
        assert answer.status_code == 400
        assert b'id="title-error"' in answer.content


def test_a_damaged_message_is_named_and_its_neighbours_are_shown(
    chat: Session, alice: Client
) -> None:
    question, answer = Message.objects.filter(session=chat).order_by("seq")
    Message.objects.filter(pk=question.pk).update(body=answer.body)
    for path in paths(chat)[::2]:
        shown = alice.get(path)
        assert b"This message is damaged" in shown.content
        assert b"<em>small</em>" in shown.content


def test_a_damaged_title_is_named(chat: Session, alice: Client) -> None:
    Session.objects.filter(pk=chat.pk).update(title=chat.preview)
    for path in [*paths(chat), "/chat/", "/chat/history/"]:
        answer: Any = alice.get(path)
        assert answer.status_code == 200
    assert b"whose title cannot be read" in alice.get("/chat/history/").content


def test_another_version_opens_on_its_own_branch(chat: Session, alice: Client, owner: User) -> None:
    question, answer = Message.objects.filter(session=chat).order_by("seq")
    messages.append(chat, owner, "assistant", "It spreads retries.", parent=question.uuid)
    path = reverse("chathistory:session", args=[chat.uuid])
    assert b"It spreads retries." in alice.get(path).content
    earlier = alice.get(path, {"message": answer.uuid}).content
    assert b"It spreads retries." not in earlier
    assert b"1 of 2" in earlier
