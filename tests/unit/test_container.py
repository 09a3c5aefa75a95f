"""Containers: what goes in comes out, and nothing else ever does."""

from __future__ import annotations

import hashlib
import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chathistory.backups import container
from chathistory.exceptions import Damaged

KEY, OTHER = b"k" * 32, b"o" * 32
HEADER = {"kind": "test", "number": 3}


def made(*plain: bytes, key: bytes = KEY, header: dict[str, object] = HEADER) -> bytes:
    file = io.BytesIO()
    name = container.write(file, key, header, plain)
    assert name == hashlib.sha256(file.getvalue()).hexdigest()
    return file.getvalue()


def opened(packed: bytes, key: bytes = KEY) -> bytes:
    return b"".join(container.read(io.BytesIO(packed), key))


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_what_goes_in_comes_out(pieces):
    packed = made(*pieces)
    assert opened(packed) == b"".join(pieces)
    assert container.reader(io.BytesIO(packed), KEY).read() == b"".join(pieces)
    assert container.header_of(io.BytesIO(packed)) == HEADER


@pytest.mark.parametrize("size", [container.FRAME - 1, container.FRAME, 2 * container.FRAME + 1])
def test_sizes_about_a_frame(size):
    plain = os.urandom(size)
    assert opened(made(plain)) == plain
    assert container.reader(io.BytesIO(made(plain[:7], plain[7:])), KEY).read() == plain


def test_it_is_read_anywhere():
    plain = os.urandom(2 * container.FRAME + 5)
    file = container.seekable(io.BytesIO(made(plain)), KEY)
    size = len(plain)
    for at in (0, 5, size - 3, container.FRAME - 2, container.FRAME, 2 * container.FRAME, size):
        assert file.seek(at) == at
        assert file.read(10) == plain[at : at + 10]
    assert file.seek(-4, io.SEEK_END) == size - 4
    assert file.read() == plain[-4:]
    assert container.seekable(io.BytesIO(made()), KEY).read() == b""
    exact = os.urandom(container.FRAME)
    assert container.seekable(io.BytesIO(made(exact)), KEY).read() == exact


def test_a_cut_end_is_seen_before_anything_is_read():
    packed = made(os.urandom(container.FRAME + 5))
    for end in (len(packed) - 1, len(packed) - 30, 60, 20):
        with pytest.raises(Damaged):
            container.seekable(io.BytesIO(packed[:end]), KEY)
    with pytest.raises(Damaged):
        container.seekable(io.BytesIO(packed + b"x"), KEY)


def test_every_byte_counts():
    packed = made(b"some words that matter")
    for at in range(len(packed)):
        for bit in (1, 128):
            changed = bytearray(packed)
            changed[at] ^= bit
            with pytest.raises(Damaged):
                opened(bytes(changed))


def test_every_cut_and_every_addition_is_seen():
    packed = made(b"some words that matter")
    for end in range(len(packed)):
        with pytest.raises(Damaged):
            opened(packed[:end])
    with pytest.raises(Damaged):
        opened(packed + b"x")


def test_frames_are_not_swapped_left_out_repeated_or_from_elsewhere(monkeypatch):
    monkeypatch.setattr(container, "FRAME", 4)
    packed, other = made(b"aaaabbbbcccc"), made(b"ddddeeeeffff", header={"kind": "else"})
    start, size = len(made(b"")) - 20, 24
    lead, frames = packed[:start], [packed[start + n * size :][:size] for n in range(3)]
    strange = other[-size:]
    a, b, c = frames
    assert opened(lead + a + b + c) == b"aaaabbbbcccc"
    for wrong in ([b, a, c], [a, c], [a, b], [a, a, b, c], [a, b, b, c], [a, b, strange]):
        with pytest.raises(Damaged):
            opened(lead + b"".join(wrong))


def test_another_key_opens_nothing():
    with pytest.raises(Damaged):
        opened(made(b"words"), OTHER)


@given(st.binary(max_size=200))
def test_anything_else_is_refused(junk):
    with pytest.raises(Damaged):
        opened(junk)
    with pytest.raises(Damaged):
        opened(container.MAGIC + junk)
