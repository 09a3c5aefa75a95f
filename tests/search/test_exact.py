"""After any sequence of verbs the index holds exactly what can be found by opening everything."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chathistory.actions import exchange, messages, sessions
from chathistory.exceptions import Conflict
from chathistory.models import Message, Session
from chathistory.search.base import index
from chathistory.search.find import search
from tests.formats.samples import conversation, opened
from tests.search import brute

pytestmark = pytest.mark.usefixtures("backend")
WORDS = ["zebra", "Löwe", "中国", "foo_bar", "the"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
NUMBERS = st.integers(0, 30)
STEPS = st.lists(
    st.tuples(st.sampled_from(["append", "edit", "branch", "bury"]), NUMBERS, TEXTS)
    | st.tuples(st.sampled_from(["trash", "restore", "rename", "fork"]), NUMBERS, TEXTS),
    max_size=14,
)
QUERIES = [*WORDS, "foo", '"zebra the"', "zebra -the", 'the -"zebra the"', "国", "lowe zebra"]
QUERIES += ["zebra OR lowe", '(zebra -the) OR "foo_bar the" 中国', "the -(zebra OR foo)", "ze*"]
QUERIES += ["role:user", "-zebra role:user", "zebra OR role:assistant", "role:user zebra OR the"]
QUERIES += ["lö* the"]


def step(user, verb: str, number: int, text: str) -> None:
    rows = Session.objects.mine(user).select_related("account").order_by("pk")
    session = rows[number % rows.count()]
    said = session.messages.order_by("seq")
    if verb == "append" or not said.exists():
        messages.append(session, user, "user", text)
        return
    message = said.select_related("session__account")[number % said.count()]
    verbs = {
        "edit": lambda: messages.edit(message, user, text),
        "branch": lambda: messages.branch(message, user, text),
        "bury": lambda: messages.delete(message, user),
        "trash": lambda: sessions.delete(session, user),
        "restore": lambda: sessions.restore(session, user),
        "rename": lambda: sessions.rename(session, user, text),
        "fork": lambda: sessions.fork(session, user),
    }
    verbs[verb]()


def paged(user, query: str, limit: int) -> list:
    found, cursor = [], None
    while True:
        answer = search(user, query, limit=limit, cursor=cursor)
        found += [hit.message.uuid for hit in answer.hits]
        if (cursor := answer.cursor) is None:
            return found


@pytest.mark.django_db
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, limit=st.integers(1, 5))
def test_it_finds_what_a_scan_finds_and_pages_it_whole(alice, bob, talk, invite, steps, limit):
    Session.objects.all().delete()
    first, _ = talk("the zebra"), talk()
    invite(first, bob)
    for verb, number, text in steps:
        with suppress(Conflict):  # in the trash, or a tombstone
            step(alice, verb, number, text)
    for query in QUERIES:
        for user in (alice, bob):
            assert paged(user, query, limit) == brute.found(user, query)
    for session in Session.objects.select_related("account"):
        live = session.messages.filter(deleted_at=None)
        assert session.message_count == live.count()
        assert session.total_tokens == sum(live.values_list("tokens", flat=True))
    if not index().at_rest:
        assert not Message.objects.exclude(indexed=0).exists()
        return
    assert not Message.objects.filter(deleted_at=None, indexed=0).exists()
    assert not Message.objects.exclude(deleted_at=None).exclude(indexed=0).exists()


def test_a_budget_ends_a_page_early_and_the_cursor_goes_on(alice, talk, settings):
    for n in range(12):
        talk(f"brown fox {n}" if n % 4 == 0 else f"fox brown {n}")
    settings.CHATHISTORY_SEARCH_BUDGET = 1
    answer = search(alice, '"brown fox"', limit=1)
    assert answer.complete
    assert paged(alice, '"brown fox"', 1) == brute.found(alice, '"brown fox"')
    assert len(brute.found(alice, '"brown fox"')) == 3


def test_messages_imported_with_one_time_are_each_found(alice, bob):
    chat = conversation({"a": None, "b": "a", "c": "b"})
    for node in chat["mapping"].values():
        node["message"]["create_time"] = 1.7e9
    for user in (alice, bob):
        exchange.import_file(user, opened([chat]))
        exchange.import_file(user, opened([chat]), copy=True)
    for user in (alice, bob):
        assert len(paged(user, "text", 2)) == 6
        assert len(paged(user, "b", 1)) == 2
