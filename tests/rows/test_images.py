"""Images: every row becomes JSON and comes back as it was, under other integer keys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group, User

from chathistory.actions import messages, retention, sessions
from chathistory.backups import images
from chathistory.backups.images import TABLES, Line
from chathistory.exceptions import Damaged
from chathistory.models import Account, Change, Message, Session, Share, Tag

LIVING = [model for model in TABLES.values() if model is not Account]


def everything() -> list[Line]:
    found = [one for model in TABLES.values() for one in images.images(model._base_manager.all())]
    return [*found, *images.images(Change.objects.all())]


def as_sent(lines: list[Line]) -> list[Line]:
    return [json.loads(json.dumps(line)) for line in lines]


def without(lines: list[Line], *tables: str) -> list[Line]:
    return [line for line in lines if line["t"] not in tables]


@pytest.fixture
def full(alice: User, bob: User, talk: Any, invite: Any) -> Session:
    """A site with a row of every table but blocks."""
    session = talk("what is a heron?", "a bird", metadata={"a": 1})
    session = sessions.tag(session, alice, ["birds", "water"])
    other = talk("hello")
    first = Message.objects.filter(session=session).earliest("seq")
    messages.edit(first, alice, "what is a stork?")
    messages.delete(Message.objects.get(session=other), alice)
    invite(session, bob, "read", "write")
    invite(other, Group.objects.create(name="readers"))
    retention.set_policy(None, account=session.account, archive_after=86_400)
    return session


def test_what_is_taken_away_comes_back_under_other_keys(full):
    said = everything()
    assert {line["t"] for line in said} >= {*TABLES, "change"} - {"block"}
    keys = set(Message.objects.values_list("pk", flat=True))
    for model in reversed(LIVING):
        model._base_manager.all().delete()
    Change.objects.all().delete()
    done = images.apply(as_sent(said))
    assert everything() == said
    assert keys.isdisjoint(Message.objects.values_list("pk", flat=True))
    assert done.counts.total() == len(said)
    assert not done.users
    assert not done.groups


def test_an_image_says_what_refers_to_what_by_name(full, alice, bob):
    line = images.image(full)
    assert line["account"] == str(full.account.uuid)
    assert line["tags"] == [str(tag.uuid) for tag in full.tags.order_by("pk")]
    assert {len(line["tags"]), line["t"]} == {2, "session"}
    assert images.image(full.account)["user"] == "alice"
    to_bob, to_readers = map(images.image, Share.objects.order_by("pk"))
    assert to_bob["grantee"] == str(Account.objects.get(user=bob).uuid)
    assert (to_readers["grantee"], to_readers["group"]) == (None, "readers")
    assert "id" not in line


def test_a_row_that_is_there_takes_the_image_and_keeps_its_key(full, alice):
    said = without(everything(), "change")
    sessions.rename(full, alice, "another title")
    sessions.retag(full, alice, ["water"], add=False)
    Message.objects.update(status="failed", block=None, edited_at=None)
    images.apply(as_sent(said))
    assert without(everything(), "change") == said
    assert Session.objects.filter(pk=full.pk, uuid=full.uuid).exists()
    again = images.apply(as_sent(said))
    assert without(everything(), "change") == said
    assert again.counts.total() == len(said)


def test_changes_are_added_and_never_replaced(full):
    said = list(images.images(Change.objects.all()))
    Change.objects.filter(seq=2).delete()
    Change.objects.filter(seq=3).update(op="as it is")
    images.apply(as_sent(said))
    assert Change.objects.count() == len(said)
    assert Change.objects.filter(op="as it is").exists()


def test_a_row_that_is_gone_takes_with_it_what_hangs_on_it(full):
    tag, other = full.tags.order_by("pk").first(), Session.objects.exclude(pk=full.pk).get()
    rows = [("session", full), ("tag", tag), ("job", other), ("message", other)]
    lines = [images.gone(name, row.uuid, full.account.uuid) for name, row in rows]
    assert images.apply(lines).counts == {"gone": 2}
    assert list(Session.objects.all()) == [other]
    assert not Message.objects.exclude(session=other).exists()
    assert Tag.objects.count() == 1


def test_a_user_and_a_group_who_are_not_here_are_named(full, alice):
    said = as_sent(everything())
    for model in reversed(LIVING):
        model._base_manager.all().delete()
    Change.objects.all().delete()
    User.objects.all().delete()
    Group.objects.all().delete()
    done = images.apply(said)
    assert done.users[full.account.uuid] == "alice"
    assert set(done.users.values()) == {"alice", "bob"}
    assert done.groups == {"readers"}
    assert Share.objects.get().group is None
    assert Account.objects.get(uuid=full.account.uuid).user is None


def test_the_policy_that_a_new_site_made_gives_way(full):
    retention.seed()
    (said,) = (line for line in everything() if line["t"] == "policy" and not line["account"])
    other = {**said, "uuid": "01890000-0000-7000-8000-000000000000"}
    images.apply([other])
    assert [line for line in everything() if line["t"] == "policy" and not line["account"]] == [
        other
    ]


def test_a_column_younger_than_the_image_has_its_default(full):
    line = images.image(full)
    del line["compressed"], line["purge_after"]
    Session.objects.filter(pk=full.pk).update(compressed=True)
    images.apply([line])
    assert Session.objects.get(pk=full.pk).compressed is False


def wrong(**changes: Any) -> Any:
    return lambda line: line | changes


NOBODY = "00000000-0000-7000-8000-00000000dead"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (wrong(t="user"), "'user'"),
        (wrong(uuid="no uuid"), "'session'"),
        (wrong(uuid=None), "'session'"),
        (wrong(account=NOBODY), NOBODY),
        (wrong(title="no base64!"), "'session'"),
        (wrong(created_at="yesterday"), "'session'"),
        (wrong(created_at=12), "'session'"),
        (wrong(tags=[NOBODY]), NOBODY),
        (wrong(colour="red"), "colour"),
        (wrong(t="gone", table="session", row="x"), "'gone'"),
    ],
)
def test_a_line_that_cannot_be_changes_nothing(full, change, named):
    before = everything()
    with pytest.raises(Damaged, match=named):
        images.apply([*as_sent(before), change(images.image(full))])
    assert everything() == before
