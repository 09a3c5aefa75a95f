"""Ten kinds of hostile archives, five of each: refused; and ten that only look large: read."""

from __future__ import annotations

import io
import zipfile

import pytest

from chathistory.formats import FormatError
from tests.formats.hostile import BENIGN, HOSTILE, Make
from tests.formats.samples import sorted_out

CASES = [(kind, at, make) for kind, five in HOSTILE.items() for at, make in enumerate(five)]


def test_there_are_ten_kinds_with_five_each() -> None:
    assert [len(five) for five in HOSTILE.values()] == [5] * 10


@pytest.mark.parametrize(
    ("kind", "make"),
    [(kind, make) for kind, _at, make in CASES],
    ids=[f"{kind}-{at}" for kind, at, _make in CASES],
)
def test_a_hostile_archive_is_refused_with_a_reason(kind: str, make: Make) -> None:
    with pytest.raises(FormatError) as caught:
        sorted_out(make())
    assert 20 < len(str(caught.value)) < 500


@pytest.mark.parametrize(("make", "count"), BENIGN.values(), ids=list(BENIGN))
def test_what_only_looks_large_comes_in(make: Make, count: int) -> None:
    chats, problems = sorted_out(make())
    assert not problems
    assert len(chats) == count


def test_one_of_them_is_nearly_what_is_refused() -> None:
    data = BENIGN["nearly 200 times"][0]()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (info,) = archive.infolist()
    assert 120 < info.file_size / info.compress_size < 200
