"""Fifty hostile archives, five of each of ten kinds, and ten that only look large."""

from __future__ import annotations

import io
import json
import random
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterable

from tests.formats.samples import conversation, zipped

Make = Callable[[], bytes]
ONE = json.dumps([conversation({"a": None, "b": "a"})]).encode()
NAME = "conversations.json"
_CENTRAL, _END, _LOCAL = b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04"
_MANY = 10_500
PATTERN = bytes(range(256)) * 8  # packs to about a hundredth


def one(name: str, number: int = 0) -> bytes:
    """Return a file of one chat."""
    return json.dumps([conversation({"a": None}) | {"id": f"{name}-{number}"}]).encode()


def packed(entries: Iterable[tuple[zipfile.ZipInfo | str, bytes]]) -> bytes:
    """Return a zip of entries whose names may be whatever they are, and the same."""
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target:
        warnings.simplefilter("ignore")
        for name, data in entries:
            target.writestr(name, data)
    return made.getvalue()


def patched(data: bytes, mark: bytes, offset: int, value: bytes, *, last: bool = False) -> bytes:
    """Put other bytes behind the first or the last of a mark."""
    made = bytearray(data)
    at = (data.rindex(mark) if last else data.index(mark)) + offset
    made[at : at + len(value)] = value
    return bytes(made)


def pointing(count: int, name: Callable[[int], str], body: bytes) -> bytes:
    """Return a zip whose entries all name the same stretch of packed bytes."""
    whole = packed([(name(0), body)])
    start, end = whole.index(_CENTRAL), whole.index(_END)
    row = whole[start:end]
    rows = [row.replace(name(0).encode(), name(at).encode()) for at in range(count)]
    size = sum(map(len, rows))
    head = struct.pack("<4s4H2LH", _END, 0, 0, count, count, size, start, 0)
    return whole[:start] + b"".join(rows) + head


def numbered(at: int) -> str:
    """Return one of many names of the same length."""
    return f"conversations-{at:03}.json"


# Ratio


def _zeros(size: int = 30_000_000) -> bytes:
    return zipped({NAME: b"[" + b" " * size})


def _lies(field: int, local: int, value: int) -> bytes:
    data = patched(_zeros(), _CENTRAL, field, struct.pack("<L", value))
    return patched(data, _LOCAL, local, struct.pack("<L", value))


RATIO: tuple[Make, ...] = (
    _zeros,
    lambda: zipped({NAME: ONE, "pictures/x.png": b"\0" * 30_000_000}),
    lambda: _lies(20, 18, 29_000_000),  # says that it is as large when packed
    lambda: _lies(24, 22, 1_000),  # says that it is small when unpacked
    lambda: zipped({"sessions/a.json": b'{"session_id": "' + b"a" * 30_000_000}),
)

# Count


def _many(name: Callable[[int], str]) -> bytes:
    return packed((name(at), b"") for at in range(_MANY))


COUNT: tuple[Make, ...] = (
    lambda: _many(lambda at: f"{at}"),
    lambda: _many(lambda at: f"sessions/{at}.json"),
    lambda: patched(_many(lambda at: f"{at}"), _END, 8, struct.pack("<HH", 1, 1), last=True),
    lambda: patched(zipped({NAME: ONE}), _END, 12, struct.pack("<L", 60_000_000), last=True),
    lambda: patched(zipped({NAME: ONE}), _END, 8, struct.pack("<HH", 65_535, 65_535), last=True),
)

# Depth


def _nested(levels: int, name: str = NAME) -> bytes:
    data = zipped({NAME: ONE})
    for _ in range(levels):
        data = zipped({name: data})
    return data


DEPTH: tuple[Make, ...] = (
    lambda: _nested(1),
    lambda: _nested(1, "conversations.zip"),
    lambda: _nested(50),
    lambda: _nested(200, "inner.zip"),
    lambda: zipped({f"{at}.zip": _zeros(1_000_000) for at in range(16)}),
)

# Total: no entry is more than its share, all of them are


def _vast(count: int, size: int) -> bytes:
    """Say of each entry that it is large, though the bytes of all are the same few."""
    body = PATTERN * (size // len(PATTERN))
    return pointing(count, numbered, body)


def _says(size: int, *names: str) -> bytes:
    """Say of a few megabytes each that they are so large."""
    noise = random.Random(5).randbytes(9_000_000)
    data = zipped(dict.fromkeys(names, noise), zipfile.ZIP_STORED)
    for _ in names:
        data = patched(data, _CENTRAL, 24, struct.pack("<L", size))
        data = patched(data, _CENTRAL, 0, b"pk\1\2")
    return data.replace(b"pk\1\2", _CENTRAL)


TOTAL: tuple[Make, ...] = (
    lambda: _vast(500, 1 << 20),
    lambda: _vast(900, 200_000),
    lambda: pointing(400, lambda at: f"sessions/{at:03}.json", PATTERN * 1_000),
    lambda: _says(0xFFFFFFF0, NAME),
    lambda: _says(1_700_000_000, numbered(1), numbered(2)),
)

# Names


def _named(name: str) -> bytes:
    return packed([(NAME, ONE), (name, b"x")])


def _raw_name(name: bytes) -> bytes:
    """Return a zip with a name that no library would write."""
    stand_in = b"n" * len(name)
    return packed([(NAME, ONE), (stand_in.decode(), b"x")]).replace(stand_in, name)


TRAVERSAL: tuple[Make, ...] = (
    lambda: _named("../../outside.json"),
    lambda: _named("a/b/../../../outside.json"),
    lambda: _raw_name(b"..\\..\\outside.json"),
    lambda: _named(f"../{NAME}"),
    lambda: _raw_name(b"fine/.."),
)
ABSOLUTE: tuple[Make, ...] = (
    lambda: _named("/etc/cron.d/x"),
    lambda: _raw_name(b"C:\\Windows\\x.json"),
    lambda: _raw_name(b"\\\\host\\share\\x.json"),
    lambda: _named("//host/x.json"),
    lambda: _named("d:x.json"),
)

# What is no plain file


def _special(kind: int, name: str = NAME, body: bytes = b"/etc/passwd") -> bytes:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return packed([(info, body), ("sessions/a.json", ONE)])


LINKS: tuple[Make, ...] = (
    lambda: _special(stat.S_IFLNK),
    lambda: _special(stat.S_IFLNK, "pictures", b"/"),
    lambda: _special(stat.S_IFIFO),
    lambda: _special(stat.S_IFCHR),
    lambda: _special(stat.S_IFSOCK),
)
DUPLICATE: tuple[Make, ...] = (
    lambda: packed([(NAME, ONE), (NAME, one("other"))]),
    lambda: packed([("sessions/a.json", ONE), ("sessions/a.json", ONE)]),
    lambda: packed([(NAME, ONE), ("user.json", b"{}"), ("user.json", b"[]")]),
    lambda: packed([(NAME, ONE)]) and _raw_twice(),
    lambda: pointing(2, lambda _at: NAME, ONE),
)


def _raw_twice() -> bytes:
    """Two names that are one up to a NUL."""
    made = packed([(NAME, ONE), ("conversations.jsonxx", ONE)])
    return made.replace(b"conversations.jsonxx", b"conversations.json\0x")


# Encryption


def _flagged(bits: int, *, local: bool = True) -> bytes:
    data = patched(zipped({NAME: ONE}), _CENTRAL, 8, struct.pack("<H", bits))
    return patched(data, _LOCAL, 6, struct.pack("<H", bits)) if local else data


def _method(number: int) -> bytes:
    data = patched(zipped({NAME: ONE}), _CENTRAL, 10, struct.pack("<H", number))
    return patched(data, _LOCAL, 8, struct.pack("<H", number))


ENCRYPTED: tuple[Make, ...] = (
    lambda: _flagged(1),
    lambda: _flagged(1, local=False),
    lambda: _flagged(0x41),
    lambda: _flagged(0x2041),
    lambda: _method(99),
)

# Directory


def _cut(part: float) -> bytes:
    data = zipped({NAME: ONE * 50, "user.json": b"{}"})
    return data[: int(len(data) * part)]


DIRECTORY: tuple[Make, ...] = (
    lambda: _cut(0.5),
    lambda: _cut(0.97),
    lambda: zipped({NAME: ONE}).replace(_CENTRAL, b"PK\x01\x07"),
    lambda: patched(zipped({NAME: ONE}), _END, 16, struct.pack("<L", 0x7FFFFFFF), last=True),
    lambda: patched(zipped({NAME: ONE}), _LOCAL, 30, b"convers"[::-1]),
)

HOSTILE: dict[str, tuple[Make, ...]] = {
    "ratio": RATIO,
    "count": COUNT,
    "depth": DEPTH,
    "total": TOTAL,
    "traversal": TRAVERSAL,
    "absolute": ABSOLUTE,
    "links": LINKS,
    "duplicate": DUPLICATE,
    "encrypted": ENCRYPTED,
    "directory": DIRECTORY,
}


def _commented() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as target:
        target.writestr(NAME, ONE)
        target.comment = b"PK\x01\x02" * 9 + b"c" * 60_000
    return made.getvalue()


def _large(size: int) -> bytes:
    """One chat of twenty messages, that packs to about a hundredth."""
    piece = "".join(random.Random(3).choices("0123456789abcdef ", k=1_500))
    made = conversation({f"n{at}": f"n{at - 1}" if at else None for at in range(20)})
    for node in made["mapping"].values():
        node["message"]["content"]["parts"] = [piece * (size // 20 // len(piece))]
    return json.dumps([made]).encode()


#: What comes in, and how many chats of it.
BENIGN: dict[str, tuple[Make, int]] = {
    "9,999 entries": (
        lambda: packed([(NAME, ONE), *((f"pictures/{at}", b"") for at in range(9_998))]),
        1,
    ),
    "500 files of chats": (
        lambda: packed((numbered(at), one("many", at)) for at in range(500)),
        500,
    ),
    "nearly 200 times": (lambda: packed([(NAME, _near(180))]), 1),
    "30 MB of one chat": (lambda: packed([(NAME, _large(30_000_000))]), 1),
    "as it is": (lambda: zipped({NAME: ONE}, zipfile.ZIP_STORED), 1),
    "a long comment": (_commented, 1),
    "deep folders": (lambda: packed([("a/" * 60 + NAME, ONE)]), 1),
    "names of dots and spaces": (
        lambda: packed([(NAME, ONE), ("a..b/. ./...x", b""), ("é 量子/🚀.png", b"")]),
        1,
    ),
    "folders and plain modes": (lambda: _special(stat.S_IFREG, NAME, ONE), 1),
    "a zip beside the chats": (lambda: packed([(NAME, ONE), ("files.zip", _nested(1))]), 1),
}


def _near(ratio: int) -> bytes:
    """Return one chat that packs to this many times less, about."""
    dice = random.Random(9)
    noise = "".join(dice.choice("0123456789abcdef") for _ in range(60_000))
    spaces = " " * (ratio * 34_000)
    return json.dumps([conversation({"a": None}) | {"x": noise}]).encode() + spaces.encode()
