"""The commands' bar: drawn on a terminal, gone at the end, and nowhere else to be seen."""

from __future__ import annotations

import io
import json

from chathistory.management.commands import _progress
from chathistory.management.commands._progress import Bar, Reading


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_it_is_drawn_and_wiped_away(monkeypatch):
    monkeypatch.setattr(_progress, "_PACE", 0)
    terminal = Terminal()
    with Bar(terminal) as bar:
        bar(1, 4)
        bar(4, 4)
        bar(9, 4)
        bar(1234)
    shown = terminal.getvalue().split("\r\x1b[K")
    assert shown == [
        "",
        f"[{'#' * 7}{'.' * 23}]  25 %",
        f"[{'#' * 30}] 100 %",
        f"[{'#' * 30}] 100 %",
        "1,234",
        "",
    ]


def test_a_file_or_a_pipe_gets_nothing():
    pipe = io.StringIO()
    with Bar(pipe) as bar:
        bar(1, 4)
    assert pipe.getvalue() == ""


def test_it_follows_a_file_that_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(_progress, "_PACE", 0)
    path, terminal = tmp_path / "x.json", Terminal()
    path.write_text(json.dumps(["x" * 90]))
    with Bar(terminal) as bar, Reading(path, bar) as file:
        assert file.read(47) + file.read() == path.read_bytes()
    assert [line[-5:] for line in terminal.getvalue().split("\r\x1b[K")[1:-1]] == [" 50 %", "100 %"]
