"""What a person does in the browser."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from chathistory.actions import messages, sessions
from chathistory.models import Message, Session

QUESTION = "How long does the sourdough starter rest?"
ANSWER = "The sourdough rests for **thirty-six hours**.\n\n```python\nhours = 36\n```"


@pytest.fixture
def chat(alice: User) -> Session:
    """Make a chat with one question and its answer."""
    session = sessions.create(alice, "brainstorm")
    messages.append(session, alice, "user", QUESTION)
    messages.append(session, alice, "assistant", ANSWER)
    return Session.objects.reach(alice, session.uuid)


def ask(page: Page, question: str) -> None:
    """Write into the composer and send."""
    expect(page.locator("[data-send]")).to_be_enabled()
    page.get_by_label("Your message").fill(question)
    page.keyboard.press("Enter")
    expect(page.locator(".message.live")).to_have_count(0)


def test_a_chat_turn_streams_in_and_a_refresh_keeps_it(page: Page, chat: Session) -> None:
    page.goto("/")
    page.get_by_role("link", name="Code Generator").click()
    ask(page, "Tell me about sourdough")
    answer = page.locator(".message.assistant")
    expect(answer.locator("pre .n").first).to_have_text("hours")
    expect(answer.get_by_role("link", name=QUESTION[:20])).to_be_visible()
    expect(page).to_have_url(re.compile(r"/chat/code_generator/\?session="))
    shown = page.locator(".message .body").all_inner_texts()
    page.reload()
    assert page.locator(".message .body").all_inner_texts() == shown
    expect(page.get_by_label("Your message")).to_be_focused()


def test_shift_and_enter_starts_a_line_and_keeps_it(page: Page) -> None:
    page.goto("/chat/translator/")
    field = page.get_by_label("Your message")
    field.fill("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    expect(page.locator(".message.user p")).to_have_text("one\ntwo", use_inner_text=True)
    expect(page.locator(".message.live")).to_have_count(0)
    expect(field).to_be_focused()


def test_a_failed_answer_is_marked_and_can_be_retried(
    page: Page, chat: Session, monkeypatch: Any
) -> None:
    def broken(_conversation: Any) -> Any:
        yield "Half of "
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr("project.responders.answer_from_history", broken)
        page.goto("/chat/tutor/")
        ask(page, "What about sourdough?")
    page.reload()
    expect(page.locator(".message.failed")).to_contain_text("Half of")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".message.assistant a").first).to_have_text(QUESTION)
    expect(page.locator(".message.failed, .message.live")).to_have_count(0)
    page.reload()
    expect(page.locator(".message")).to_have_count(2)
    expect(page.get_by_role("button", name="Retry")).to_be_hidden()


def test_the_history_is_searched_and_a_hit_opens_at_its_message(page: Page, chat: Session) -> None:
    page.goto("/chat/")
    page.get_by_role("link", name="Chat History").click()
    expect(page.locator(".card")).to_contain_text("2 messages")
    expect(page.locator(".card time")).to_have_attribute("datetime", re.compile(r"\+00:00$"))
    page.get_by_label("Search your chats").fill('"thirty-six hours"')
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".hits mark").first).to_have_text("thirty")
    page.locator(".hits .cover").click()
    target = Message.objects.get(session=chat, role="assistant").uuid
    expect(page).to_have_url(re.compile(rf"/{chat.uuid}/\?message={target}#m-{target}$"))
    expect(page.locator(".message.target")).to_be_in_viewport()
    page.get_by_role("link", name="Resume").click()
    expect(page).to_have_url(re.compile(rf"/chat/brainstorm/\?session={chat.uuid}$"))


def test_a_chat_is_deleted_only_after_a_question_and_can_be_restored(
    page: Page, chat: Session
) -> None:
    page.goto("/chat/history/")
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator(".card")).to_have_count(1)
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_contain_text("is in the trash")
    expect(page.locator(".card")).to_have_count(0)
    page.get_by_role("link", name="Trash").click()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_role("link", name="Resume")).to_be_visible()


def test_a_long_chat_brings_earlier_messages_in(page: Page, alice: User) -> None:
    session = sessions.create(alice, "tutor")
    for number in range(30):
        messages.append(session, alice, "user", f"Question {number}")
        messages.append(session, alice, "assistant", f"Answer {number}")
    page.goto(f"/chat/tutor/?session={session.uuid}")
    expect(page.locator(".message")).to_have_count(50)
    expect(page.get_by_text("Answer 29")).to_be_in_viewport()
    page.get_by_role("link", name="Earlier messages").click()
    expect(page.locator(".message")).to_have_count(60)
    expect(page.locator(".message").first).to_contain_text("Question 0")
    expect(page.get_by_role("link", name="Earlier messages")).to_have_count(0)


def test_a_title_is_changed(page: Page, chat: Session) -> None:
    page.goto(f"/chat/history/{chat.uuid}/")
    page.get_by_text("Rename").click()
    page.get_by_label("Title").fill("<b>Bread</b> & butter")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("<b>Bread</b> & butter")
