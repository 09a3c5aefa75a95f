"""The spool: what goes in comes out, from any place, and nothing else does."""

from __future__ import annotations

import io
import random

import pytest

from chathistory import ids, spool
from chathistory.exceptions import Damaged, NotFound
from chathistory.spool import CHUNK


def put(content, piece=50_000):
    with spool.Writer(ids.new_id()) as writer:
        for at in range(0, len(content), piece):
            writer.write(content[at : at + piece])
        writer.finish()
    assert writer.size == len(content)
    return writer


def path_of(writer):
    return spool.folder() / f"{writer.uuid}.spool"


@pytest.fixture(autouse=True)
def empty():
    yield
    for path in spool.folder().iterdir():
        path.unlink()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7])
def test_what_goes_in_comes_out(size):
    content = random.Random(size).randbytes(size)
    written = put(content)
    with spool.open_file(written.uuid, written.raw_key) as file:
        assert file.read() == content
        assert file.seek(0, io.SEEK_END) == size
        assert file.read(1) == b""


def test_it_is_read_from_any_place_as_a_plain_file_is():
    content = random.Random(1).randbytes(3 * CHUNK + 100)
    written, plain, dice = put(content), io.BytesIO(content), random.Random(2)
    with spool.open_file(written.uuid, written.raw_key) as file:
        for _ in range(200):
            place, length = dice.randrange(len(content) + 50), dice.randrange(2 * CHUNK)
            assert file.seek(place) == plain.seek(place)
            assert file.read(length) == plain.read(length)
            assert file.tell() == plain.tell()
        with pytest.raises(ValueError, match="before"):
            file.seek(-1 - len(content), io.SEEK_END)


def changed(content, how):
    record = CHUNK + 34
    if how == "cut in the last":
        return content[:-1]
    if how == "cut between":
        return content[: 2 * record]
    if how == "longer":
        return content + b"x"
    if how == "swapped":
        return content[record : 2 * record] + content[:record] + content[2 * record :]
    if how == "empty":
        return b""
    place = {"first": 50, "middle": record + 50, "last": 2 * record + 50}[how]
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    "how",
    ["cut in the last", "cut between", "longer", "swapped", "empty", "first", "middle", "last"],
)
def test_what_was_changed_does_not_open(how):
    written = put(bytes(2 * CHUNK + 100))
    path = path_of(written)
    path.write_bytes(changed(path.read_bytes(), how))
    with (
        pytest.raises(Damaged),
        spool.open_file(written.uuid, written.raw_key) as file,
    ):
        file.read()


def test_another_key_and_another_name_do_not_open():
    written, other = put(b"said"), put(b"said too")
    with pytest.raises(Damaged):
        spool.open_file(written.uuid, other.raw_key)
    path_of(written).replace(path_of(other))
    with pytest.raises(Damaged):
        spool.open_file(other.uuid, written.raw_key)
    with pytest.raises(NotFound):
        spool.open_file(written.uuid, written.raw_key)


def test_only_the_owner_may_read_and_nothing_is_in_the_clear():
    written = put(b"zebra" * 100_000)
    assert path_of(written).stat().st_mode & 0o777 == 0o600
    assert spool.folder().stat().st_mode & 0o777 == 0o700
    assert b"zebra" not in path_of(written).read_bytes()


def test_what_is_not_finished_is_not_there():
    with spool.Writer(ids.new_id()) as writer:
        writer.write(bytes(3 * CHUNK))
        assert len(list(spool.folder().iterdir())) == 1
        with pytest.raises(NotFound):
            spool.open_file(writer.uuid, writer.raw_key)
    assert list(spool.folder().iterdir()) == []
    spool.delete(writer.uuid)
