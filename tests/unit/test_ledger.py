"""The erasure ledger: on the disk first, whole lines only, whoever else writes or dies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from chathistory import ledger
from chathistory.exceptions import Damaged, Unavailable
from chathistory.ledger import Entry


@pytest.fixture(autouse=True)
def home(settings, tmp_path):
    """A folder that nobody has written to."""
    settings.CHATHISTORY_HOME = tmp_path / "home"


def test_it_reads_what_was_noted_in_order():
    account, session, said = uuid4(), uuid4(), [uuid4(), uuid4()]
    ledger.note(account, override="court order 12 “Ä”")
    ledger.note(account, session)
    ledger.note(account, session, said)
    first, second, third = ledger.read()
    assert first == Entry(first.at, account, None, (), "court order 12 “Ä”")
    assert second == Entry(second.at, account, session)
    assert third == Entry(third.at, account, session, tuple(said))
    assert first.at <= second.at <= third.at
    assert first.at.utcoffset() is not None


def test_nothing_was_noted_yet():
    assert ledger.read() == []


def test_only_its_owner_reads_it():
    ledger.note(uuid4())
    assert ledger.path().stat().st_mode & 0o777 == 0o600
    assert ledger.path().parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kept", [1, 20, 80])
def test_a_torn_end_is_left_out_and_cut_off_by_the_next_writer(kept):
    first, second, third = uuid4(), uuid4(), uuid4()
    ledger.note(first)
    whole = ledger.path().read_bytes()
    ledger.note(second)
    ledger.path().write_bytes(ledger.path().read_bytes()[: len(whole) + kept])
    assert [entry.account for entry in ledger.read()] == [first]
    ledger.note(third)
    assert [entry.account for entry in ledger.read()] == [first, third]


@pytest.mark.parametrize("line", ["", "{}", "nonsense", '{"at": 1, "account": 2}', "[1]", "\xff"])
def test_a_line_that_was_changed_is_damage_and_named(line):
    ledger.note(uuid4())
    with ledger.path().open("a", encoding="latin-1") as file:
        file.write(line + "\n")
    ledger.note(uuid4())
    with pytest.raises(Damaged, match="Line 2"):
        ledger.read()


def test_where_it_cannot_be_written_nothing_goes_on(tmp_path, settings):
    (tmp_path / "file").write_text("no folder")
    settings.CHATHISTORY_HOME = tmp_path / "file"
    with pytest.raises(Unavailable):
        ledger.note(uuid4())
    with pytest.raises(Unavailable):
        ledger.read()


def test_processes_at_the_same_time_lose_nothing():
    code = (
        "import sys; from uuid import UUID; from django.conf import settings;"
        "settings.configure(CHATHISTORY_HOME=sys.argv[1], USE_TZ=True);"
        "from chathistory import ledger;"
        "[ledger.note(UUID(int=int(sys.argv[2]) * 1000 + n)) for n in range(50)]"
    )
    home = str(ledger.path().parent.parent)
    root = Path(__file__).parents[2]
    started = [
        subprocess.Popen([sys.executable, "-c", code, home, str(n)], cwd=root) for n in range(1, 5)
    ]
    assert [one.wait(60) for one in started] == [0] * 4
    noted = {entry.account for entry in ledger.read()}
    assert noted == {UUID(int=n * 1000 + m) for n in range(1, 5) for m in range(50)}
