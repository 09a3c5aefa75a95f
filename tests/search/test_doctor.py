"""The doctor finds every difference between rows and index, and mends each."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection

from chathistory import keyring
from chathistory.actions import accounts, doctor, indexing
from chathistory.models import Message, Session
from chathistory.search import compare, upkeep
from chathistory.search.base import Doc, index
from chathistory.search.find import search
from tests.living import indexed

pytestmark = pytest.mark.django_db(transaction=True)
ON_SQLITE = connection.vendor == "sqlite"


@pytest.fixture
def said(alice: User, bob: User, talk: Any) -> list[Message]:
    session = talk(*(f"zebra number{n}" for n in range(9)), title="birds", metadata={"who": "Acme"})
    talk("another lion", title="cats")
    talk("zebra of bob", "!", user=bob)
    return list(session.messages.order_by("seq").select_related("session__account"))


def of(user: User, text: str) -> str:
    return keyring.account_keys(accounts.of(user)).search.of_text(text)


def counts(report: dict[str, Any], name: str = "messages") -> dict[str, int]:
    return {what: report["index"][name][what] for what in compare.PROBLEMS}


def test_nothing_is_wrong(said: list[Message]) -> None:
    report = doctor.run()
    assert report["ok"]
    assert report["index"]["sound"] is True
    assert (report["index"]["messages"]["rows"], report["index"]["titles"]["rows"]) == (12, 3)
    assert report["index"]["some"] == []


def test_each_kind_of_difference_is_told_and_mended(
    alice: User, bob: User, said: list[Message]
) -> None:
    index().remove([Doc(said[0].place, of(alice, "zebra number0"))])  # missing
    index().remove([Doc(said[1].place, of(alice, "zebra number1"))])  # wrong
    index().add([Doc(said[1].place, of(alice, "heron"))])
    index().add([Doc(4711, of(alice, "nobody says so"))])  # orphans
    upkeep.drop([said[2]])
    index().add([Doc(said[2].place, of(alice, "zebra number2"))])
    Message.objects.filter(pk=said[2].pk).update(deleted_at=said[2].created_at)
    Message.objects.filter(pk=said[3].pk).update(indexed=0)  # unmarked
    index().remove(upkeep.title_docs(said[0].session), titles=True)
    index().add([Doc(said[0].session_id, of(alice, "birds"))], titles=True)
    index().add([Doc(99, of(bob, "nobody"))], titles=True)
    report = doctor.run()
    assert not report["ok"]
    assert counts(report) == {"wrong": 1, "missing": 1, "orphan": 2, "unmarked": 1}
    assert counts(report, "titles") == {"wrong": 1, "missing": 0, "orphan": 1, "unmarked": 0}
    assert f"messages: {said[0].uuid} missing" in report["index"]["some"]
    assert doctor.run()["index"] == report["index"]
    mended = doctor.run(repair=True)
    assert mended["ok"]
    assert counts(mended) == counts(report)
    assert mended["index"]["messages"]["repaired"] == 5
    assert counts(doctor.run()) == dict.fromkeys(compare.PROBLEMS, 0)
    assert doctor.run()["ok"]
    assert indexed(accounts.of(alice))
    assert indexed(accounts.of(bob))
    assert len(search(alice, "zebra").hits) == 8
    assert index().read([4711]) == index().read([99], titles=True) == []


def test_what_was_said_meanwhile_is_no_difference(
    alice: User, talk: Any, said: list[Message], monkeypatch: Any
) -> None:
    real = compare.Comparison._sums

    def sums(self: Any) -> Any:
        found = real(self)
        talk("a heron", "an okapi")
        upkeep.drop([said[0]])
        upkeep.add([said[0]])
        return [1] * len(found[0]), found[1]  # as if every bucket differed

    monkeypatch.setattr(compare.Comparison, "_sums", sums)
    assert doctor.run()["ok"]


def test_where_too_much_differs_it_is_made_anew(
    alice: User, said: list[Message], monkeypatch: Any
) -> None:
    upkeep.drop(said)
    monkeypatch.setattr(compare, "_PLACES", 5)
    report = doctor.run()
    assert not report["ok"]
    assert report["index"]["messages"]["hopeless"]
    mended = doctor.run(repair=True)
    assert mended["ok"]
    assert mended["index"]["made_anew"]
    assert indexed(accounts.of(alice))
    assert doctor.run()["ok"]


def test_in_small_parts_it_finds_the_same(
    alice: User, said: list[Message], monkeypatch: Any
) -> None:
    monkeypatch.setattr(compare, "_PLACES", 2)
    monkeypatch.setattr(compare, "_HOPELESS", 0)
    monkeypatch.setattr(compare, "_AT_ONCE", 2)
    for row in said[:4]:
        index().remove([Doc(row.place, of(alice, f"zebra number{row.seq - 1}"))])
    assert counts(doctor.run())["missing"] == 4
    assert doctor.run(repair=True)["ok"]
    assert doctor.run()["index"]["some"] == []


def test_what_does_not_open_is_not_compared(alice: User, said: list[Message]) -> None:
    Message.objects.filter(pk=said[4].pk).update(body=b"\0" * 60)
    Session.objects.filter(pk=said[0].session_id).update(title=b"\0" * 60)
    report = doctor.run(repair=True)
    assert report["ok"]
    assert report["index"]["messages"]["closed"] == report["index"]["titles"]["closed"] == 1
    assert len(index().read([said[4].place])) == 1


def test_while_a_new_one_is_filled_the_one_in_use_is_compared(
    alice: User, said: list[Message]
) -> None:
    index().begin()
    upkeep.drop(said[:1])
    upkeep.add(said[:1])
    assert doctor.run()["ok"]
    index().remove([Doc(said[5].place, of(alice, "zebra number5"), 1)])
    assert counts(doctor.run(repair=True))["missing"] == 1
    indexing.run()
    assert doctor.run()["ok"]
    assert indexed(accounts.of(alice))


@pytest.mark.skipif(not ON_SQLITE, reason="the server sees to its own files")
def test_an_index_that_does_not_hold_together_is_made_anew(
    alice: User, said: list[Message]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE chathistory_fts_data SET block = zeroblob(40) WHERE id > 10")
    connection.close()
    report = doctor.run()
    assert not report["ok"]
    assert report["index"]["sound"] is False
    assert doctor.run(repair=True)["ok"]
    assert len(search(alice, "zebra").hits) == 9
    assert indexed(accounts.of(alice))


def test_the_command_tells_and_fails_until_it_is_mended(alice: User, said: list[Message]) -> None:
    def say(*options: str) -> str:
        out = io.StringIO()
        call_command("chat_doctor", *options, stdout=out)
        return out.getvalue()

    assert "all as they should be" in say()
    upkeep.drop(said[:1])
    with pytest.raises(CommandError, match="--repair"):
        say()
    assert "1 are not in it (1 repaired)" in say("--repair")
    report = json.loads(say("--json"))
    assert report["ok"]
    assert report["index"]["messages"]["missing"] == 0
