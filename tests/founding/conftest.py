"""The founding document's own user, and a site that runs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.founding.site import Site


@pytest.fixture
def bernard(db: None) -> User:
    """The founding document's user."""
    return User.objects.create_user("bernard")


@pytest.fixture
def api(bernard: User) -> Any:
    """Ask the API as bernard: ``api(method, path, body)`` gives status and JSON."""
    client = Client()
    client.force_login(bernard)
    return asker(client)


def asker(client: Client) -> Any:
    """Return a function that asks the API and gives status and JSON."""

    def ask(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        sent = "" if body is None else json.dumps(body)
        kind = "application/json"
        answer = client.generic(method, f"/api/chat_history/{path}", sent, content_type=kind)
        return answer.status_code, answer.json() if answer.content else None

    return ask


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site with its database, its user and a token."""
    made = Site(tmp_path_factory.mktemp("site"))
    made.prepare()
    return made
