"""exchange.import_file: one bad chat stays out and is named; the others of its file come in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from chathistory import ids, records, represent
from chathistory.actions import accounts, exchange, lifecycle, messages, planning, sessions
from chathistory.formats.base import Transcript, Turn
from chathistory.models import Change, Message, Revision, Session
from tests.formats.samples import conversation, opened

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = "9998-12-31T00:00:00Z"
OWN = "018f0000-0000-7000-8000-00000000000a"


def load(user, value, **more) -> dict:
    """Import a file and hold the report to what JSON and UTF-8 can say."""
    report = exchange.import_file(user, opened(value), **more).as_dict()
    json.dumps(report, ensure_ascii=False).encode()
    return report


def said(name: str = "m", **more) -> dict:
    return {"id": name, "role": "user", "content": f"said as {name!r}", **more}


def chat(name: str, *said_in_it: dict, **more) -> dict:
    return {"session_id": name, "messages": list(said_in_it or [said()]), **more}


def outcomes(report: dict) -> list[str]:
    return [one["outcome"] for one in report["sessions"]]


@pytest.mark.parametrize(
    "odd",
    [
        chat("\ud800"),
        chat("a", said("\ud800")),
        chat("a", origin="\ud800"),
        chat("a", said("\0"), origin="\0"),
        chat("a", said("\ud800"), said("\ud801")),
        conversation({"\ud800": None, "b\udfff": "\ud800"}) | {"id": "\udc00"},
    ],
)
def test_any_text_will_do_for_an_id(alice, odd):
    normal = conversation({"a": None}) if "mapping" in odd else chat("normal")
    assert outcomes(load(alice, [odd, normal])) == ["new", "new"]
    assert outcomes(load(alice, [odd, normal])) == ["unchanged", "unchanged"]


@pytest.mark.parametrize(
    "wrong",
    [
        chat("\ud800", {"id": "m", "role": "king", "content": "x"}, title="\ud800"),
        chat("a", said("\ud800", content="x" * 2_000_001)),
        chat("a", said("\ud800", revisions=[{"revision": 1, "content": "x" * 2_000_001}])),
        chat("a", said(tokens=-5)),
        chat("a", said(tokens=2**63)),
        chat("a", said(revision=10**30)),
        chat("a", said(revisions=[{"revision": -1, "content": "x"}])),
        chat("a", said(revisions=[{"revision": 1, "content": "x"}] * 2)),
    ],
)
def test_what_is_wrong_is_named_and_the_others_come_in(alice, wrong):
    report = load(alice, [chat("before"), wrong, chat("after")])
    assert outcomes(report) == ["new", "failed", "new"]
    assert report["sessions"][1]["reason"]
    assert (Session.objects.count(), Message.objects.count()) == (2, 2)


def test_the_largest_numbers_come_in_and_the_text_can_be_changed_then(alice):
    earlier = [{"revision": n, "content": f"{n}"} for n in (7, 3)]
    load(alice, [chat("a", said(tokens=2**31 - 1, revision=2, revisions=earlier))])
    row = Message.objects.select_related("session__account").get()
    assert (row.tokens, row.revision) == (2**31 - 1, 8)
    messages.edit(row, alice, "another")
    assert sorted(Revision.objects.values_list("revision", flat=True)) == [3, 7, 8]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (chat("z", origin="x:y"), chat("y:z", origin="x")),
        (chat("cd", said("b:c")), chat("cd:b", said("c"))),
    ],
)
def test_names_that_join_to_the_same_are_two(alice, one, other):
    assert outcomes(load(alice, [one])) == ["new"]
    assert outcomes(load(alice, [other, one])) == ["new", "unchanged"]
    assert (Session.objects.count(), Message.objects.count()) == (2, 2)


def test_one_uuid_however_it_is_spelt_is_one_session(alice, talk):
    uuid = str(talk("mine").uuid)
    for name in (uuid, OWN):
        spelt = [chat(one, said(f"{at}")) for at, one in enumerate((name, name.upper()))]
        assert load(alice, spelt)["messages_added"] == 2
    assert sorted(str(row) for row in Session.objects.values_list("uuid", flat=True)) == sorted(
        [uuid, str(ids.derived_id(accounts.of(alice).uuid, "native", OWN))]
    )


def test_one_message_id_spelt_twice_is_two_messages(alice):
    turns = [Turn(name, None, "user", name) for name in (OWN, OWN.upper())]
    chats = [Transcript("native", OWN, turns=turns)]
    report = exchange.import_transcripts(alice, chats, naming=planning.Naming.KEPT)
    assert report.as_dict()["messages_added"] == 2
    assert UUID(OWN) in Message.objects.values_list("uuid", flat=True)


@pytest.mark.parametrize("taken", ["session", "message"])
def test_what_the_database_refuses_is_one_failure(alice, charlie, taken):
    """Somebody else already has an id that the second chat's would be derived to."""
    account = accounts.of(alice).uuid
    his = ids.derived_id(account, "native", "b") if taken == "session" else None
    theirs = sessions.create(charlie, "tutor", session_id=his)
    if taken == "message":
        uuid = ids.derived_id(account, "native", "b", "m")
        messages.append(theirs, charlie, "user", "his", message_id=uuid)
    report = load(alice, [chat("a"), chat("b", tags=["t"]), chat("c", title="T")])
    assert outcomes(report) == ["new", "failed", "new"]
    assert "taken" in report["sessions"][1]["reason"]
    assert (report["messages_added"], Session.objects.mine(alice).count()) == (2, 2)
    for row in Session.objects.mine(alice).select_related("account"):
        assert records.open_body(row.messages.get(), row).content == "said as 'm'"
    assert outcomes(load(alice, [chat("a"), chat("c")])) == ["unchanged", "unchanged"]


def test_chats_without_a_turn_are_said_to_be_empty(alice):
    hollow = [{"id": f"t{n}", "mapping": {}} for n in range(3)]
    report = load(alice, [*hollow, conversation({"a": None})])
    assert outcomes(report) == ["empty", "empty", "empty", "new"]
    assert (report["sessions_empty"], Session.objects.count()) == (3, 1)


def long(count: int) -> dict:
    """One chat whose second half is a branch beside the first."""
    links = {f"n{at}": f"n{at - 1}" if at else None for at in range(count)}
    links[f"n{count // 2}"] = "n0"
    return conversation(links)


def operations() -> int:
    found = Change.objects.filter(op="session.import")
    return found.order_by().values("operation").distinct().count()


def tree() -> list[tuple[int, int | None]]:
    return list(Message.objects.order_by("seq").values_list("seq", "parent_seq"))


def test_a_long_chat_comes_in_by_several_transactions(alice):
    report = load(alice, [long(4_500), conversation({"a": None}) | {"id": "short"}])
    assert [(o["outcome"], o["messages"]) for o in report["sessions"]] == [
        ("new", 4_500),
        ("new", 1),
    ]
    assert operations() == 5
    (session,) = Session.objects.filter(message_count=4_500).select_related("account")
    assert (session.last_seq, session.head_seq) == (4_500, 4_500)
    assert records.preview_of(session) == "text of n4499"
    assert session.messages.get(seq=2_251).parent_seq == 1
    assert outcomes(load(alice, [long(4_500)])) == ["unchanged"]
    assert operations() == 5


def test_an_end_in_between_leaves_what_the_same_file_completes(alice):
    class Killed(BaseException):
        pass

    def step(done: int, total: int) -> None:
        assert 0 <= done <= total
        if Session.objects.filter(message_count__gte=2_000).exists():
            raise Killed

    with pytest.raises(Killed):
        load(alice, [long(4_500)], step=step)
    assert Message.objects.count() == 2_500
    report = load(alice, [long(4_500)])
    assert [(o["outcome"], o["messages"]) for o in report["sessions"]] == [("extended", 2_000)]
    interrupted = tree()
    Session.objects.all().delete()
    load(alice, [long(4_500)])
    assert tree() == interrupted


def test_a_copy_with_a_name_is_made_once(alice):
    load(alice, [chat("a")])
    for _again in range(2):
        load(alice, [chat("a")], copy=True, once=UUID(OWN))
    assert Session.objects.count() == 2


def test_what_was_put_away_comes_in_put_away(alice, time_machine):
    time_machine.move_to(NOW, tick=False)
    gone = {"state": "deleted", "deleted_at": "2020-01-01T00:00:00Z"}
    load(alice, [chat("a", **gone), chat("b", state="archived"), chat("c", state="zz")])
    found = {row.state: row for row in Session.objects.all()}
    assert found.keys() == {"deleted", "archived", "active"}
    assert (found["deleted"].deleted_at, found["archived"].archived_at) == (NOW, NOW)
    assert found["deleted"].purge_after is None or found["deleted"].purge_after > NOW
    back = sessions.restore(Session.objects.select_related("account").get(state="deleted"), alice)
    assert back.state == "active"


def test_a_long_one_in_the_trash_comes_in_whole(alice):
    turns = [said(f"{n}", content="x") for n in range(2_100)]
    assert outcomes(load(alice, [chat("a", *turns, state="deleted")])) == ["new"]
    session = Session.objects.get()
    assert (session.state, session.message_count) == ("deleted", 2_100)


def test_more_of_an_archived_one_wakes_it(alice):
    load(alice, [chat("a", said("1"))])
    lifecycle.archive(Session.objects.select_related("account").get(), alice)
    load(alice, [chat("a", said("1"), said("2"))])
    assert Session.objects.get().state == "active"


def test_an_archived_one_is_archived_however_often_its_import_ends_in_between(alice):
    turns = [said(f"{n}", content="x") for n in range(2_600)]
    value = [chat("a", *turns, state="archived", archived_at="2026-01-01T00:00:00Z")]

    def step(_done: int, _total: int) -> None:
        if Session.objects.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(alice, value, step=step)
    assert 0 < Message.objects.count() < 2_600
    assert outcomes(load(alice, value)) == ["extended"]
    session = Session.objects.get()
    assert (session.state, session.message_count) == ("archived", 2_600)
    assert session.archived_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_times_to_come_are_not_believed(alice, time_machine):
    time_machine.move_to(NOW, tick=False)
    late = {"timestamp": LATER, "edited_at": LATER, "metadata": {"k": 1}}
    report = load(alice, [chat("a", said(**late), created_at=LATER, updated_at=LATER)])
    assert "4 times are later" in report["sessions"][0]["note"]
    session = Session.objects.select_related("account").get()
    row = session.messages.get()
    times = (session.created_at, session.updated_at, session.last_activity)
    assert {*times, row.created_at, row.edited_at} == {NOW}
    given = records.open_body(row, session).metadata
    assert given == {"k": 1, "given_timestamp": LATER, "given_edited_at": LATER}
    shown = represent.session_json(session)["metadata"]
    assert (shown["given_created_at"], shown["given_updated_at"]) == (LATER, LATER)
