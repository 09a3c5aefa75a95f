"""Zips and other uploads: the chats are found, a bomb is refused before it goes off."""

from __future__ import annotations

import contextlib
import io
import json
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Callable

import pytest

from chathistory.formats import FormatError, archive
from tests.formats.samples import conversation, forest, opened, sorted_out, zipped

FOREST = json.dumps([forest()]).encode()
ONE = json.dumps([conversation({"a": None})]).encode()


def conversation_file(name: str) -> bytes:
    return json.dumps([conversation({"a": None}) | {"id": name}]).encode()


def test_the_chats_of_a_zip_are_read_as_if_they_lay_bare() -> None:
    data = zipped(
        {"user.json": b"{}", "export/conversations.json": json.dumps([forest()]).encode()}
    )
    assert sorted_out(data) == sorted_out(FOREST)


def test_numbered_files_are_read_in_order_and_named() -> None:
    names = ["conversations-010.json", "conversations-002.json", "conversations-000.json"]
    files = {name: conversation_file(name) for name in names}
    chats, problems = sorted_out(zipped({**files, "export_manifest.json": b"{}"}))
    assert not problems
    assert [(one.id, one.where) for one in chats] == [
        (name, f"{name}: conversations[0]") for name in sorted(names)
    ]


def test_one_of_several_files_that_is_no_chats_is_a_problem() -> None:
    session = {"session_id": "s", "messages": []}
    files = {"sessions/1.json": b"\x89PNG", "sessions/2.json": json.dumps(session).encode()}
    chats, problems = sorted_out(zipped(files))
    assert [one.id for one in chats] == ["s"]
    assert [one.where for one in problems] == ["sessions/1.json"]


def test_an_empty_zip_and_one_without_chats_are_refused() -> None:
    inner = zipped({"conversations.json": ONE})
    for files in (
        {},
        {"a.txt": b"x"},
        {"inner.zip": inner},
        {"__MACOSX/._conversations.json": b"x"},
    ):
        with pytest.raises(FormatError, match="holds no chats"):
            sorted_out(zipped(files))


def test_a_zip_in_place_of_a_file_of_chats_is_not_opened() -> None:
    with pytest.raises(FormatError, match="not JSON"):
        sorted_out(zipped({"conversations.json": zipped({"conversations.json": ONE})}))


FOREIGN = {
    "PNG": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "PDF": b"%PDF-1.7",
    "SQLite": b"SQLite format 3\0",
    "gzip": b"\x1f\x8b\x08\0",
    "HTML": b"<!doctype html>",
    "not JSON": b"Once upon a time",
    "empty": b"",
    "list is empty": b"[]",
    "known format": b'[{"a": 1}]',
    "cut off": b'[{"title": "x", "mapping": {',
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_an_upload_that_is_not_what_it_says_is_refused_by_its_kind(kind: str) -> None:
    with pytest.raises(FormatError, match=kind):
        sorted_out(FOREIGN[kind])


def lying(data: bytes, offset: int, value: int, local: int) -> bytes:
    """Put another 4-byte number into both descriptions of the only entry."""
    made = bytearray(data)
    struct.pack_into("<L", made, data.index(b"PK\x01\x02") + offset, value)
    struct.pack_into("<L", made, local, value)
    return bytes(made)


def with_entry(change: Callable[[zipfile.ZipInfo], None]) -> bytes:
    info = zipfile.ZipInfo("conversations.json")
    change(info)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as target:
        target.writestr(info, ONE)
    return made.getvalue()


def named(name: str) -> bytes:
    return zipped({"conversations.json": ONE, name: b"x"})


def twice() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as target:
        target.writestr("conversations.json", ONE)
        with pytest.warns(UserWarning, match="Duplicate"):
            target.writestr("conversations.json", ONE)
    return made.getvalue()


def encrypted() -> bytes:
    made = bytearray(zipped({"conversations.json": ONE}))
    made[6] |= 1
    made[made.index(b"PK\x01\x02") + 8] |= 1
    return bytes(made)


def overlapping() -> bytes:
    """500 directory entries for the one stretch of packed zeros: 150 times each, many times all."""
    pattern = bytes(range(256)) * 8
    one = zipped({"conversations-0.json": b"[" + pattern * 2000})
    start, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    names = [f"conversations-{at}.json".encode() for at in range(10)]
    rows = [one[start:end].replace(b"conversations-0.json", name) for name in names]
    body = one[:start] + b"".join(rows)
    size = sum(map(len, rows))
    return body + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 10, 10, size, start, 0)


BOMB = zipped({"conversations.json": b"[" + b" " * 30_000_000})
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "ratio": (lambda: BOMB, "200 times"),
    "ratio beside": (
        lambda: zipped({"conversations.json": ONE, "x.png": b"\0" * 9_000_000}),
        "200 times",
    ),
    "packed size, lying": (lambda: lying(BOMB, 20, 9_000_000, 18), "200 times"),
    "size, lying": (lambda: lying(BOMB, 24, 900_000, 22), "checksum is wrong"),
    "both, lying": (lambda: lying(lying(BOMB, 24, 9, 22), 20, 9, 18), "damaged"),
    "count": (lambda: zipped({f"{at}": b"" for at in range(10_001)}), "10,000 entries"),
    "encrypted": (encrypted, "encrypted"),
    "method": (lambda: zipped({"conversations.json": ONE}, zipfile.ZIP_LZMA), "not supported"),
    "up": (lambda: named("../../x.json"), "points outside"),
    "absolute": (lambda: named("/etc/x.json"), "absolute"),
    "drive": (lambda: named("C:\\x.json"), "absolute"),
    "link": (
        lambda: with_entry(lambda info: setattr(info, "external_attr", stat.S_IFLNK << 16)),
        "is a link",
    ),
    "twice": (twice, "two files of one name"),
    "no directory": (lambda: zipped({"conversations.json": ONE * 99})[:-30], "cut off"),
    "damaged directory": (
        lambda: zipped({"conversations.json": ONE}).replace(b"PK\x01\x02", b"PK\x01\x07"),
        "damaged",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_hostile_archive_is_refused_in_little_memory(kind: str) -> None:
    make, reason = REFUSED[kind]
    data = make()
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=reason):
            sorted_out(data)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_overlapping_entries_end_at_the_ratio_of_the_whole() -> None:
    with pytest.raises(FormatError):
        sorted_out(overlapping())


def test_the_total_is_counted_over_all_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_TOTAL", 100_000)
    files = {f"conversations-{at}.json": conversation_file("x" * 30_000) for at in range(5)}
    with pytest.raises(FormatError, match="GiB"):
        sorted_out(zipped(files, zipfile.ZIP_STORED))


def test_a_directory_too_long_is_refused_before_it_is_parsed() -> None:
    data = bytearray(zipped({"conversations.json": ONE}))
    struct.pack_into("<L", data, data.rindex(b"PK\x05\x06") + 12, 50_000_000)
    with pytest.raises(FormatError, match="10,000 entries"):
        sorted_out(bytes(data))


def test_what_is_whole_in_a_damaged_entry_comes_in_and_the_damage_is_named() -> None:
    many = json.dumps([conversation({"a": None}) | {"id": f"c{at}"} for at in range(50)]).encode()
    honest = zipped({"conversations.json": many}, zipfile.ZIP_STORED)
    changed = honest.replace(b"text of a", b"text of b")
    for data, least, most in ((lying(honest, 24, 4000, 22), 5, 40), (changed, 50, 50)):
        chats, problems = sorted_out(data)
        assert least <= len(chats) <= most
        assert problems[-1].reason == "the archive is damaged: its checksum is wrong"


def test_a_zip_cut_or_changed_anywhere_is_refused_or_read_but_never_crashes() -> None:
    data = zipped({"conversations.json": ONE, "conversations-1.json": ONE})
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 0xFF
        for version in (data[:at], bytes(changed)):
            with contextlib.suppress(FormatError):
                sorted_out(version)


def test_zip64_is_read() -> None:
    made = io.BytesIO()
    with (
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target,
        target.open("conversations.json", "w", force_zip64=True) as entry,
    ):
        entry.write(ONE)
    assert len(sorted_out(made.getvalue())[0]) == 1


def test_a_file_is_read_from_its_beginning() -> None:
    file = opened(ONE)
    file.seek(5)
    assert len(sorted_out(file)[0]) == 1
