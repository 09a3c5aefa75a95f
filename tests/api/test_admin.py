"""The admin shows every row and changes none; words show only to whom may read them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from chathistory import ids, records
from chathistory.actions import accounts, backup, messages, sessions, tokens
from chathistory.models import (
    Account,
    Backup,
    Change,
    DataKey,
    Job,
    Lease,
    Message,
    RetentionPolicy,
    Revision,
    Seeded,
    Session,
    Share,
    Tag,
    Token,
)

MODELS = (Account, Session, Message, Revision, Change, DataKey, Tag, Share, Job, Token)
CONTENT = (Session, Message, Revision, Change, Tag, Job)
CANARY = "canarybird"


@pytest.fixture
def rows(alice: User, bob: User, talk: Any, invite: Any) -> dict[type[Model], Any]:
    """One row of each kind, every sealed column of them with the canary in it."""
    session = talk(f"{CANARY} body", title=f"{CANARY} title", metadata={"note": CANARY})
    message = session.messages.get()
    messages.edit(message, alice, f"{CANARY} again")
    session = sessions.tag(session, alice, [f"{CANARY} tag"])
    sessions.rename(session, alice, f"{CANARY} title two")
    invite(session, bob)
    tokens.create(alice)
    job = Job(account=accounts.of(alice), kind="import")
    records.seal_job(job, "arguments", {"file": CANARY})
    records.seal_job(job, "result", {"told": CANARY})
    job.save()
    newest: Any = {model: model._default_manager.latest("pk") for model in MODELS}
    newest[Change] = (
        Change.objects.filter(before__isnull=False).exclude(table="message").latest("pk")
    )
    return {**newest, Session: Session.objects.get()}


@pytest.fixture
def looker(client: Client) -> Client:
    """Somebody of the staff who may view every row, signed in."""
    user = User.objects.create_user("looker", is_staff=True)
    wanted = Permission.objects.filter(content_type__app_label="chathistory")
    user.user_permissions.set(wanted.filter(codename__startswith="view_"))
    client.force_login(user)
    return client


@pytest.fixture
def reader(looker: Client) -> Client:
    """The same, who may also read what people wrote."""
    permission = Permission.objects.get(codename="read_content")
    User.objects.get(username="looker").user_permissions.add(permission)
    return looker


def list_url(model: type[Model]) -> str:
    return reverse(f"admin:chathistory_{model._meta.model_name}_changelist")


def url(row: Model, page: str = "change") -> str:
    return reverse(f"admin:chathistory_{row._meta.model_name}_{page}", args=[row.pk])


def test_every_model_is_registered() -> None:
    registered = {model for model in admin.site._registry if model._meta.label.startswith("chath")}
    assert registered == {
        *MODELS,
        Backup,
        Lease,
        RetentionPolicy,
        Seeded,
    }  # whose form has tests of its own


@pytest.mark.parametrize("model", MODELS)
def test_it_shows_lists_and_rows_without_words_or_secrets(
    model: type[Model], rows: dict[type[Model], Any], looker: Client
) -> None:
    for page in (list_url(model), url(rows[model])):
        answer = looker.get(page)
        assert answer.status_code == 200
        shown = answer.content.decode()
        assert CANARY not in shown
        for token in Token.objects.all():
            assert token.digest not in shown
        for tag in Tag.objects.all():
            assert tag.digest not in shown
        for label in ("wrapped", "digest", "Body:", "b&#x27;"):
            assert label not in shown


@pytest.mark.parametrize("model", CONTENT)
def test_it_opens_words_for_whom_may_read_them(
    model: type[Model], rows: dict[type[Model], Any], reader: Client
) -> None:
    assert CANARY in reader.get(url(rows[model])).content.decode()
    assert CANARY not in reader.get(list_url(model)).content.decode()


@pytest.mark.parametrize("model", MODELS)
def test_it_changes_nothing_even_for_a_superuser(
    model: type[Model], rows: dict[type[Model], Any], client: Client
) -> None:
    client.force_login(User.objects.create_superuser("root"))
    add = reverse(f"admin:chathistory_{model._meta.model_name}_add")
    row = rows[model]
    assert client.get(add).status_code == 403
    assert client.post(url(row), {"uuid": "x"}).status_code == 403
    assert client.post(url(row, "delete"), {"post": "yes"}).status_code == 403
    gone = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    client.post(list_url(model), gone)
    assert model._default_manager.filter(pk=row.pk).exists()


def test_it_is_closed_to_others(rows: dict[type[Model], Any], client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get(list_url(Message)).status_code == 302
    alice.is_staff = True
    alice.save()
    assert client.get(list_url(Message)).status_code == 403


@pytest.mark.parametrize(
    ("model", "column"),
    [
        (Session, "title"),
        (Session, "metadata"),
        (Message, "body"),
        (Revision, "body"),
        (Change, "before"),
        (Tag, "name"),
        (Job, "result"),
    ],
)
@pytest.mark.parametrize("broken", [b"", b"\1", b"\1\0\0\0\0\1" + bytes(60)])
def test_it_says_so_where_a_record_is_damaged(
    model: type[Model], column: str, broken: bytes, rows: dict[type[Model], Any], reader: Client
) -> None:
    model._default_manager.filter(pk=rows[model].pk).update(**{column: broken})
    answer = reader.get(url(rows[model]))
    assert answer.status_code == 200
    assert "[damaged]" in answer.content.decode()


def test_a_change_of_a_session_that_is_gone_says_so(
    rows: dict[type[Model], Any], reader: Client
) -> None:
    rows[Session].delete()
    assert "[damaged]" in reader.get(url(rows[Change])).content.decode()


@pytest.mark.parametrize("model", [Session, Message, Change])
def test_a_list_of_many_takes_as_many_queries_as_one_of_few(
    model: type[Model], rows: dict[type[Model], Any], looker: Client, talk: Any
) -> None:
    looker.get(list_url(model))
    with CaptureQueriesContext(
        connection,
    ) as few:
        looker.get(list_url(model))
    for _ in range(3):
        talk("one", "two", "three")
    with CaptureQueriesContext(connection) as many:
        looker.get(list_url(model))
    assert len(many) == len(few)
    assert sum("COUNT(" in query["sql"] for query in many.captured_queries) == 1
    for query in many.captured_queries:
        assert '."body"' not in query["sql"]
        assert '."title"' not in query["sql"]


@pytest.mark.parametrize("term", ["not a uuid", "' OR 1=1", "0" * 31])
def test_a_search_for_anything_but_a_uuid_finds_nothing(
    term: str, rows: dict[type[Model], Any], looker: Client
) -> None:
    answer = looker.get(list_url(Message), {"q": term})
    assert answer.status_code == 200
    assert str(rows[Message].uuid) not in answer.content.decode()


def test_a_search_finds_a_row_by_its_uuid(rows: dict[type[Model], Any], looker: Client) -> None:
    uuid = str(rows[Message].uuid)
    assert uuid in looker.get(list_url(Message), {"q": uuid}).content.decode()


def test_jobs_show_how_far_they_are(alice: User, looker: Client) -> None:
    account = accounts.of(alice)
    Job.objects.create(account=account, kind="export", progress=3, total=4)
    Job.objects.create(account=account, kind="compress", progress=1234)
    page = looker.get(list_url(Job)).content.decode()
    assert '<progress value="3" max="4"></progress> 75 %' in page
    assert "1,234" in page


def test_leases_say_who_holds_them(db: None, looker: Client) -> None:
    lease = Lease.objects.create(name="beat", holder=ids.new_id(), until=timezone.now())
    assert str(lease.holder) in looker.get(list_url(Lease)).content.decode()


@pytest.mark.django_db(transaction=True)
def test_backups_are_listed_verified_and_made_by_who_may(looker: Client) -> None:
    made = backup.full()
    assert str(made.chain) in looker.get(list_url(Backup)).content.decode()
    now = reverse("admin:chathistory_backup_now")
    assert looker.post(now).status_code == 403
    assert not Job.objects.filter(kind="backup.full").exists()
    permission = Permission.objects.get(codename="add_backup")
    User.objects.get(username="looker").user_permissions.add(permission)
    assert now in looker.get(list_url(Backup)).content.decode()
    assert looker.get(now).status_code == 405
    looker.post(now)
    assert Job.objects.filter(kind="backup.full", state="queued").count() == 1
    Backup.objects.filter(pk=made.pk).update(verified_at=None)
    looker.post(list_url(Backup), {"_selected_action": [made.pk], "action": "verify"})
    assert Backup.objects.get(pk=made.pk).verified_at is not None
