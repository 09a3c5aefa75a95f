"""Whatever grants there are, nothing of what one may not read is found, counted or told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chathistory.actions import sessions
from chathistory.models import Session, Share
from chathistory.search import facets
from chathistory.search.find import search, within
from tests.search import brute

pytestmark = pytest.mark.usefixtures("backend")

#: What only the sessions of this number hold: a word, a tag, a workflow, metadata.
SECRETS = range(3)
GRANTS = st.lists(
    st.tuples(
        st.sampled_from(SECRETS),
        st.sampled_from(["charlie", "team", "others"]),
        st.sampled_from(["read", "write", "export"]),
        st.sampled_from([None, -60, 60]),
    ),
    max_size=6,
    unique_by=lambda grant: grant[:2],
)
QUERIES = [
    *("zebra", "zebra OR secret0", "secret*", "role:user", "is:shared", "is:pinned", "has:link"),
    *('"a zebra"', "-lion role:user", "tag:tag0", "meta:key=value1", "after:2000", "lion OR zebra"),
]


@pytest.mark.django_db
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    grants=GRANTS,
    is_member=st.booleans(),
    revoked=st.sets(st.sampled_from(SECRETS)),
    trashed=st.sets(st.sampled_from(SECRETS), max_size=1),
)
def test_nothing_is_found_counted_or_told_of_what_one_may_not_read(
    alice: Any,
    charlie: Any,
    talk: Any,
    invite: Any,
    grants: Any,
    is_member: bool,
    revoked: set[int],
    trashed: set[int],
) -> None:
    Share.objects.all().delete()
    Session.objects.all().delete()
    groups = {name: Group.objects.get_or_create(name=name)[0] for name in ("team", "others")}
    charlie.groups.set([groups["team"]] if is_member else [])
    chats = [_chat(alice, talk, number) for number in SECRETS]
    talk("zebra of his own", user=charlie, workflow="imported")
    for number, to, verb, seconds in grants:
        ends = None if seconds is None else timezone.now() + timedelta(seconds=seconds)
        invite(chats[number], groups.get(to, charlie), verb, expires_at=ends)
    search(charlie, "zebra")  # whatever is remembered of before
    Share.objects.filter(session__in=[chats[n].pk for n in revoked]).delete()
    for number in trashed:
        sessions.delete(Session.objects.select_related("account").get(pk=chats[number].pk), alice)
    hidden = {n for n in SECRETS if not _may_read(n, grants, is_member=is_member)}
    hidden |= revoked | trashed
    for number in hidden:
        assert within(charlie, "zebra", chats[number]) == ([], True)
    for query in QUERIES:
        _check(charlie, query, {chats[number].pk for number in hidden}, hidden)


def _chat(alice: Any, talk: Any, number: int) -> Session:
    said = (f"a zebra secret{number} https://a.example", f"zebra {number}")
    meta = {"key": f"value{number}"}
    made: Session = talk(*said, title=f"Secret{number}", metadata=meta, workflow=_kind(number))
    return sessions.change(made, alice, tags=[f"tag{number}"], pinned=True)


def _kind(number: int) -> str:
    return ("tutor", "translator", "summarizer")[number]


def _may_read(number: int, grants: Any, *, is_member: bool) -> bool:
    to = {"charlie", "team"} if is_member else {"charlie"}
    return any(
        n == number and who in to and verb == "read" and (seconds or 1) > 0
        for n, who, verb, seconds in grants
    )


def _check(user: Any, query: str, keys: set[int], hidden: set[int]) -> None:
    for more in ({}, {"group": "session"}, {"sort": "relevance"}):
        answer = search(user, query, facets=True, **more)
        assert not {hit.session.pk for hit in answer.hits} & keys
        assert not {row.pk for row in answer.titles} & keys
        told = answer.facets
        assert told is not None
        assert told.counted == len(brute.found(user, query))
        assert not set(told.workflow) & {_kind(number) for number in hidden}
        assert not told.tag
        assert all(sum(getattr(told, n).values()) == told.counted for n in facets.NAMES[:3])
    titles = search(user, f"in:title {query}").titles
    assert not {row.pk for row in titles} & keys
