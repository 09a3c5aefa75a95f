"""The backup storage: a folder, and a real S3-speaking server on loopback."""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import threading
from collections.abc import Iterator
from uuid import UUID, uuid4

import boto3
import pytest
from django.db import connection
from django.utils import timezone
from moto.server import ThreadedMotoServer

from chathistory.actions import backup, messages
from chathistory.backups import contents, plans, rebuild, store
from chathistory.backups.store import Place
from chathistory.exceptions import Damaged, Unavailable
from chathistory.models import Backup
from project import environ

pytestmark = pytest.mark.usefixtures("home")

BUCKET = "backups"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 server; yields its address."""
    served = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    served.start()
    host, port = served.get_host_and_port()
    yield f"http://{host}:{port}"
    served.stop()


@pytest.fixture
def s3(server, settings, monkeypatch):
    """A bucket of its own, which is the backup storage."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
    client = boto3.client("s3", endpoint_url=server, region_name="us-east-1")
    bucket = f"{BUCKET}-{uuid4().hex[:8]}"
    client.create_bucket(Bucket=bucket)
    use(settings, f"s3://{bucket}/site?endpoint_url={server}&region_name=us-east-1")
    return client, bucket


def use(settings, url: str) -> None:
    settings.STORAGES = {**settings.STORAGES, store.ALIAS: environ.backup_storage(url)}


@pytest.fixture(params=["folder", "s3"])
def either(request):
    """Each kind of storage in turn."""
    if request.param == "s3":
        request.getfixturevalue("s3")
    return request.param


def kept(content: bytes, number: int = 0, chain: UUID | None = None) -> Place:
    at = Place(chain or uuid4(), number, hashlib.sha256(content).hexdigest())
    with store.draft("test") as file:
        file.write(content)
        store.publish(file, at)
    return at


def test_what_is_kept_is_listed_and_comes_back(either):
    chain = uuid4()
    second, first = kept(b"two", 1, chain), kept(b"one", 0, chain)
    other = kept(b"x" * 3_000_000)
    assert store.places(chain) == [first, second]
    assert set(store.places()) == {first, second, other}
    with store.opened(other) as file:
        assert file.read() == b"x" * 3_000_000
    assert store.exists(first)
    store.remove(first)
    store.remove(first)
    assert not store.exists(first)
    assert store.places(chain) == [second]


def test_an_empty_storage_holds_nothing(either):
    assert store.places() == []
    assert not store.exists(Place(uuid4(), 0, "0" * 64))


def test_one_that_is_missing_is_named(either):
    at = Place(uuid4(), 3, "0" * 64)
    with pytest.raises(Damaged, match=str(at)), store.opened(at):
        pass


def test_a_draft_that_is_not_published_is_in_no_list_and_leaves_nothing(either, home):
    with store.draft("test") as file:
        file.write(b"half")
        assert store.places() == []
    assert [one for one in home.rglob("*") if one.is_file()] == []


def test_other_names_are_no_containers(home):
    at = kept(b"one")
    folder = home / "backups"
    for name in ("x.chat", f"{at.chain}/1-{at.digest}.chat", f"{at.chain}/{'0' * 8}-abc.chat"):
        (folder / name).write_bytes(b"?")
    (folder / "not-a-chain").mkdir()
    (folder / "not-a-chain" / f"{'0' * 8}-{at.digest}.chat").write_bytes(b"?")
    assert store.places() == [at]
    for name in ("../../etc/passwd", f"../{at}", f"{at}\n", str(at).upper(), "", f"/{at}"):
        assert store.place(name) is None
    assert store.place(str(at)) == at


def test_a_folder_is_its_owners_alone(home):
    at = kept(b"one")
    path = home / "backups" / str(at)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


def test_an_emptied_chains_folder_goes(home):
    at = kept(b"one")
    other = kept(b"two", 1, at.chain)
    store.remove(at)
    assert (home / "backups" / str(at.chain)).exists()
    store.remove(other)
    assert not (home / "backups" / str(at.chain)).exists()


def test_tidy_removes_one_kind_of_drafts(home):
    with store.draft("one"), store.draft("other"):
        store.tidy("one")
        assert [path.name.split("-")[0] for path in (home / "backups" / ".drafts").iterdir()] == [
            "other"
        ]


def test_s3_has_it_under_the_prefix(s3):
    client, bucket = s3
    at = kept(b"one")
    found = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert [one["Key"] for one in found] == [f"site/{at}"]


def test_s3_that_loses_or_changes_an_object_is_told(s3):
    client, bucket = s3
    at = kept(b"one")
    client.put_object(Bucket=bucket, Key=f"site/{at}", Body=b"two")
    with store.opened(at) as file:
        assert file.read() == b"two"  # whoever reads a container proves it
    client.delete_object(Bucket=bucket, Key=f"site/{at}")
    with pytest.raises(Damaged, match="missing"), store.opened(at):
        pass


def test_s3_that_refuses_is_told(s3, settings):
    client, bucket = s3
    client.delete_bucket(Bucket=bucket)
    with pytest.raises(Unavailable, match="written"):
        kept(b"one")
    with pytest.raises(Unavailable, match="read"):
        store.places()


def test_s3_that_is_not_there_is_told(s3, settings):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    use(settings, f"s3://b/p?endpoint_url=http://127.0.0.1:{port}&region_name=us-east-1")
    for call in (
        store.places,
        lambda: kept(b"one"),
        lambda: store.remove(Place(uuid4(), 0, "0" * 64)),
    ):
        with pytest.raises(Unavailable):
            call()


def test_s3_that_stalls_is_left_after_a_while(s3, settings):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        use(settings, f"s3://b/p?endpoint_url={url}&region_name=us-east-1&read_timeout=0.2")
        with pytest.raises(Unavailable, match="timeout"):
            store.exists(Place(uuid4(), 0, "0" * 64))
    assert threading.active_count() < 20


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///prefix", "http://bucket/", "bucket", "s3://bucket/?colour=red"]
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ValueError, match="CHATHISTORY_BACKUP_STORAGE"):
        environ.backup_storage(url)


@pytest.mark.django_db(transaction=True)
def test_a_chain_lives_in_s3(s3, alice, talk, home):
    client, bucket = s3
    session = talk("a heron", "a bird")
    made = [backup.full()]
    for number in range(2):
        messages.append(session, alice, "user", f"number {number}")
        made.append(backup.incremental())
    assert [row.number for row in made] == [0, 1, 2]
    assert not (home / "backups").exists()
    assert list((home / "tmp" / ".drafts").iterdir()) == []
    for row in made:
        backup.verify(row)
    Backup.objects.all().delete()
    assert [row.name for row in backup.relist()] == [row.name for row in made]
    client.delete_object(Bucket=bucket, Key=f"site/{store.places()[1]}")
    with pytest.raises(Damaged, match=made[1].name):
        backup.verify(Backup.objects.get(name=made[1].name))
    client.delete_object(Bucket=bucket, Key=f"site/{store.places()[-1]}")
    messages.append(session, alice, "user", "after the loss")
    assert backup.incremental().kind == "full"


@pytest.mark.django_db(transaction=True)
def test_of_s3_only_what_is_wanted_is_fetched(s3, alice, bob, talk, monkeypatch):
    monkeypatch.setattr(store, "_PIECE", 1 << 16)
    for _ in range(12):
        talk(os.urandom(450_000).hex(), user=bob)
    session = talk("a heron", "a bird")
    made = backup.full()
    fetched = []
    client_of = store.storage().connection.meta.client
    client_of.meta.events.register(
        "before-call.s3.GetObject", lambda params, **_more: fetched.append(params["headers"])
    )
    contents.header(store.places()[0])
    assert [one["Range"] for one in fetched] == [f"bytes=0-{store._PIECE - 1}"]
    fetched.clear()
    uuid = session.account.uuid
    with rebuild.built(plans.plan(timezone.now(), uuid, session.uuid), search=False) as built:
        assert built.problems == []
        assert built.counts["message"] == 2
    if connection.vendor == "sqlite":
        ranges = {_range(one["Range"]) for one in fetched}
        middle = range(made.size // 2 - 50_000, made.size // 2 + 50_000, 1_000)
        assert not any(first <= at <= last for first, last in ranges for at in middle)


def _range(said: str) -> tuple[int, int]:
    first, last = said.removeprefix("bytes=").split("-")
    return int(first), int(last)


@pytest.mark.django_db(transaction=True)
def test_a_backup_that_s3_refuses_is_invisible_and_the_next_has_all(s3, alice, talk, settings):
    client, bucket = s3
    session = talk("a heron", "a bird")
    backup.full()
    usual = settings.STORAGES
    messages.append(session, alice, "user", "and a stork?")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        use(settings, f"s3://b/p?endpoint_url={url}&region_name=us-east-1&read_timeout=0.2")
        for verb in (backup.incremental, backup.full):
            with pytest.raises(Unavailable):
                verb()
    settings.STORAGES = usual
    assert Backup.objects.count() == 1
    assert len(client.list_objects_v2(Bucket=bucket)["Contents"]) == 1
    assert backup.incremental().counts["message"] == 1
