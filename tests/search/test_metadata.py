"""The texts in a chat's metadata are found as words of its title are, and as long as they stand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chathistory import keyring, records
from chathistory.actions import accounts, exchange, messages, purge, sessions
from chathistory.models import Session
from chathistory.search import upkeep
from chathistory.search.base import Doc, index
from chathistory.search.find import search
from tests.formats.samples import conversation, opened

NESTED = {"client": "Acme Inc", "deep": [{"who": "Löwe"}, 7, None], "n": 5}


def titled(user: Any, query: str) -> set[Any]:
    answer = search(user, query)
    assert not answer.hits
    return {row.uuid for row in answer.titles}


def test_texts_are_found_however_deep_and_names_are_not(alice, charlie, talk):
    session = talk("zebra", metadata=NESTED)
    for query in ("acme", '"acme inc"', "lowe acme", "acme -zebras"):
        assert titled(alice, query) == {session.uuid}
        assert titled(charlie, query) == set()
    for query in ("client", '"inc lowe"', "5", "acme -inc", "in:title acme"):
        assert titled(alice, query) == set()


def test_a_word_of_the_title_and_one_of_the_metadata_are_both_words_of_the_chat(alice, talk):
    session = talk(title="Zebra crossing", metadata=NESTED)
    assert titled(alice, "zebra acme") == {session.uuid}
    assert titled(alice, '"crossing acme"') == set()
    assert titled(alice, "in:title crossing") == {session.uuid}
    assert titled(alice, "in:title zebra acme") == set()


def test_without_a_title_they_are_found_too(alice, talk):
    session = talk(metadata=NESTED)
    assert session.indexed == 2
    assert titled(alice, "acme") == {session.uuid}
    messages.append(session, alice, "user", "zebra")
    assert titled(alice, "acme") == {session.uuid}


def test_a_change_is_found_and_what_was_there_is_not(alice, talk):
    session = talk(title="Zebra", metadata=NESTED)
    sessions.change(session, alice, metadata={"who": "lion"}, title="Tiger")
    assert titled(alice, "lion tiger") == {session.uuid}
    assert titled(alice, "acme") == titled(alice, "zebra") == set()
    session.refresh_from_db()
    sessions.change(session, alice, metadata={})
    assert titled(alice, "lion") == set()
    assert titled(alice, "tiger") == {session.uuid}


def test_a_fork_and_an_import_have_theirs(alice, talk):
    sessions.fork(talk("a", title="Zebra", metadata=NESTED), alice)
    assert len(titled(alice, "acme")) == 2
    found = conversation({"a": None}) | {"title": None}
    exchange.import_file(alice, opened([found]))
    for row in Session.objects.select_related("account"):
        for said in upkeep.text.strings(records.metadata_of(row)):
            assert row.uuid in {one.uuid for one in search(alice, f'"{said}"').titles}


def told(docs: list[Doc]) -> list[Doc]:
    """Return what an index holds, for it holds tokens in no order."""
    return [doc._replace(tokens=" ".join(sorted(doc.tokens.split()))) for doc in docs if doc.tokens]


def test_what_an_older_version_put_in_comes_out_whole(alice, talk):
    session = talk(title="Zebra", metadata=NESTED)
    keyed = keyring.account_keys(accounts.of(alice)).search
    index().remove(upkeep.title_docs(session), titles=True)
    index().add([Doc(session.pk, keyed.of_text("Zebra"))], titles=True)
    Session.objects.update(indexed=1)
    assert titled(alice, "acme") == set()
    session.refresh_from_db()
    sessions.rename(session, alice, "Lion")
    assert titled(alice, "zebra") == set()
    assert titled(alice, "lion acme") == {session.uuid}
    row = Session.objects.select_related("account").get()
    assert told(index().read([session.pk], titles=True)) == told(upkeep.title_docs(row))


def test_metadata_that_does_not_open_hide_no_title(alice, talk):
    session = talk(title="Zebra", metadata=NESTED)
    Session.objects.update(metadata=b"\0" * 60)
    keyring.forget()
    broken = Session.objects.select_related("account").get()
    upkeep.drop_titles([broken])
    assert titled(alice, "zebra") == titled(alice, "acme") == set()
    assert upkeep.add_titles([broken]) == [broken]
    assert session.uuid == broken.uuid


def test_after_a_purge_nothing_of_them_is_left(alice, talk):
    session = talk("zebra", title="Lion", metadata=NESTED)
    purge.purge(sessions.delete(session, alice), alice)
    assert index().read([session.pk], titles=True) == []


TEXTS = st.sampled_from(["zebra", "the lion", "Löwe 中国", "", "of the of"])
METADATA = st.dictionaries(st.sampled_from(["a", "b"]), TEXTS | st.lists(TEXTS, max_size=2))


@pytest.mark.django_db
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(
        st.tuples(st.none() | TEXTS.filter(bool), st.none() | METADATA, st.booleans()), max_size=6
    )
)
def test_whatever_changes_the_index_holds_what_the_row_says(alice, talk, steps):
    session = talk()
    for title, metadata, speaks in steps:
        if speaks:
            messages.append(session, alice, "user", title or "a tiger")
        session = Session.objects.select_related("account").get(pk=session.pk)
        sessions.change(session, alice, title=title, metadata=metadata)
    row = Session.objects.select_related("account").get(pk=session.pk)
    docs = upkeep.title_docs(row) if row.indexed else []
    held = index().read([row.pk], titles=True)
    assert told(held) == told(docs)
    assert bool(row.indexed) == upkeep.is_titled(row)
