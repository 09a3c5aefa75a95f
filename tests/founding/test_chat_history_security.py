"""Founding document, access control: user isolation and session access permissions."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from chathistory import policy
from chathistory.actions import accounts
from chathistory.models import Session, Share
from tests.founding.conftest import asker

SAID = {"role": "user", "content": "a secret recipe"}


@pytest.fixture
def session(api: Any) -> str:
    """Bernard's session of one message."""
    _, made = api("POST", "sessions", {"workflow_type": "tutor", "title": "Recipes"})
    api("POST", f"sessions/{made['session_id']}/messages", SAID)
    return str(made["session_id"])


@pytest.fixture
def bianca(db: None) -> Any:
    """Somebody else."""
    client = Client()
    client.force_login(User.objects.create_user("bianca"))
    return asker(client)


def wanted(session: str, message: str) -> dict[str, tuple[str, str, Any]]:
    """What there is to do with a session, by the verb it needs."""
    path = f"sessions/{session}"
    return {
        "read": ("GET", path, None),
        "write": ("POST", f"{path}/messages", SAID),
        "edit": ("PATCH", f"messages/{message}", {"content": "changed"}),
        "delete": ("DELETE", path, None),
    }


def test_a_stranger_cannot_tell_it_from_nothing(api: Any, bianca: Any, session: str) -> None:
    _, shown = api("GET", f"sessions/{session}")
    message = shown["messages"][0]["id"]
    for method, path, body in wanted(session, message).values():
        theirs = bianca(method, path, body)
        nobodys = path.replace(session, shown["messages"][0]["id"]).replace(message, session)
        assert theirs[0] == 404
        assert theirs == bianca(method, nobodys, body)
    assert bianca("GET", "sessions")[1]["total"] == 0
    assert bianca("GET", "search?q=recipe")[1]["results"] == []
    assert api("GET", f"sessions/{session}")[1] == shown


@pytest.mark.parametrize("verb", ["read", "write", "edit", "delete"])
def test_a_grant_allows_its_verbs_alone(api: Any, bianca: Any, session: str, verb: str) -> None:
    message = api("GET", f"sessions/{session}")[1]["messages"][0]["id"]
    row, to = Session.objects.get(uuid=session), accounts.of(User.objects.get(username="bianca"))
    bits = policy.mask({"read", verb})
    Share.objects.create(account=row.account, session=row, grantee=to, verbs=bits)
    steps = wanted(session, message)
    for other in steps.keys() - {"read", verb}:
        assert bianca(*steps[other])[0] == 403
    assert bianca(*steps[verb])[0] in (200, 201, 204)


def test_nobody_in_particular_gets_nothing(session: str) -> None:
    status, problem = asker(Client())("GET", f"sessions/{session}")
    assert (status, problem["code"]) == (401, "not_authenticated")
