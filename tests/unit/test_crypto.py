"""Records open where they belong, and nowhere else."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chathistory import crypto
from chathistory.crypto import Context, Key
from chathistory.exceptions import Damaged

KEY = Key(7, crypto.new_key())
PLACE = Context("message", "body", uuid4(), uuid4(), "user", 3)


@given(st.binary(max_size=2_000) | st.text().map(str.encode))
def test_what_is_sealed_opens_to_the_same(text):
    record = crypto.seal(KEY, text, PLACE)
    assert crypto.unseal(KEY, record, PLACE) == text
    assert crypto.key_version(record) == 7
    assert len(text) < 8 or text not in record


def test_the_same_text_never_gives_the_same_record():
    assert len({crypto.seal(KEY, b"x", PLACE) for _ in range(100)}) == 100


def test_long_texts_are_packed_and_noise_is_not():
    assert len(crypto.seal(KEY, b"again and " * 200, PLACE)) < 200
    noise = crypto.new_key() * 1 + b"".join(crypto.new_key() for _ in range(20))
    assert len(crypto.seal(KEY, noise, PLACE)) == len(noise) + 18 + 16


@pytest.mark.parametrize(
    "other",
    [
        *(PLACE._replace(table="revision"), PLACE._replace(column="title")),
        *(PLACE._replace(row=uuid4()), PLACE._replace(session=uuid4())),
        *(PLACE._replace(session=None), PLACE._replace(role="assistant")),
        *(PLACE._replace(revision=2), PLACE._replace(revision=2**40)),
        PLACE._replace(row=PLACE.session, session=PLACE.row),
    ],
    ids=lambda other: "-".join(
        k for k in Context._fields if getattr(other, k) != getattr(PLACE, k)
    ),
)
def test_no_part_of_a_place_can_be_another(other):
    record = crypto.seal(KEY, b"x", PLACE)
    with pytest.raises(Damaged):
        crypto.unseal(KEY, record, other)


def test_names_of_a_place_cannot_be_shifted_into_each_other():
    one, two = PLACE._replace(table="ab", column="c"), PLACE._replace(table="a", column="bc")
    assert one.bound_to(b"") != two.bound_to(b"")


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_byte_of_a_record_can_be_another(at, change):
    record = crypto.seal(KEY, b"some text that is sealed", PLACE)
    at %= len(record)
    bad = record[:at] + bytes([record[at] ^ change]) + record[at + 1 :]
    with pytest.raises(Damaged):
        crypto.unseal(KEY, bad, PLACE)


@given(st.binary(max_size=80))
def test_any_bytes_at_all_are_damage(data):
    with pytest.raises(Damaged):
        crypto.unseal(KEY, data, PLACE)


def test_a_key_shows_nothing_of_itself():
    assert KEY.raw.hex() not in repr(KEY).replace("\\x", "")
    assert repr(KEY) == "Key(version=7)"


def test_keys_for_two_purposes_and_two_masters_differ():
    derived = {crypto.derive(k, p) for k in (b"a" * 32, b"b" * 32) for p in ("sign", "encrypt")}
    assert len(derived) == 4
    assert {len(one) for one in derived} == {32}
