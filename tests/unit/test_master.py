"""Wrapping an account's key under a master key."""

from __future__ import annotations

import pytest

from chathistory import master
from chathistory.exceptions import MasterKeyError

PAYLOAD = {"account": "a", "purpose": "account", "version": 1, "key": "c2VjcmV0"}


@pytest.fixture(autouse=True)
def keys(settings):
    settings.CHATHISTORY_MASTER_KEYS = [("new", b"n" * 32), ("old", b"o" * 32)]
    return settings


def test_what_is_wrapped_under_the_newest_key_comes_back():
    wrapped = master.wrap(PAYLOAD)
    assert master.key_id(wrapped) == "new"
    assert master.unwrap(wrapped) == PAYLOAD
    assert b"secret" not in wrapped
    assert b"c2VjcmV0" not in wrapped


def test_an_older_key_still_opens(keys):
    wrapped = master.wrap(PAYLOAD)
    keys.CHATHISTORY_MASTER_KEYS = [("newer", b"r" * 32), *keys.CHATHISTORY_MASTER_KEYS]
    assert master.unwrap(wrapped) == PAYLOAD
    assert master.key_id(master.wrap(PAYLOAD)) == "newer"


@pytest.mark.parametrize("at", [4, 5, 13, 20, 40, 60, -33, -32, -1])
def test_a_changed_byte_is_refused(at):
    wrapped = bytearray(master.wrap(PAYLOAD))
    wrapped[at] ^= 1
    with pytest.raises(MasterKeyError, match="'new'"):
        master.unwrap(bytes(wrapped))


@pytest.mark.parametrize("kept", [0, 1, 3, 4, 5, 12, 13, 28, 29, 60])
def test_a_cut_record_is_refused(kept):
    with pytest.raises(MasterKeyError):
        master.unwrap(master.wrap(PAYLOAD)[:kept])


def test_the_key_named_is_the_key_used():
    wrapped = master.wrap(PAYLOAD)
    with pytest.raises(MasterKeyError, match="'old'"):
        master.unwrap(b"old" + wrapped[3:])


def test_a_setting_stands_above_the_file(settings, tmp_path):
    settings.CHATHISTORY_HOME = tmp_path
    master.create_file()
    assert not master.key_file().exists()
    assert list(master.keys()) == ["new", "old"]


def test_the_secret_key_of_the_host_plays_no_part(settings):
    wrapped = master.wrap(PAYLOAD)
    settings.SECRET_KEY = "another"
    master._fernet.cache_clear()
    assert master.unwrap(wrapped) == PAYLOAD
