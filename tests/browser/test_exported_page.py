"""The web page that an export is, opened as a file: it runs nothing and asks for nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.formats.payloads import ALL
from tests.formats.written import said, session, written


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_whatever_people_write_it_only_shows(browser: Browser, tmp_path: Path, scheme: Any) -> None:
    path = tmp_path / "chat.html"
    messages = [said("user", payload, author=payload) for payload in ALL]
    code = "```python\ndef f(): return 'x'\n```"
    path.write_bytes(written("html", session(*messages, code, title=" ".join(ALL))))
    context = browser.new_context(color_scheme=scheme)
    tab = context.new_page()
    wrong: list[str] = []
    here = path.as_uri()
    tab.on("request", lambda asked: asked.url != here and wrong.append(asked.url))
    tab.on("console", lambda said: wrong.append(said.text))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("dialog", lambda dialog: wrong.append(dialog.message))
    context.on("page", lambda other: wrong.append(other.url))
    tab.goto(here)
    for article in tab.locator("article").all()[::20]:
        article.hover()
    assert tab.evaluate("window.hacked") is None
    assert tab.evaluate("document.scripts.length") == 0
    assert tab.locator("article").count() == len(ALL) + 1
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    keyword = tab.locator("article pre .k").last
    assert keyword.inner_text() == "return"
    ink = "getComputedStyle(document.querySelector('article:last-of-type pre .k')).color"
    assert tab.evaluate(ink) != tab.evaluate("getComputedStyle(document.body).color")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tab.emulate_media(media="print")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.pdf().startswith(b"%PDF")
    assert wrong == []
    context.close()
