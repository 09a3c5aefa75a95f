"""An import is killed again and again, and begun again; in the end it is as if it never was.

    python -m tests.faults.imports [KILLS] [CHATS]

20 kills (SIGKILL) of ``chat_import`` unless another number is given, each as soon as something
more than at the last was committed, in a file of 300 chats of up to 40 messages with branches and
one of 4,500. Another person imports the same file undisturbed. Exit status 0 only if both have
the same in the end, find the same, and nobody who was started is left over.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
_LONG = 4_500
_APART = (
    "session_id",
    "archived_at",
    "user_id",
    "version",
    "created_at",
    "updated_at",
    "seq",
    "links",
    "share",
)


def main(kills: int = 20, chats: int = 300) -> bool:
    """Import for both, and compare."""
    from benchmarks.site import person, site

    with tempfile.TemporaryDirectory(prefix="chathistory-imports-") as folder:
        home = Path(folder)
        with site(home):
            file = home / "conversations.json"
            file.write_text(json.dumps(list(_chats(chats))))
            alice, bob = person("alice"), person("bob")
            began = time.monotonic()
            assert _import(file, "bob").wait() == 0
            print(f"undisturbed in {time.monotonic() - began:.1f} s", flush=True)
            killed = _disturbed(file, kills)
            same = _state(alice) == _state(bob)
            found = _found(alice) == _found(bob)
        print(f"{killed} kills; the same in the end: {same}; finds the same: {found}", flush=True)
        return same and found and killed > 0


def _chats(count: int) -> Iterator[dict[str, Any]]:
    dice = random.Random(4)
    for number in range(count + 1):
        size = _LONG if number == count // 2 else dice.randrange(1, 40)
        mapping: dict[str, Any] = {}
        for at in range(size):
            parent = f"n{max(0, at - dice.choice((1, 1, 1, 2)))}" if at else None
            said = {
                "author": {"role": ("user", "assistant")[at % 2]},
                "content": {"content_type": "text", "parts": [f"message {at} of {number}"]},
                "create_time": 1.7e9 + 60 * number + at,
            }
            mapping[f"n{at}"] = {"id": f"n{at}", "message": said, "parent": parent, "children": []}
        yield {
            "id": f"chat-{number}",
            "title": f"Chat {number}" if number % 3 else None,
            "create_time": 1.7e9 + 60 * number,
            "mapping": mapping,
            "current_node": f"n{size - 1}",
            "is_archived": number % 4 == 0 or size == _LONG,
        }


def _import(file: Path, user: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "manage.py", "chat_import", str(file), "--user", user]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)


def _disturbed(file: Path, kills: int) -> int:
    """Kill the import where it has got further, then let it come to its end."""
    killed, seen = 0, 0
    while killed < kills:
        process = _import(file, "alice")
        while process.poll() is None and _stored() <= seen:
            time.sleep(0.002)
        time.sleep(random.random() * 0.1)
        if process.poll() is not None:
            break
        _kill(process)
        killed, seen = killed + 1, _stored()
    assert _import(file, "alice").wait() == 0
    return killed


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill it alone; those that it started have to end by themselves."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _gone, left = psutil.wait_procs(children, timeout=10)
    assert not left, f"{len(left)} processes are left over"


def _stored() -> int:
    from chathistory.models import Message

    return Message.objects.filter(account__user__username="alice").count()


def _state(user: Any) -> list[Any]:
    """Return what a person has, but for ids of ours and times of the import."""
    from chathistory.actions import exporting
    from chathistory.models import Session

    rows = Session.objects.mine(user).select_related("account__user")
    found = [_plain(one) for one in exporting.export_sessions(user, rows)]
    return sorted(found, key=lambda one: (one["first"], len(one["messages"])))


def _plain(session: dict[str, Any]) -> dict[str, Any]:
    messages = list(session.pop("messages"))
    places = {message["id"]: at for at, message in enumerate(messages)}
    head = places.get(session.pop("head_id"))
    about = {name: value for name, value in session.items() if name not in _APART}
    said = [
        (
            *(message["role"], message["content"], message["timestamp"], message["status"]),
            *(places.get(message["parent_id"]), message["metadata"], message["raw"]),
        )
        for message in messages
    ]
    return about | {"head": head, "messages": said, "first": said[0][1] if said else ""}


def _found(user: Any) -> list[Any]:
    from chathistory.search.find import search

    queries = ("message", '"message 7"', "4499", "chat", "title:chat", "role:user 12")
    answers = [search(user, query) for query in queries]
    return [([hit.snippet for hit in one.hits], len(one.titles)) for one in answers]


if __name__ == "__main__":
    sys.exit(0 if main(*map(int, sys.argv[1:3])) else 1)
