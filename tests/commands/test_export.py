"""``chat_export``: files of every format, trees, zips, and what it refuses."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from threading import Thread

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from chathistory import keyring
from chathistory.actions import messages, sessions
from chathistory.formats.writers import WRITERS, typesetting
from chathistory.models import DataKey, Session

FORMS = [form for form in WRITERS if form != "pdf"]


@pytest.fixture
def chat(alice: User) -> Session:
    for said in ("A heron", "Bread"):
        session = sessions.create(alice, "tutor", title=f"Of {said}")
        messages.append(session, alice, "user", f"{said}?")
    return session


def run(path: Path | str, *more: str) -> None:
    call_command("chat_export", "--user", "alice", "-o", str(path), *more)


@pytest.mark.parametrize("form", FORMS)
def test_one_session_in_each_format(chat: Session, tmp_path: Path, form: str) -> None:
    path = tmp_path / "out"
    run(path, "--format", form, "--session", str(chat.uuid))
    assert b"Bread?" in path.read_bytes()
    assert b"heron" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("form", FORMS)
def test_everything_as_a_zip(chat: Session, tmp_path: Path, form: str) -> None:
    run(tmp_path / "all.zip", "--format", form)
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert len(archive.namelist()) == 3
        assert b"Of A heron" in archive.read("index.html")


def test_a_tree_of_files_and_of_a_zip(chat: Session, tmp_path: Path) -> None:
    run(tmp_path / "tree", "--layout", "tree")
    path = tmp_path / "tree" / "users" / "alice" / "tutor" / f"{chat.uuid}.json"
    assert json.loads(path.read_bytes())["sessions"][0]["title"] == "Of Bread"
    run(tmp_path / "tree.zip", "--layout", "tree", "--format", "markdown")
    with zipfile.ZipFile(tmp_path / "tree.zip") as archive:
        assert f"users/alice/tutor/{chat.uuid}.md" in archive.namelist()
        assert len(archive.namelist()) == 2


def test_standard_output(
    chat: Session, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr("sys.stdout", out)
    run("-", "--format", "jsonl")
    assert len(out.buffer.getvalue().splitlines()) == 2  # type: ignore[attr-defined]


def test_many_in_a_format_for_one_want_a_zip(chat: Session, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"NAME\.zip"):
        run(tmp_path / "all.md", "--format", "markdown")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_lists_the_known(chat: Session, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"json.*jsonl.*openai.*chatgpt"):
        run(tmp_path / "x", "--format", "docx")


def test_pdf_without_the_extra_names_it(
    chat: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typesetting, "find_spec", lambda name: None)
    with pytest.raises(CommandError, match=r"django-chathistory\[pdf\]"):
        run(tmp_path / "x.pdf", "--format", "pdf", "--session", str(chat.uuid))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(chat: Session, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"nowhere/x: No such file"):
        run(tmp_path / "nowhere" / "x")


@pytest.mark.parametrize("is_link", [True, False])
def test_what_was_put_beside_it_is_neither_followed_nor_written_into(
    chat: Session, tmp_path: Path, is_link: bool
) -> None:
    victim, planted = tmp_path / "victim", tmp_path / f".out.{os.getpid()}.part"
    victim.write_text("mine")
    if is_link:
        planted.symlink_to(victim)
    else:
        planted.hardlink_to(victim)
    victim.chmod(0o666)
    run(tmp_path / "out")
    out = tmp_path / "out"
    assert victim.read_text() == "mine"
    assert not out.is_symlink()
    assert out.stat().st_mode & 0o777 == 0o600
    assert b"Bread?" in out.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["out", "victim"]


def test_a_link_leads_to_the_file_and_stays(chat: Session, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "there")
    run(tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert b"Bread?" in (tmp_path / "there").read_bytes()


def test_a_pipe_is_written_into_and_stays_one(chat: Session, tmp_path: Path) -> None:
    pipe, found = tmp_path / "pipe", list[bytes]()
    os.mkfifo(pipe)
    reader = Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    run(pipe)
    reader.join()
    assert b"Bread?" in found[0]
    assert pipe.is_fifo()


def test_a_name_is_needed(chat: Session) -> None:
    with pytest.raises(CommandError, match="-o needs the name of a file"):
        run("")


def test_a_chat_whose_key_does_not_open_holds_up_no_other(chat: Session, tmp_path: Path) -> None:
    rows = DataKey.objects.filter(session=chat)
    rows.update(wrapped=bytes(rows.get().wrapped)[:-1] + b"\0")
    keyring.forget()
    for form in FORMS:
        run(tmp_path / "out.zip", "--format", form)
    run(tmp_path / "out.json")
    found = json.loads((tmp_path / "out.json").read_text())["sessions"]
    assert {one["damaged"]: one["title"] for one in found} == {False: "Of A heron", True: None}
    assert {one["messages"][0]["content"] for one in found} == {"A heron?", ""}
