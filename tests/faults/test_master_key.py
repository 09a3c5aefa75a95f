"""Without the right master key nothing opens and nothing is written, and the error names its id."""

from __future__ import annotations

import os
import stat
from base64 import b64encode
from pathlib import Path

import pytest

from chathistory import keyring, master, records
from chathistory.actions import accounts, jobs, messages, sessions, tokens
from chathistory.exceptions import MasterKeyError
from chathistory.models import Account, Change, DataKey, Job, Message, Session, Token

MODELS = (Account, Change, DataKey, Job, Message, Session, Token)
RIGHT = ("first", b"k" * 32)


def counts() -> list[int]:
    return [model.objects.count() for model in MODELS]


@pytest.fixture
def session(settings, alice, talk) -> Session:
    """Alice's, sealed under a key from the settings."""
    settings.CHATHISTORY_MASTER_KEYS = [RIGHT]
    made = talk("hello", title="T")
    keyring.forget()
    return made


@pytest.mark.parametrize(
    "keys",
    [
        [("first", b"w" * 32)],
        [("second", b"k" * 32)],
        [("second", b"x" * 32), ("third", b"k" * 32)],
    ],
)
def test_a_wrong_or_missing_key_is_named_and_nothing_is_written(
    settings, alice, bob, session, keys
):
    settings.CHATHISTORY_MASTER_KEYS = keys
    account, before = session.account, counts()
    for verb in (
        keyring.verify_master,
        lambda: accounts.of(bob),
        lambda: sessions.create(alice, "tutor", title="x"),
        lambda: sessions.rename(session, alice, "x"),
        lambda: messages.append(session, alice, "user", "x"),
        lambda: messages.edit(session.messages.get(), alice, "x"),
        lambda: jobs.run(account, "import", {}, dict),
        lambda: records.title_of(session),
    ):
        keyring.forget()
        with pytest.raises(MasterKeyError, match="'first'") as refused:
            verb()
        assert all(str(key) not in str(refused.value) for _, key in [*keys, RIGHT])
    assert counts() == before


def test_a_newer_key_in_front_seals_what_is_new_and_the_old_still_opens(settings, bob, session):
    settings.CHATHISTORY_MASTER_KEYS = [("second", b"n" * 32), RIGHT]
    accounts.of(bob)
    assert records.title_of(session) == "T"
    names = {master.key_id(k.master_wrapped) for k in DataKey.objects.filter(purpose="account")}
    assert names == {"first", "second"}


def test_a_lost_key_file_is_named_and_not_made_again(settings, tmp_path, alice, bob):
    settings.CHATHISTORY_HOME = tmp_path / "one"
    sessions.create(alice, "tutor")
    name = next(iter(master.keys()))
    settings.CHATHISTORY_HOME = tmp_path / "two"
    before = counts()
    for user in (alice, bob):
        keyring.forget()
        with pytest.raises(MasterKeyError, match=name):
            keyring.verify_master()
        with pytest.raises(MasterKeyError):
            sessions.create(user, "tutor", title="x")
    assert counts() == before
    assert not master.key_file().exists()


@pytest.mark.django_db
def test_the_first_run_makes_a_key_that_only_its_owner_can_read(settings, tmp_path):
    settings.CHATHISTORY_HOME = tmp_path / "home"
    keyring.verify_master()
    path = master.key_file()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [len(key) for key in master.keys().values()] == [32]
    made = path.read_bytes()
    keyring.verify_master()
    assert path.read_bytes() == made
    assert os.listdir(path.parent) == [path.name]


def test_processes_that_start_at_once_agree_on_one_key(settings, tmp_path, together):
    for run in range(20):
        settings.CHATHISTORY_HOME = tmp_path / str(run)

        def start() -> dict[str, bytes]:
            master.create_file()
            return master.keys()

        found = together(*[start] * 6)
        assert all(one == found[0] for one in found)


@pytest.mark.parametrize(
    "content",
    [
        *("", "\n\n", "only-a-name", "name !!!notbase64", "name " + b64encode(b"short").decode()),
        *(
            "name " + "x" * 44 + " more",
            "name\0 " + b64encode(b"k" * 32).decode(),
            "é " + b64encode(b"k" * 32).decode(),
        ),
    ],
)
def test_a_malformed_key_file_is_an_error_that_tells_no_key(settings, tmp_path, content):
    settings.CHATHISTORY_HOME = tmp_path
    path: Path = master.key_file()
    path.parent.mkdir()
    path.write_text(content, "utf-8")
    with pytest.raises(MasterKeyError) as refused:
        master.keys()
    secret = content.split()[-1] if content.split() else "nothing"
    assert secret not in str(refused.value)


@pytest.mark.parametrize(
    "keys", [[("", b"k" * 32)], [("é", b"k" * 32)], [("a", b"k")], [("a", "k" * 32)]]
)
def test_a_malformed_setting_is_an_error(settings, keys):
    settings.CHATHISTORY_MASTER_KEYS = keys
    with pytest.raises(MasterKeyError):
        master.keys()


def test_a_token_is_found_without_any_key(settings, alice, session):
    secret = tokens.create(alice)
    settings.CHATHISTORY_MASTER_KEYS = [("other", b"o" * 32)]
    keyring.forget()
    assert tokens.find(secret).account.user == alice
