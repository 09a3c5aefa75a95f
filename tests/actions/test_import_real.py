"""Real exports come in whole: every message under the parent it had."""

from __future__ import annotations

import pytest

from chathistory import records
from chathistory.actions import exchange
from chathistory.models import Message, Session
from tests.formats.samples import FIXTURES, fixture, forest, opened

REPRESENTATIVES = "polylogue/schemas/chatgpt/representatives"


def test_every_parent_of_a_forest_is_kept(alice):
    source = forest()
    assert exchange.import_file(alice, opened([source])).as_dict()["messages_added"] == 16
    session = Session.objects.select_related("account").get()
    by_seq = {row.seq: row for row in session.messages.all()}
    text = {seq: records.open_body(row, session).content for seq, row in by_seq.items()}
    nodes = source["mapping"]

    def above(key: str) -> str | None:
        parent = nodes[key]["parent"]
        return above(parent) if parent and nodes[parent]["message"] is None else parent

    wanted = {
        f"text of {key}": f"text of {above(key)}" if above(key) else None
        for key, node in nodes.items()
        if node["message"]
    }
    parents = {text[s]: text[r.parent_seq] if r.parent_seq else None for s, r in by_seq.items()}
    assert parents == wanted
    assert text[session.head_seq] == "text of e2"


@pytest.mark.parametrize(("name", "chats", "messages"), [("librechat/chatgpt-export.json", 2, 21)])
def test_a_real_export_comes_in_once(alice, name, chats, messages):
    report = exchange.import_file(alice, fixture(name)).as_dict()
    assert (report["sessions_new"], report["messages_added"]) == (chats, messages)
    assert (Session.objects.count(), Message.objects.count()) == (chats, messages)
    again = exchange.import_file(alice, fixture(name)).as_dict()
    assert (again["sessions_unchanged"], again["messages_added"]) == (chats, 0)
    assert Message.objects.count() == messages


@pytest.mark.parametrize("at", [0, 1])
def test_the_generated_samples_have_one_branch_point_each(alice, at):
    fixture("librechat/chatgpt-export.json")
    path = sorted((FIXTURES / REPRESENTATIVES).glob("sample-*.json"))[at]
    exchange.import_file(alice, fixture(str(path)))
    assert Message.objects.count() == (3, 4)[at]
    parents = list(Message.objects.values_list("parent_seq", flat=True))
    assert len([one for one in set(parents) if parents.count(one) > 1]) == 1
