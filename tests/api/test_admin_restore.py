"""The admin goes back to a time: chosen, previewed, then done; by superusers alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chathistory.actions import accounts, backup, jobs, messages, sessions, working
from chathistory.models import Job, Message, Session
from tests.conftest import Talk

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def root(client: Client) -> Client:
    """A superuser, signed in."""
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def moment(alice: User, talk: Talk) -> datetime:
    """A moment that is backed up, and after which more was said."""
    accounts.system()  # as the first migrate makes it
    session = talk("first", title="Lions")
    backup.full()
    at = timezone.now()
    messages.append(session, alice, "user", "later")
    backup.incremental()
    return at


def choose(client: Client, at: datetime, **more: str) -> Any:
    # The widget takes microseconds where they are written.
    local = timezone.localtime(at)
    chosen = {"at_0": local.date().isoformat(), "at_1": local.time().isoformat(), **more}
    return client.post(reverse("admin:chathistory_backup_restore"), chosen)


def worked(answer: HttpResponse) -> tuple[str, Job]:
    """Work on the job that an answer leads to."""
    assert answer.status_code == 302, answer.content.decode()
    assert working.perform_next()
    return answer["Location"], Job.objects.filter(kind="restore").latest("pk")


def said() -> int:
    return Message.objects.filter(deleted_at=None).count()


def test_ones_chats_are_previewed_then_restored(root: Client, alice: User, moment: Any) -> None:
    page, job = worked(choose(root, moment, user="alice"))
    shown = root.get(page).content.decode()
    assert job.state == Job.State.DONE
    assert "Preview of a restore" in shown
    assert "Restore it" in shown
    assert said() == 2
    page, job = worked(root.post(page))
    assert job.state == Job.State.DONE
    shown = root.get(page).content.decode()
    assert "Restored." in shown
    assert "Restore it" not in shown
    assert said() == 1


def test_one_session_alone(root: Client, alice: User, talk: Talk, moment: Any) -> None:
    session = Session.objects.get()
    talk("another")
    page, _ = worked(choose(root, moment, user="alice", session=str(session.uuid)))
    worked(root.post(page))
    assert said() == 2
    assert Session.objects.filter(deleted_at=None).count() == 2


@pytest.mark.skipif(connection.vendor != "sqlite", reason="there it goes into another database")
def test_the_whole_site_and_the_job_survives_it(root: Client, alice: User, moment: Any) -> None:
    page, job = worked(choose(root, moment))
    assert job.state == Job.State.DONE
    shown = root.get(page).content.decode()
    assert "taken away from everybody" in shown
    page, job = worked(root.post(page))
    assert job.state == Job.State.DONE
    assert said() == 1
    assert "Restored." in root.get(page).content.decode()
    sessions.rename(Session.objects.get(), alice, "It can be written in")


def test_a_page_shows_that_it_waits(root: Client, moment: Any) -> None:
    answer = choose(root, moment, user="alice")
    shown = root.get(answer["Location"]).content.decode()
    assert 'http-equiv="refresh"' in shown
    assert "Restore it" not in shown


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"user": "nobody"}, "There is no such user."),
        ({"session": "x", "user": "alice"}, "Enter a valid UUID."),
        ({"session": str(uuid4())}, "Whose session is it?"),
        ({"at_0": "tomorrow"}, "Enter a valid date."),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    root: Client, alice: User, moment: Any, wrong: dict[str, str], told: str
) -> None:
    answer = choose(root, moment, **wrong)
    assert answer.status_code == 200
    assert told in answer.content.decode()
    assert not Job.objects.filter(kind="restore").exists()


def test_a_time_to_come_and_one_before_all_backups(root: Client, alice: User, moment: Any) -> None:
    answer = choose(root, timezone.now() + timedelta(days=1))
    assert "This time has not come yet." in answer.content.decode()
    page, job = worked(choose(root, moment - timedelta(days=400), user="alice"))
    assert job.state == Job.State.FAILED
    assert "No backup found for timestamp" in root.get(page).content.decode()


def test_a_preview_is_carried_out_once(root: Client, alice: User, moment: Any) -> None:
    page, _ = worked(choose(root, moment, user="alice"))
    pages = [root.post(page)["Location"] for _ in range(2)]
    assert pages[0] == pages[1] != page
    worked(root.post(page))
    messages.append(Session.objects.get(), alice, "user", "after the restore")
    assert root.post(page)["Location"] == pages[0]
    assert Job.objects.filter(kind="restore").count() == 2
    assert said() == 2


@pytest.mark.parametrize("state", ["queued", "running", "failed", "cancelled"])
def test_what_is_no_finished_preview_is_not_carried_out(
    root: Client, alice: User, moment: Any, state: str
) -> None:
    page = choose(root, moment, user="alice")["Location"]
    Job.objects.filter(kind="restore").update(state=state)
    answer = root.post(page, follow=True)
    assert answer.redirect_chain == [(page, 302)]
    assert "Only a preview that is done" in answer.content.decode()
    assert Job.objects.filter(kind="restore").count() == 1


def test_a_restore_is_no_preview(root: Client, alice: User, moment: Any) -> None:
    page, _ = worked(choose(root, moment, user="alice"))
    page, _ = worked(root.post(page))
    answer = root.post(page, follow=True)
    assert "Only a preview that is done" in answer.content.decode()
    assert Job.objects.filter(kind="restore").count() == 2


@pytest.mark.parametrize("lost", [{"is_superuser": False}, {"is_active": False}])
@pytest.mark.parametrize("whose", [{}, {"user": "alice"}])
def test_who_is_no_superuser_any_more_restores_nothing(
    root: Client, alice: User, moment: Any, lost: dict[str, bool], whose: dict[str, str]
) -> None:
    page, _ = worked(choose(root, moment, **whose))
    answer = root.post(page)
    User.objects.filter(username="root").update(**lost)
    _page, job = worked(answer)
    assert job.state == Job.State.FAILED
    assert jobs.outcome_of(job)["error"]["code"] == "not_allowed"
    assert said() == 2


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "UTC"])
def test_the_first_moment_of_all_times_is_refused_or_looked_for(
    root: Client, alice: User, moment: Any, zone: str
) -> None:
    with timezone.override(zone):
        answer = root.post(
            reverse("admin:chathistory_backup_restore"), {"at_0": "0001-01-01", "at_1": "00:00"}
        )
    is_one = zone == "UTC"
    assert answer.status_code == (302 if is_one else 200)
    assert is_one or "years 1 to 9999" in answer.content.decode()


def test_one_that_was_stopped_is_not_begun_again(root: Client, alice: User, moment: Any) -> None:
    page, _ = worked(choose(root, moment, user="alice"))
    root.post(page)
    past = timezone.now() - timedelta(hours=1)
    job = Job.objects.filter(kind="restore").latest("pk")
    Job.objects.filter(pk=job.pk).update(state="running", lease=past, started_at=past, attempts=1)
    assert working.perform_next()
    assert "stopped half-way" in root.get(reverse_of(job)).content.decode()
    assert said() == 2


def reverse_of(job: Job) -> str:
    return reverse("admin:chathistory_backup_restoring", args=[job.uuid])


def test_staff_may_not_and_what_is_no_restore_is_not_found(
    root: Client, client: Client, alice: User, moment: Any
) -> None:
    assert root.get(reverse_of(Job(uuid=uuid4()))).status_code == 404
    answer = choose(root, moment, user="alice")
    staff = User.objects.create_user("staff", is_staff=True)
    other = Client()
    other.force_login(staff)
    for path in (reverse("admin:chathistory_backup_restore"), answer["Location"]):
        assert other.get(path).status_code == 403
        assert other.post(path).status_code == 403
