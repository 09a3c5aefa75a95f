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

pytestmark = pytest.mark.usefixtures("backend")


@pytest.mark.django_db
def test_a_message_of_the_same_place_is_not_found_by_another_ones_words(
    alice: User, bob: User, talk: Talk, invite: Invite
) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("places are distinct on SQLite, whose writers are serial")
    theirs, mine = talk("a zebra"), talk("a lion", user=bob)
    invite(theirs, bob, "read")
    zebra, lion = theirs.messages.get(), mine.messages.get()
    tokens = keyring.account_keys(mine.account).search.of_text("a lion")
    index().remove([Doc(lion.place, tokens)])
    Message.objects.filter(pk=lion.pk).update(place=zebra.place)
    index().add([Doc(zebra.place, tokens)])
    assert [hit.message.uuid for hit in search(bob, "zebra").hits] == [zebra.uuid]
    assert [hit.message.uuid for hit in search(bob, "lion").hits] == [lion.uuid]
