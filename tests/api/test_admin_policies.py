"""Retention policies in the admin: a form that calls the verb."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from chathistory.actions import accounts, retention, sessions
from chathistory.models import Change, RetentionPolicy, Tag
from tests.actions.aging import DAY, later

ADD = reverse("admin:chathistory_retentionpolicy_add")
LIST = reverse("admin:chathistory_retentionpolicy_changelist")
FIELDS = {
    "idle_after": "default",
    "archive_after": "default",
    "delete_after": "default",
    "trash_for": "default",
    "pinned_too": "unknown",
}


@pytest.fixture
def clerk(client: Client, db: None) -> Client:
    """Somebody of the staff who may set policies."""
    user = User.objects.create_user("clerk", is_staff=True)
    wanted = ("view_retentionpolicy", "change_retentionpolicy")
    user.user_permissions.set(Permission.objects.filter(codename__in=wanted))
    client.force_login(user)
    return client


def change(policy: RetentionPolicy) -> str:
    return reverse("admin:chathistory_retentionpolicy_change", args=[policy.pk])


def site() -> RetentionPolicy:
    return RetentionPolicy.objects.get(workflow="", account=None)


def test_the_sites_policy_is_shown_in_words_and_changed_through_the_journal(clerk: Client) -> None:
    shown = clerk.get(change(site())).content.decode()
    assert 'value="1h"' in shown
    assert 'value="30d"' in shown
    body = FIELDS | {"idle_after": "90m", "archive_after": "never", "pinned_too": "true"}
    assert clerk.post(change(site()), body).status_code == 302
    policy = site()
    assert (policy.idle_after, policy.archive_after, policy.pinned_too) == (5_400, 0, True)
    entry = Change.objects.get(op="policy.set")
    assert (entry.row, entry.actor) == (
        policy.uuid,
        accounts.of(User.objects.get(username="clerk")),
    )
    assert clerk.get(LIST).status_code == 200


def test_policies_of_a_workflow_and_an_account_are_added(clerk: Client, alice: User) -> None:
    account = accounts.of(alice)
    assert clerk.get(ADD).status_code == 200
    assert clerk.post(ADD, FIELDS | {"workflow": "tutor", "idle_after": "2h"}).status_code == 302
    added = clerk.post(ADD, FIELDS | {"account": account.pk, "trash_for": "7d"})
    assert added.status_code == 302
    assert RetentionPolicy.objects.get(workflow="tutor").idle_after == 7_200
    policy = RetentionPolicy.objects.get(account=account)
    assert policy.trash_for == 7 * 86_400
    assert clerk.post(change(policy), FIELDS | {"trash_for": "8d"}).status_code == 302
    policy.refresh_from_db()
    assert (policy.trash_for, policy.account) == (8 * 86_400, account)


def test_a_policy_that_is_there_is_not_added_again(clerk: Client, alice: User) -> None:
    account = accounts.of(alice)
    mine = retention.set_policy(None, account=account, delete_after=0)
    tutor = retention.set_policy(None, workflow="tutor", idle_after=60)
    for scope, there in (
        ({"account": account.pk}, mine),
        ({"workflow": "tutor"}, tutor),
        ({}, site()),
    ):
        answer = clerk.post(ADD, FIELDS | scope | {"idle_after": "2h"})
        assert answer.status_code == 200
        assert f'already. <a href="{change(there)}">Change' in answer.content.decode()
        kept = RetentionPolicy.objects.get(pk=there.pk)
        assert (kept.idle_after, kept.delete_after) == (there.idle_after, there.delete_after)


def test_each_wrong_field_has_its_own_error_and_keeps_what_was_written(clerk: Client) -> None:
    wrong = {"idle_after": "soon", "trash_for": "99999999d", "archive_after": "a month"}
    answer = clerk.post(change(site()), FIELDS | wrong)
    errors = answer.context["adminform"].form.errors
    assert set(errors) == set(wrong)
    assert "at most" in errors["trash_for"][0]
    shown = answer.content.decode()
    assert all(f'value="{written}"' in shown for written in wrong.values())


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"idle_after": "soon"}, "A period such as"),
        ({"idle_after": ""}, "required"),
        ({"trash_for": "99999999d"}, "at most"),
        ({"workflow": "nonsense"}, "valid choice"),
        ({"account": "999999"}, "valid choice"),
    ],
)
def test_what_makes_no_sense_is_said_at_its_field(
    clerk: Client, body: dict[str, str], why: str
) -> None:
    answer = clerk.post(ADD, FIELDS | body)
    assert answer.status_code == 200
    assert why in answer.content.decode()
    assert not Change.objects.filter(op="policy.set").exists()


def test_a_workflow_of_an_account_is_refused(clerk: Client, alice: User) -> None:
    body = {"workflow": "tutor", "account": accounts.of(alice).pk}
    assert "of a workflow or of an account" in clerk.post(ADD, FIELDS | body).content.decode()


def test_what_throws_everything_away_is_asked_for_once_more(
    clerk: Client, talk: Any, time_machine: Any
) -> None:
    talk("one"), talk("two")
    later(time_machine, 2 * DAY)
    clerk.force_login(User.objects.get(username="clerk"))  # two days are long
    body = FIELDS | {"delete_after": "1d"}
    assert "all 2 sessions" in clerk.post(change(site()), body).content.decode()
    assert site().delete_after is None
    assert clerk.post(change(site()), body | {"yes": "on"}).status_code == 302
    assert (site().delete_after, site().confirmed) == (86_400, True)


def test_a_tags_policy_is_only_shown(clerk: Client, alice: User, talk: Any) -> None:
    sessions.tag(talk("mine"), alice, ["work"])
    policy = retention.set_policy(alice, tag=Tag.objects.get(), idle_after=60)
    assert clerk.get(change(policy)).status_code == 200
    assert clerk.post(change(policy), FIELDS).status_code == 403


def test_whoever_may_only_look_changes_nothing(clerk: Client) -> None:
    user = User.objects.get(username="clerk")
    user.user_permissions.remove(Permission.objects.get(codename="change_retentionpolicy"))
    assert clerk.get(change(site())).status_code == 200
    assert clerk.get(ADD).status_code == 403
    for url in (ADD, change(site())):
        assert clerk.post(url, FIELDS).status_code == 403
    delete = reverse("admin:chathistory_retentionpolicy_delete", args=[site().pk])
    assert clerk.post(delete, {"post": "yes"}).status_code == 403
