"""A client of the API that speaks JSON, and what the tests ask of its answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.signals import request_finished
from django.db import close_old_connections
from django.test import Client

ROOT = "/api/chat_history/"
LARGE = 2_000_001


class Api:
    """Somebody at the API, by default anonymous. An error of ours is a 500, not an exception."""

    def __init__(self, user: User | None = None, **headers: str) -> None:
        self.user = user
        self.client = Client(raise_request_exception=False, headers=headers)
        if user is not None:
            self.client.force_login(user)

    def send(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Send JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps({} if body is None else body)
        more.setdefault("content_type", "application/json")
        return self.client.generic(method, ROOT + path, data, **more)

    def get(self, path: str, **parameters: Any) -> Any:
        """Ask for a page."""
        return self.client.get(ROOT + path, parameters)

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        """Send a POST."""
        return self.send("POST", path, body, **more)

    def patch(self, path: str, body: Any = None, **more: Any) -> Any:
        """Send a PATCH."""
        return self.send("PATCH", path, body, **more)

    def delete(self, path: str, **more: Any) -> Any:
        """Send a DELETE."""
        return self.client.delete(ROOT + path, **more)

    def upload(self, name: str, content: bytes, **fields: Any) -> Any:
        """Send a file to be imported."""
        file = SimpleUploadedFile(name, content)
        return self.client.post(f"{ROOT}import", {"file": file, **fields})

    def session(self, workflow: str = "tutor", **more: Any) -> str:
        """Make a session and return its id."""
        answer = self.post("sessions", {"workflow_type": workflow, **more})
        assert answer.status_code == 201, answer.content
        return str(answer.json()["session_id"])

    def say(self, session: str, content: str, role: str = "user", **more: Any) -> dict[str, Any]:
        """Add a message and return it."""
        said = {"role": role, "content": content, **more}
        answer = self.post(f"sessions/{session}/messages", said)
        assert answer.status_code == 201, answer.content
        return dict(answer.json())


def leave(answer: Any) -> None:
    """Close an answer as a server does, but keep the test's own transaction open."""
    answer._iterator.close()  # the test client's own, if anything was read
    request_finished.disconnect(close_old_connections)
    try:
        answer.close()
    finally:
        request_finished.connect(close_old_connections)


def problem(answer: Any, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """Check that an answer is a problem of this kind, and return it."""
    assert answer.status_code == status, (answer.status_code, answer.content[:500])
    assert answer["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"], body.get("field")) == (status, code, field), body
    assert body["title"]
    assert body["detail"]
    return body


@contextmanager
def unchanged() -> Iterator[None]:
    """Check that no row of ours is added or removed meanwhile, and no journal grows."""
    before = _rows()
    yield
    assert _rows() == before


def _rows() -> dict[str, Any]:
    models = list(apps.get_app_config("chathistory").get_models())
    counts: dict[str, Any] = {model.__name__: model._default_manager.count() for model in models}
    account = apps.get_model("chathistory", "Account")
    return counts | {"seq": dict(account._default_manager.values_list("pk", "seq"))}
