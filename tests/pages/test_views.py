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
from chathistory.templatetags.chathistory import plain

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


def test_the_search_box_says_what_can_be_typed(alice: Client, chat: Session) -> None:
    shown = alice.get("/chat/history/").content.decode()
    assert "<code>yeast OR bread flour</code>" in shown
    assert "<code>&quot;yeast bread&quot;</code>" in shown
    found = alice.get("/chat/history/", {"q": "role:user jit*"})
    assert [hit.message.role for _card, hit in found.context["hits"]] == ["user"]
    wrong = alice.get("/chat/history/", {"q": "jitter role:king"})
    assert (wrong.status_code, wrong.context["position"]) == (400, 13)


def test_a_word_met_nowhere_is_answered_by_a_link(alice: Client, chat: Session) -> None:
    asked = {"q": "jittre <b>", "workflow": "tutor", "sort": "relevance"}
    assert "Did you mean" not in alice.get("/chat/history/", asked).content.decode()
    shown = alice.get("/chat/history/", asked | {"q": "Jittre role:user"}).content.decode()
    link = "/chat/history/?q=jitter+role%3Auser&amp;workflow=tutor&amp;sort=relevance"
    assert f'Did you mean <a href="{link}"><bdi>jitter role:user</bdi></a>?' in shown
    assert "Close matches" in shown
    assert "Did you mean" not in alice.get("/chat/history/", {"q": "jitter"}).content.decode()


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


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"title=%e9%ff", FORM),
        (b"title=\xe9", FORM),
        (b"title=x", f"{FORM}; charset=latin-1"),
        (b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\n\xe9\r\n--b--\r\n', "b"),
    ],
)
def test_a_title_that_is_not_in_utf8_is_refused(
    chat: Session, alice: Client, body: bytes, kind: str
) -> None:
    path = reverse("chathistory:rename", args=[chat.uuid])
    kind, version = "multipart/form-data; boundary=b" if kind == "b" else kind, chat.version
    answer = alice.post(path, body, content_type=kind)
    assert answer.status_code == 400
    chat.refresh_from_db()
    assert chat.version == version


def test_a_title_may_hold_the_replacement_character(chat: Session, alice: Client) -> None:
    path = reverse("chathistory:rename", args=[chat.uuid])
    assert alice.post(path, "title=a+%ef%bf%bd", content_type=FORM).status_code == 302


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


def test_an_address_that_leads_nowhere_is_told_in_the_sites_own_words(alice, settings):
    settings.DEBUG = True
    for path in ("/nowhere/", "/chat/history/not-an-id/"):
        answer = alice.get(path)
        assert answer.status_code == 404
        assert "This address leads nowhere" in answer.content.decode()
    assert alice.get("/nowhere").status_code in (301, 404)


def test_a_form_that_is_too_old_is_told_so(owner):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner)
    answer = strict.post("/accounts/logout/")
    assert answer.status_code == 403
    assert "open too long" in answer.content.decode()


def test_a_kind_of_chat_there_is_not_cannot_be_asked_for(alice):
    for name in ("nothing", "\0", "x" * 5_000):
        assert alice.get("/chat/history/", {"workflow": name}).status_code == 404


def test_a_chat_in_which_nothing_was_said_is_not_listed(alice, owner, chat):
    empty = sessions.create(owner, "tutor")
    for path in ("/chat/history/", "/chat/"):
        page = alice.get(path).content.decode()
        assert str(chat.uuid) in page
        assert str(empty.uuid) not in page


def test_a_chat_is_archived_found_there_and_taken_out(alice, chat):
    read = f"/chat/history/{chat.uuid}/"
    assert f"{read}archive/" in alice.get(read).content.decode()
    assert alice.post(f"{read}archive/").status_code == 302
    page = alice.get(read).content.decode()
    assert f"{read}resume/" in page
    assert f"{read}archive/" not in page
    for state, listed in (("archived", True), ("", True), ("active", False), ("idle", False)):
        page = alice.get("/chat/history/", {"state": state}).content.decode()
        assert (str(chat.uuid) in page) == listed
        assert ("Archived</span>" in page) == listed
        found = alice.get("/chat/history/", {"state": state, "q": "jitter"}).content.decode()
        assert (str(chat.uuid) in found) == listed
    assert alice.post(f"{read}resume/").status_code == 302
    assert Session.objects.get().state == State.ACTIVE
    assert alice.get("/chat/history/", {"state": "deleted"}).status_code == 404


def test_a_strangers_chat_is_not_archived(charlie, chat):
    for verb in ("archive", "resume"):
        assert charlie.post(f"/chat/history/{chat.uuid}/{verb}/").status_code == 404
        assert charlie.get(f"/chat/history/{chat.uuid}/{verb}/").status_code == 405
    assert Session.objects.get().state == State.ACTIVE


def test_deleting_asks_or_does_and_nothing_else(alice, chat):
    path = f"/chat/history/{chat.uuid}/delete/"
    for method in (alice.put, alice.delete, alice.patch):
        assert method(path).status_code == 405


@pytest.mark.parametrize(
    ("preview", "shown"),
    [
        (r"customer\_id and \*stars\*", "customer_id and *stars*"),
        (r"C:\path stays", r"C:\path stays"),
        ("**bold** `code`", "bold code"),
    ],
)
def test_previews_leave_the_marks_of_markdown_out(preview, shown):
    assert plain(preview) == shown
