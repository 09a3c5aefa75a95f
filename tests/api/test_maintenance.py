"""While the site is being restored: what writes is refused and told when to come again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chathistory import maintenance
from chathistory.exceptions import Conflict, Unavailable
from tests.api.client import Api, problem

HOLD = """
import sys, django
django.setup()
from chathistory import maintenance
with maintenance.held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_writers_are_refused_and_readers_are_served(api: Api, chat: str, home: Path) -> None:
    with maintenance.held():
        answer = api.post(f"sessions/{chat}/messages", {"role": "user", "content": "now?"})
        assert problem(answer, 503, "maintenance")
        assert int(answer["Retry-After"]) == maintenance.RETRY_AFTER
        assert api.get(f"sessions/{chat}").status_code == 200
    answer = api.post(f"sessions/{chat}/messages", {"role": "user", "content": "now?"})
    assert answer.status_code == 201


def test_one_that_died_holds_nobody_up(api: Api, chat: str, home: Path) -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "CHATHISTORY_HOME": str(home),
    }
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=pipe, stdout=pipe, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    assert maintenance.is_on()
    with pytest.raises(Conflict), maintenance.held():
        pass
    process.kill()
    process.communicate()
    assert maintenance.path().exists()
    assert not maintenance.is_on()
    answer = api.post(f"sessions/{chat}/messages", {"role": "user", "content": "now?"})
    assert answer.status_code == 201
    with maintenance.held():
        assert maintenance.is_on()
    assert not maintenance.path().exists()


def test_a_folder_of_that_name_is_told(api: Api, chat: str, home: Path) -> None:
    maintenance.path().mkdir()
    answer = api.post(f"sessions/{chat}/messages", {"role": "user", "content": "now?"})
    assert "Is a directory" in problem(answer, 503, "unavailable")["detail"]
    with pytest.raises(Unavailable, match=str(maintenance.path())), maintenance.held():
        pass
    maintenance.path().rmdir()
    answer = api.post(f"sessions/{chat}/messages", {"role": "user", "content": "now?"})
    assert answer.status_code == 201
