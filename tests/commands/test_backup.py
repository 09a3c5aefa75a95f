"""chat_backup and chat_restore as an operator types them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from chathistory import shipper
from chathistory.actions import messages, sessions
from chathistory.models import Backup, DataKey, Message, Session

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]


def run(name, *arguments):
    out = io.StringIO()
    call_command(name, *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue().strip()


def test_the_site_in_full_then_what_changed_then_nothing(alice, talk):
    session = talk("a lion")
    assert run("chat_backup", "--full").startswith("full ")
    messages.append(session, alice, "user", "more")
    assert run("chat_backup").startswith("incremental ")
    assert run("chat_backup") == "Nothing changed since the last backup."
    assert Backup.objects.count() == 2


def test_a_fresh_site_is_backed_up_too_and_its_first_master_key_made(db, home):
    DataKey.objects.all().delete()
    assert run("chat_backup", "--full").startswith("full ")
    assert (home / "keys" / "master.keys").exists()
    assert run("chat_backup") == "Nothing changed since the last backup."


def test_a_fresh_site_is_shipped_without_an_error(db, home, caplog):
    DataKey.objects.all().delete()
    shipper._segment()
    assert Backup.objects.count() == 1
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def test_a_persons_archive_and_back(alice, talk):
    session = talk("a lion", "roars")
    path = Path(run("chat_backup", "--user", "alice"))
    assert path.name.startswith("chat_backup_alice_")
    assert run("chat_backup", "--user", "alice") == "Nothing changed since the last archive."
    Session.objects.all().delete()
    dry = json.loads(run("chat_restore", "--from", str(path), "--user", "alice", "--dry-run"))
    assert dry["messages_recovered"] == 2
    assert not Session.objects.exists()
    found = json.loads(run("chat_restore", "--from", str(path), "--user", "alice"))
    assert found == {"sessions_recovered": 1, "messages_recovered": 2, "errors": []}
    assert Session.objects.get().uuid == session.uuid


def test_one_sessions_archive(alice, talk):
    session = talk("a lion")
    path = Path(run("chat_backup", "--session", str(session.uuid)))
    assert path.exists()


def test_a_point_in_time(alice, talk):
    session = talk("a lion", title="Before")
    run("chat_backup", "--full")
    then = timezone.now()
    sessions.rename(session, alice, "After")
    messages.append(session, alice, "user", "later")
    run("chat_backup")
    arguments = ("--user", "alice", "--at", then.isoformat())
    dry = json.loads(run("chat_restore", *arguments, "--dry-run"))
    assert dry["sessions_recovered"] == 1
    assert Message.objects.filter(deleted_at=None).count() == 2
    found = json.loads(run("chat_restore", *arguments))
    assert found["errors"] == []
    assert Message.objects.filter(deleted_at=None).count() == 1


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("chat_backup", ["--user", "nobody"], "no user"),
        ("chat_backup", ["--user", ""], "name is empty"),
        ("chat_backup", ["--user", "", "--session", str(uuid4())], "name is empty"),
        ("chat_backup", ["--verify", "--user", ""], "whole site"),
        ("chat_backup", ["--session", str(uuid4())], "no such session"),
        ("chat_backup", ["--ship", "--full"], "not allowed"),
        ("chat_backup", ["--verify", "--user", "alice"], "whole site"),
        ("chat_backup", ["--dry-run"], "--expire"),
        ("chat_restore", ["--at", "yesterday", "--dry-run"], "no time"),
        ("chat_restore", ["--at", "2026-13-45", "--dry-run"], "no time"),
        ("chat_restore", ["--at", "0001-01-01T00:00:00+14:00"], "years 1 to 9999"),
        ("chat_restore", ["--at", "9999-12-31T23:59:59-14:00"], "years 1 to 9999"),
        ("chat_restore", ["--user", "", "--yes"], "name is empty"),
        ("chat_restore", ["--user", "", "--into", "postgres://x"], "--into"),
        ("chat_restore", ["--into", "", "--yes"], "address is empty"),
        ("chat_restore", ["--from", "/nowhere/x.zip"], "--user"),
        ("chat_restore", ["--from", "/nowhere/x.zip", "--user", "alice"], "No such file"),
        ("chat_restore", ["--from", "x", "--at", "2026-01-01", "--user", "alice"], "--from goes"),
        ("chat_restore", ["--session", str(uuid4())], "--user"),
        ("chat_restore", ["--user", "alice", "--into", "postgres://x"], "--into"),
        ("chat_restore", ["--user", "alice", "--at", "2001-01-01T00:00"], "No backup found"),
        ("chat_restore", ["--dry-run", "--at", "2001-01-01T00:00"], "No backup found"),
    ],
)
def test_what_cannot_be_done_is_told(alice, talk, name, arguments, said):
    talk("a lion")
    with pytest.raises(CommandError, match=said):
        run(name, *arguments)
    assert Message.objects.count() == 1


def test_the_whole_site_is_not_written_over_unasked(alice, talk, monkeypatch):
    talk("a lion")
    run("chat_backup", "--full")
    monkeypatch.setattr("builtins.input", lambda: "no")
    with pytest.raises(CommandError, match="Nothing was restored"):
        run("chat_restore")
    assert Message.objects.count() == 1


@pytest.mark.parametrize("name", ["chat_backup", "chat_restore"])
def test_help_has_an_example(name, capsys):
    with pytest.raises(SystemExit):
        call_command(name, "--help")
    assert "Example" in capsys.readouterr().out
