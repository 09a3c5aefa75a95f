"""A record that was changed on disk: it says so itself, and its neighbours are served."""

from __future__ import annotations

import pytest
from django.db import connection

from chathistory.models import Message, Session
from tests.api.client import Api, problem


def flip(model: type[Message | Session], column: str, uuid: str) -> None:
    """Flip the last bit of a sealed column in SQL."""
    row = model._default_manager.get(uuid=uuid)
    record = bytes(getattr(row, column))
    damaged = record[:-1] + bytes([record[-1] ^ 1])
    with connection.cursor() as cursor:
        sql = f"UPDATE {model._meta.db_table} SET {column} = %s WHERE id = %s"  # noqa: S608
        cursor.execute(sql, [damaged, row.pk])


@pytest.fixture
def broken(api: Api, chat: str) -> str:
    """The second of three messages, which does not open any more."""
    uuid = str(api.get(f"sessions/{chat}").json()["messages"][1]["id"])
    flip(Message, "body", uuid)
    return uuid


def test_its_neighbours_are_served(api: Api, chat: str, broken: str) -> None:
    for path in (f"sessions/{chat}", f"sessions/{chat}/messages?render=html"):
        before, it, after = api.client.get(f"/api/chat_history/{path}").json()["messages"]
        assert (before["damaged"], after["damaged"]) == (False, False)
        assert (before["content"], after["content"]) == ("How does yeast work?", "And then?")
        assert (it["id"], it["damaged"], it["status"]) == (broken, True, "damaged")
        assert it["content"] is None
    assert api.get(f"messages/{broken}").json()["damaged"] is True


def test_search_leaves_it_out_and_finds_the_others(api: Api, broken: str) -> None:
    for sort in ("newest", "relevance"):
        assert api.get("search", q="sugar", sort=sort).json()["results"] == []
        assert len(api.get("search", q="yeast", sort=sort).json()["results"]) == 1


def test_it_can_be_neither_changed_nor_forked(api: Api, chat: str, broken: str) -> None:
    problem(api.patch(f"messages/{broken}", {"content": "x"}), 409, "damaged")
    problem(api.post(f"sessions/{chat}/fork"), 409, "damaged")
    said = {"role": "assistant", "content": "It eats sugar.", "id": broken}
    problem(api.post(f"sessions/{chat}/messages", said), 409, "damaged")
    assert api.say(chat, "and on it goes")["damaged"] is False


@pytest.mark.parametrize("column", ["title", "preview", "metadata"])
def test_a_damaged_session_is_listed_beside_the_others(api: Api, chat: str, column: str) -> None:
    api.patch(f"sessions/{chat}", {"metadata": {"x": 1}})
    whole = api.session(title="Whole")
    flip(Session, column, chat)
    listed = {one["session_id"]: one for one in api.get("sessions").json()["sessions"]}
    assert (listed[chat]["damaged"], listed[whole]["damaged"]) == (True, False)
    assert listed[whole]["title"] == "Whole"
    assert (listed[chat]["title"] is None) == (column == "title")
    shown = api.get(f"sessions/{chat}").json()
    assert (shown["damaged"], len(shown["messages"])) == (True, 3)
    assert len(api.get("search", q="yeast").json()["results"]) == 1
