"""Alice owns, Bob is invited, Charlie is a stranger: each at the API."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from chathistory import policy
from chathistory.actions import accounts
from chathistory.models import Session, Share
from tests.api.client import Api


def person(name: str) -> Api:
    """Sign somebody in, whose account is there already."""
    user, _ = User.objects.get_or_create(username=name)
    accounts.of(user)
    return Api(user)


@pytest.fixture
def api(db: None) -> Api:
    """Alice at the API."""
    return person("alice")


@pytest.fixture
def bob_api(db: None) -> Api:
    """Bob at the API."""
    return person("bob")


@pytest.fixture
def charlie_api(db: None) -> Api:
    """Charlie at the API."""
    return person("charlie")


@pytest.fixture
def anonymous(db: None) -> Api:
    """Somebody who has not signed in."""
    return Api()


@pytest.fixture
def grant(bob_api: Api) -> Callable[..., Share]:
    """Share a session with Bob."""

    def share(session_id: str, *verbs: str) -> Share:
        session = Session.objects.get(uuid=session_id)
        to = accounts.of(bob_api.user)
        return Share.objects.create(
            account=session.account, session=session, grantee=to, verbs=policy.mask(verbs)
        )

    return share


@pytest.fixture
def chat(api: Api) -> str:
    """Alice's session of three messages."""
    session = api.session(title="Beer and bread")
    api.say(session, "How does yeast work?")
    api.say(session, "It eats sugar.", role="assistant")
    api.say(session, "And then?")
    return session
