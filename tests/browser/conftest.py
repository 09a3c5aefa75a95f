"""A real browser before a real server; what it complains about fails the test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, Page, sync_playwright

# Playwright's own loop runs in this thread, where Django would refuse the database.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start Chromium once."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"])
        yield chromium
        chromium.close()


@pytest.fixture
def alice(transactional_db: None) -> User:
    """Make the person whose chats these are."""
    return User.objects.create_user("alice", password="alice")


@pytest.fixture
def page(browser: Browser, live_server: Any, alice: User, client: Any) -> Iterator[Page]:
    """Open a tab that alice is signed in to; errors and foreign requests fail the test."""
    context = browser.new_context(base_url=live_server.url, locale="en-GB", timezone_id="UTC")
    client.force_login(alice)
    cookie = client.cookies["sessionid"]
    context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": live_server.url}])
    tab = context.new_page()
    wrong: list[str] = []
    _watch(tab, live_server.url, wrong)
    yield tab
    context.close()
    assert wrong == []


def _watch(tab: Page, url: str, wrong: list[str]) -> None:
    tab.on("console", lambda said: said.type == "error" and wrong.append(said.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    here = urlsplit(url).netloc
    tab.on(
        "request",
        lambda asked: urlsplit(asked.url).netloc != here and wrong.append(asked.url),
    )
