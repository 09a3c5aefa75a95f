"""``chat_erase``, and what deleting a user of the host sets going."""

from __future__ import annotations

import io
import json

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection

from chathistory.actions import accounts, erase, working
from chathistory.models import Account, Job, Session

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("keyed_home")]


def run(*arguments):
    out = io.StringIO()
    call_command("chat_erase", *arguments, stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue())


def pending():
    out = io.StringIO()
    call_command("chat_erase", "--pending", stdout=out)
    return out.getvalue()


def test_it_erases_and_prints_the_proof(alice, talk):
    talk("zebra", "horse")
    proof = run("--user", "alice", "--yes")
    assert (proof["removed"]["sessions"], proof["removed"]["messages"]) == (1, 2)
    assert proof["files"] == ("clean" if connection.vendor == "sqlite" else "vacuum")
    assert not Session.objects.exists()


def test_again_there_is_nothing(alice, talk):
    talk("zebra")
    run("--user", "alice", "--yes")
    assert run("--user", "alice")["removed"] == {}


@pytest.mark.parametrize("answer", ["", "n", "no", "yes please", None])
def test_without_a_yes_it_erases_nothing(alice, talk, monkeypatch, answer):
    talk("zebra")
    monkeypatch.setattr("sys.stdin", io.StringIO("" if answer is None else f"{answer}\n"))
    with pytest.raises(CommandError, match="Nothing was erased"):
        run("--user", "alice")
    assert Session.objects.count() == 1


def test_it_takes_yes_for_an_answer(alice, talk, monkeypatch):
    talk("zebra")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert run("--user", "alice")["removed"]["sessions"] == 1


def test_a_hold_stops_it_without_a_reason(alice, talk):
    talk("zebra")
    Session.objects.update(hold=True)
    with pytest.raises(CommandError, match="on hold"):
        run("--user", "alice", "--yes")
    assert run("--user", "alice", "--yes", "--override", "ruling 7")["override"] == "ruling 7"


def test_a_user_called_like_an_id_is_who_is_meant(alice, bob, talk, monkeypatch):
    talk("zebra"), talk("heron", user=bob)
    theirs, his = accounts.of(alice), accounts.of(bob)
    User.objects.filter(pk=bob.pk).update(username=str(theirs.uuid))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    asked = io.StringIO()
    call_command("chat_erase", "--user", str(theirs.uuid), stdout=io.StringIO(), stderr=asked)
    assert f"Erase {theirs.uuid}'s account {his.uuid}: 1 sessions" in asked.getvalue()
    assert [session.account for session in Session.objects.all()] == [theirs]


def test_a_user_called_like_an_id_who_has_no_chats_is_still_who_is_meant(alice, talk):
    talk("zebra")
    User.objects.create_user(str(accounts.of(alice).uuid))
    assert run("--user", str(accounts.of(alice).uuid), "--yes")["account"] is None
    assert Session.objects.count() == 1


@pytest.mark.parametrize("name", ["nobody", "0190a0b0-0000-7000-8000-000000000000", ""])
def test_who_is_not_there_is_an_error(alice, name):
    with pytest.raises(CommandError):
        run("--user", name, "--yes")


def test_its_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as left:
        call_command("chat_erase", "--help")
    assert left.value.code == 0
    assert "chat_erase --user alice --yes" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("how", [lambda user: user.delete(), lambda _: User.objects.all().delete()])
def test_deleting_the_user_queues_it(alice, bob, talk, how):
    talk("zebra")
    account = accounts.of(alice)
    how(alice)
    (job,) = Job.objects.filter(kind="erase", account=accounts.system())
    assert working.perform(job.uuid)
    assert not Session.objects.exists()
    assert Account.objects.get(pk=account.pk).erased_at is not None


def test_deleting_a_user_without_chats_queues_nothing(alice):
    alice.delete()
    assert not Job.objects.exists()


def test_who_waits_for_a_hold_is_listed_and_erased_by_the_account_s_id(alice, bob, talk):
    talk("zebra"), talk("heron", user=bob)
    Session.objects.filter(account__user=alice).update(hold=True)
    account = accounts.of(alice)
    assert pending() == ""
    alice.delete()
    working.perform(Job.objects.get().uuid)
    assert Session.objects.count() == 2
    (line,) = pending().splitlines()
    assert line.startswith(str(account.uuid))
    assert line.endswith("1 sessions on hold")
    proof = run("--user", str(account.uuid), "--yes", "--override", "ruling 7")
    assert proof["removed"]["sessions"] == 1
    assert erase.erase(Account.objects.get(pk=account.pk), None)["removed"] == {}
    assert pending() == ""
