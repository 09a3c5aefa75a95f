"""What the tests of backups share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from chathistory.backups import contents, images, keysets, snapshot, store
from chathistory.backups.images import TABLES, Line
from chathistory.backups.store import Place
from chathistory.models import Backup

#: Rows by table and uuid.
State = dict[tuple[str, str], Line]


def place(backup: Backup) -> Place:
    return Place(backup.chain, backup.number, backup.name)


def lines(backup: Backup) -> list[Line]:
    """Return the lines of a backup, opened with what the key sets hold."""
    with contents.opened(place(backup), keysets.load().containers[backup.name]) as found:
        return list(found.lines())


def opened(backup: Backup) -> contents.Opened:
    """Return a backup's header and manifest, the rest read to its end."""
    with store.opened(place(backup)) as file:
        return contents.prove(file, keysets.load().containers[backup.name], place(backup))


def path(home: Path, backup: Backup) -> Path:
    return home / "backups" / str(place(backup))


def files(home: Path) -> set[str]:
    """Return every file of the backup folder, whatever it is."""
    root = home / "backups"
    return {str(one.relative_to(root)) for one in root.rglob("*") if one.is_file()}


def state() -> State:
    """Return the rows as they are; what was shipped is no matter."""
    with snapshot.consistent():
        found = [
            one for model in TABLES.values() for one in images.images(model._base_manager.all())
        ]
    return folded({}, found)


def folded(before: State, said: Iterable[Line]) -> State:
    """Return a state after the lines of a segment."""
    after = dict(before)
    for line in said:
        if line["t"] == "gone":
            _remove(after, line["table"], line["row"])
        elif line["t"] != "change":
            kept = {name: value for name, value in line.items() if name != "shipped"}
            after[line["t"], line["uuid"]] = kept
    return after


def _remove(rows: State, table: str, uuid: str) -> None:
    rows.pop((table, uuid), None)
    hanging = [
        name for name, row in rows.items() if row.get(table) == uuid and name[0] != "account"
    ]
    for name in hanging:
        _remove(rows, *name)


def flipped(file: Path, at: int) -> bytes:
    """Change one bit of a file; return what it was."""
    whole = file.read_bytes()
    file.chmod(0o600)
    at %= len(whole)
    file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    return whole


def site(**more: Any) -> list[tuple[str, int]]:
    """Return the kinds and numbers of the site's backups, in the order they were listed."""
    rows = Backup.objects.filter(account=None, **more).order_by("pk")
    return list(rows.values_list("kind", "number"))
