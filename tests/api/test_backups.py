"""``backups``: one's own are listed, made by a job, read and verified."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User

from chathistory.actions import archives, backup
from chathistory.models import Backup
from tests.api.client import Api, problem

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]


@pytest.fixture
def looks_after(charlie_api: Api) -> Api:
    user = User.objects.get(username="charlie")
    for name in ("view_backup", "add_backup"):
        user.user_permissions.add(Permission.objects.get(codename=name))
    return charlie_api


def test_ones_own_are_listed_and_the_sites_only_to_who_looks_after_it(
    api: Api, chat: str, home, looks_after: Api
) -> None:
    alice = User.objects.get(username="alice")
    archives.store(archives.prepare(alice), home)
    backup.full()
    mine = api.get("backups").json()["backups"]
    assert [(one["kind"], one["whole_site"]) for one in mine] == [("archive", False)]
    everything = looks_after.get("backups").json()["backups"]
    assert [one["whole_site"] for one in everything] == [True, False]
    assert set(mine[0]) == set(everything[0])
    problem(api.post(f"backups/{mine[0]['id']}/verify"), 409, "conflict")


def test_it_is_asked_for_as_a_job(api: Api, anonymous: Api, chat: str) -> None:
    made = api.post("backups")
    assert made.status_code == 202
    assert made.json()["kind"] == "backup"
    problem(anonymous.post("backups"), 401, "not_authenticated")
    problem(anonymous.get("backups"), 401, "not_authenticated")


def test_one_is_read_and_verified(looks_after: Api, api: Api, chat: str) -> None:
    made = backup.full()
    path = f"backups/{made.uuid}"
    Backup.objects.update(verified_at=None)
    assert looks_after.get(path).json()["verified_at"] is None
    assert looks_after.post(f"{path}/verify").json()["verified_at"]
    problem(api.get(path), 404, "not_found")
    problem(api.post(f"{path}/verify"), 404, "not_found")
    problem(api.get(f"backups/{uuid4()}"), 404, "not_found")


def test_who_may_only_see_them_verifies_none(charlie_api: Api, chat: str) -> None:
    user = User.objects.get(username="charlie")
    user.user_permissions.add(Permission.objects.get(codename="view_backup"))
    path = f"backups/{backup.full().uuid}"
    Backup.objects.update(verified_at=None)
    assert charlie_api.get(path).status_code == 200
    problem(charlie_api.post(f"{path}/verify"), 403, "not_allowed")
    assert Backup.objects.get().verified_at is None
