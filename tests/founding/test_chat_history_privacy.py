"""Founding document, data privacy: encryption at rest, and content that does no harm."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.founding.site import Site

CANARY = "zanzibarquince"


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site where the canary was said, titled, tagged, noted, uploaded and looked for."""
    site = Site(tmp_path_factory.mktemp("private"))
    site.prepare()
    with site.serving():
        new = {"workflow_type": "tutor", "title": f"{CANARY} title", "metadata": {"k": CANARY}}
        _, made = site.signed("POST", "sessions", new)
        path = f"sessions/{made['session_id']}"
        said = {"role": "user", "content": f"I say {CANARY}", "metadata": {"k": CANARY}}
        said["blocks"] = [{"type": "text", "text": CANARY}]
        assert site.signed("POST", f"{path}/messages", said)[0] == 201
        assert site.signed("PATCH", path, {"tags": [CANARY]})[0] == 200
        assert len(site.signed("GET", f"search?q={CANARY}")[1]["results"]) == 1
        assert site.signed("GET", f"search?q=%22{CANARY}")[0] == 400
    return site


def forms(word: str) -> list[bytes]:
    """How a word may stand in a file."""
    encoded = [base64.b64encode(b"x" * shift + word.encode())[4:-4] for shift in range(3)]
    return [word.encode(), word.encode("utf-16-le"), word.encode("utf-16-be"), *encoded]


def test_no_file_of_the_site_and_no_log_holds_a_word(used: Site) -> None:
    files = [path for path in used.home.rglob("*") if path.is_file()]
    assert any(path.name == "db.sqlite3" for path in files)
    assert any(path.name == "gunicorn.log" for path in files)
    for path in files:
        content = path.read_bytes().lower()
        assert not [form for form in forms(CANARY) if form.lower() in content], path


def test_only_its_own_user_may_enter_the_folder(used: Site) -> None:
    (keys,) = [path for path in used.home.rglob("*") if path.is_file() and "key" in path.parts[-2]]
    assert keys.stat().st_mode & 0o077 == 0


def test_without_the_key_file_nothing_opens(used: Site, tmp_path: Path) -> None:
    stolen = tmp_path / "stolen"
    shutil.copytree(used.home, stolen, ignore=shutil.ignore_patterns("keys"))
    thief = Site(stolen)
    with pytest.raises(AssertionError, match="key"):
        thief.manage("chat_export", "--user", "bernard", "-o", "-")


def test_what_is_shown_is_sanitized_and_what_is_stored_is_not(api: Any) -> None:
    _, made = api("POST", "sessions", {"workflow_type": "tutor"})
    path = f"sessions/{made['session_id']}"
    harm = "<script>alert(1)</script><img src=x onerror=alert(1)> [x](javascript:alert(1)) **bold**"
    _, said = api("POST", f"{path}/messages", {"role": "user", "content": harm})
    assert said["content"] == harm
    html = api("GET", f"messages/{said['id']}?render=html")[1]["content_html"]
    assert "<strong>bold</strong>" in html
    assert not [bad for bad in ("<script", "<img", "href") if bad in html.lower()]
