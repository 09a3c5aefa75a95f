"""What moves to Valkey when REDIS_URL is set: the cache and the broker, on a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import django
django.setup()
from django.core.cache import cache
cache.set("chathistory-test", "there", 5)
assert cache.get("chathistory-test") == "there"
from django.conf import settings
assert "redis" in settings.CACHES["default"]["BACKEND"].lower()
from project.celery import app
with app.connection_for_write() as link:
    queue = link.SimpleQueue("chathistory-test")
    queue.put({"said": "hello"})
    message = queue.get(timeout=5)
    message.ack()
    queue.close()
assert message.payload == {"said": "hello"}
print("both answer")
"""


def test_cache_and_broker_answer_on_a_real_server(tmp_path: Path) -> None:
    url = os.environ.get("TEST_REDIS_URL")
    if not url:
        pytest.fail("TEST_REDIS_URL is not set: run this by `make test`")
    environment = os.environ | {
        "REDIS_URL": url,
        "CHATHISTORY_HOME": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "HTTPS": "0",
    }
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "both answer" in ran.stdout, ran.stderr
    assert not (tmp_path / "broker" / "messages").exists()
