"""Two accounts that write in the same millisecond on PostgreSQL may share a place."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection

from chathistory import keyring
from chathistory.models import Message
from chathistory.search.base import Doc, index
from chathistory.search.find import search
from tests.conftest import Invite, Talk
from tests.search import brute

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("backend"),
    pytest.mark.skipif(
        connection.vendor != "postgresql",
        reason="places are distinct on SQLite, whose writers are serial",
    ),
]


def move(message: Message, text: str, place: int) -> None:
    """Let a message stand at another place, as if it had been said then."""
    tokens = keyring.account_keys(message.session.account).search.of_text(text)
    if index().at_rest:
        index().remove([Doc(message.place, tokens)])
        index().add([Doc(place, tokens)])
    Message.objects.filter(pk=message.pk).update(place=place)


def test_a_message_of_the_same_place_is_not_found_by_another_ones_words(
    bob: User, talk: Talk, invite: Invite
) -> None:
    theirs, mine = talk("a zebra"), talk("a lion", user=bob)
    invite(theirs, bob, "read")
    zebra, lion = theirs.messages.get(), mine.messages.get()
    move(lion, "a lion", zebra.place)
    assert [hit.message.uuid for hit in search(bob, "zebra").hits] == [zebra.uuid]
    assert [hit.message.uuid for hit in search(bob, "lion").hits] == [lion.uuid]


@pytest.mark.parametrize("query", ["zebra", "role:user", '"a zebra"', "zeb*"])
@pytest.mark.parametrize("group", [None, "session"])
def test_no_page_ends_between_messages_of_one_place_and_loses_one(
    bob: User, charlie: User, talk: Talk, invite: Invite, query: str, group: str | None
) -> None:
    for _ in range(4):
        zebras = [talk("a zebra", user=user) for user in (bob, charlie)] + [talk("a zebra")]
        for session in zebras[1:]:
            invite(session, bob, "read")
            place = zebras[0].messages.get().place
            move(session.messages.get(), "a zebra", place)
    for limit in (1, 2, 5):
        found, cursor = [], None
        while not found or cursor:
            page = search(bob, query, limit=limit, cursor=cursor, group=group)
            found += [hit.message.uuid for hit in page.hits]
            cursor = page.cursor
        assert len(found) == 12
        assert set(found) == set(brute.found(bob, query))
        assert len(set(found)) == 12
