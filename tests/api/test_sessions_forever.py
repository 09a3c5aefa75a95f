"""``DELETE sessions/{id}?forever=1``: out of the trash for good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from chathistory.models import Message, Session
from tests.api.client import Api, problem, unchanged


@pytest.fixture
def trashed(api: Api, chat: str) -> str:
    """Alice's session, in the trash."""
    assert api.delete(f"sessions/{chat}").status_code == 204
    return chat


def test_it_is_gone_for_good(api: Api, trashed: str) -> None:
    assert api.delete(f"sessions/{trashed}?forever=1").status_code == 204
    problem(api.get(f"sessions/{trashed}"), 404, "not_found")
    problem(api.post(f"sessions/{trashed}/restore"), 404, "not_found")
    assert not Message.objects.exists()
    problem(api.delete(f"sessions/{trashed}?forever=1"), 404, "not_found")


def test_what_is_not_in_the_trash_stays(api: Api, chat: str) -> None:
    with unchanged():
        problem(api.delete(f"sessions/{chat}?forever=1"), 409, "conflict")
    assert api.delete(f"sessions/{chat}?forever=0").status_code == 204
    assert api.get(f"sessions/{chat}").json()["state"] == "deleted"


def test_a_hold_keeps_it(api: Api, trashed: str) -> None:
    Session.objects.update(hold=True)
    with unchanged():
        problem(api.delete(f"sessions/{trashed}?forever=1"), 409, "conflict")


def test_nobody_else_removes_it(
    bob_api: Api,
    charlie_api: Api,
    anonymous: Api,
    grant: Callable[..., Any],
    api: Api,
    chat: str,
) -> None:
    grant(chat, "read", "delete")
    with unchanged():
        problem(bob_api.delete(f"sessions/{chat}?forever=1"), 403, "not_allowed")
    api.delete(f"sessions/{chat}")
    with unchanged():
        problem(bob_api.delete(f"sessions/{chat}?forever=1"), 404, "not_found")
        problem(charlie_api.delete(f"sessions/{chat}?forever=1"), 404, "not_found")
        assert anonymous.delete(f"sessions/{chat}?forever=1").status_code in (401, 403)
        problem(api.delete(f"sessions/{uuid4()}?forever=1"), 404, "not_found")


@pytest.mark.parametrize("value", ["", "2", "-1", "true", "1e0", "%00"])
def test_a_bad_value_is_refused(api: Api, trashed: str, value: str) -> None:
    with unchanged():
        problem(api.delete(f"sessions/{trashed}?forever={value}"), 400, "invalid", "forever")


def test_a_version_guards_it(api: Api, trashed: str) -> None:
    seen = api.get(f"sessions/{trashed}")["ETag"]
    with unchanged():
        stale = api.delete(f"sessions/{trashed}?forever=1", headers={"If-Match": '"1-1"'})
        problem(stale, 412, "stale")
    gone = api.delete(f"sessions/{trashed}?forever=1", headers={"If-Match": seen})
    assert gone.status_code == 204
