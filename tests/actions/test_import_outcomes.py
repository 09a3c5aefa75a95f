"""What an import says of each chat, before it is done and after."""

from __future__ import annotations

import io
import json
from contextlib import nullcontext
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from chathistory.actions import exchange, sessions
from chathistory.models import Change, Session
from tests.formats.samples import conversation, opened


def chat(number: int, turns: int, **more: Any) -> dict[str, Any]:
    links = {f"n{at}": f"n{at - 1}" if at else None for at in range(turns)}
    named = {"id": f"chat-{number}", "title": f"Chat {number}", **more}
    return (conversation(links) if turns else {"mapping": {}}) | named


def load(user: Any, chats: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return exchange.import_file(user, opened(chats), **more).as_dict()


ONE = "Of 5 chats 1 failed"
MIXED = [
    *(chat(1, 3), chat(2, 5), chat(3, 0), chat(4, 2) | {"mapping": "gone"}, chat(5, 2)),
    *(chat(1, 3), chat(6, 1), chat(6, 4), chat(5, 2), chat(7, 2)),
]


@pytest.mark.parametrize("copy", [False, True])
def test_a_dry_run_says_what_the_run_then_does(alice, copy):
    load(alice, [chat(1, 2), chat(2, 5), chat(7, 2)])
    sessions.delete(Session.objects.select_related("account").order_by("pk").last(), alice)
    before = Change.objects.count()
    dry = load(alice, MIXED, dry_run=True, copy=copy)
    assert Change.objects.count() == before
    done = load(alice, MIXED, copy=copy)
    assert (dry.pop("dry_run"), done.pop("dry_run")) == (True, False)
    if copy:
        for one in (*dry["sessions"], *done["sessions"]):
            one.pop("session_id")
    assert dry == done
    said = [one["outcome"] for one in done["sessions"]]
    if not copy:
        assert said == [
            *("extended", "unchanged", "empty", "failed", "new"),
            *("unchanged", "new", "extended", "unchanged", "failed"),
        ]


@pytest.mark.parametrize("dry_run", [False, True])
def test_how_far_it_is_is_told_also_where_nothing_is_written(alice, dry_run):
    told: list[tuple[int, int | None]] = []
    for _ in range(2):  # the second time all is known
        told.clear()
        load(alice, MIXED, dry_run=dry_run, step=lambda *so_far: told.append(so_far))
        assert len(told) >= len(MIXED)
        assert told[-1][0] == told[-1][1]


def test_each_chat_is_told_with_its_title_times_and_format(alice):
    (one,) = load(alice, [chat(1, 3)], dry_run=True)["sessions"]
    assert (one["title"], one["messages"], one["format"]) == ("Chat 1", 3, "chatgpt")
    assert (one["first_at"], one["last_at"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:13:22Z")
    assert one["where"] == "conversations[0]"
    json.dumps(one)


def test_one_that_failed_is_told_with_its_place_in_the_file(alice):
    report = load(alice, [chat(1, 1), chat(2, 2) | {"mapping": 5}, chat(3, 1)])
    assert report["sessions_new"] == 2
    (failed,) = [one for one in report["sessions"] if one["outcome"] == "failed"]
    assert (failed["where"], failed["title"]) == ("conversations[1].mapping", "Chat 2")
    assert failed["reason"]


def said(
    tmp_path: Any, chats: list[dict[str, Any]], *options: str, fails: str = ""
) -> tuple[str, str]:
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(chats))
    out, problems = io.StringIO(), io.StringIO()
    expected = pytest.raises(CommandError, match=fails) if fails else nullcontext()
    with expected:
        how = {"stdout": out, "stderr": problems}
        call_command("chat_import", str(path), "--user", "alice", *options, **how)
    return out.getvalue(), problems.getvalue()


def test_the_command_shows_what_would_come(alice, tmp_path):
    load(alice, [chat(1, 2)])
    out, problems = said(tmp_path, MIXED[:5], "--dry-run", fails=ONE)
    lines = out.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [
        *(["extended", "1"], ["new", "5"], ["empty", "0"], ["new", "2"]),
    ]
    assert lines[1].endswith("2023-11-14 22:13  chatgpt  Chat 2")
    assert lines[-1].startswith("would add 8 messages; sessions: 2 new, 1 extended")
    assert "conversations[3]" in problems
    assert Session.objects.count() == 1


def test_what_a_file_says_commands_no_terminal(alice, tmp_path):
    evil = "\x1b]0;x\x07\x1b[2J\u202ename"
    both = [chat(1, 2, title=evil), chat(2, 2, title=evil, mapping=5)]
    out, problems = said(tmp_path, both, fails="Of 2 chats 1 failed")
    shown, _ = said(tmp_path, [chat(3, 2, title=evil)], "--dry-run")
    for text in (out, problems, shown):
        assert all(char.isprintable() or char == "\n" for char in text)
    assert "?[2J?name" in shown
    assert "?[2J?name" in problems


def test_the_command_says_only_what_failed_and_the_totals_when_it_is_done(alice, tmp_path):
    out, problems = said(tmp_path, MIXED[:5], fails=ONE)
    assert out.startswith("added 10 messages; sessions: 3 new")
    assert len(out.splitlines()) == len(problems.splitlines()) == 1
    sessions.delete(Session.objects.select_related("account").get(message_count=5), alice)
    said(tmp_path, [chat(2, 7)], fails="No chat came in")


@pytest.mark.parametrize("options", [(), ("--dry-run",), ("--copy",)])
def test_the_command_fails_where_nothing_came_in_or_was_known(alice, tmp_path, options):
    load(alice, [chat(1, 2)])
    out, _ = said(tmp_path, [chat(3, 0), chat(4, 0)], *options, fails="No chat came in")
    assert "2 empty, 0 failed" in out  # told before
    said(tmp_path, [chat(1, 2), chat(3, 0)], *options)  # what is known is no failure
