"""Every verb has its file of tests, and in it the five cases."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import chathistory.actions

HERE = Path(__file__).parent
CASES = ("happy", "stranger", "malformed", "repeated", "concurrent")

#: The file that tests a verb, where it is not named after module and verb.
ELSEWHERE = {
    "exchange.import_file": "test_import.py",
    "exchange.import_transcripts": "test_import.py",
    "exporting.export_sessions": "test_export.py",
    **{f"exporting.{kind}": "test_exporting.py" for kind in ("one", "many", "tree", "found")},
    "databases.import_database": "test_import_database.py",
    "lifecycle.run": "test_lifecycle_sweep.py",
    **{f"keeping.{kind}": "test_keeping.py" for kind in ("archive", "full", "incremental")},
    **{f"keeping.{kind}": "test_keeping.py" for kind in ("verify", "drill", "bring_back")},
    **{f"indexing.{kind}": "test_indexing.py" for kind in ("queue", "reindex", "run", "tend")},
    **{f"doctor.{kind}": "test_doctoring.py" for kind in ("run", "visit")},
}
#: Not verbs: they write nothing, or only within another verb. A new name here needs a reason.
HELPERS = {
    "backup.reach": "a look-up through the gate",
    "backup.visible_to": "narrows a look-up",
    "archives.folder": "a place",
    "archives.discard": "part of erase.erase; see test_erase_archives.py",
    "archives.of": "a look-up",
    "doctor.look": "the middle of run and visit",
    "erase.pending": "a look-up, part of the hourly run; see test_erase_ask.py",
    "exchange.check_format": "reads an argument; see test_import_formats.py",
    "exchange.judged": "tells what reading raises; see test_import.py",
    "exchange.read": "reads a file; see test_import.py",
    "jobs.outcome_of": "opens a record",
    "jobs.reach": "a look-up through the gate",
    "packing.unpack_block": "part of edit and purge; see test_packing_living.py",
    "planning.sessions_of": "a look-up",
    "lifecycle.move": "part of archive, resume, delete, restore and sweep",
    "lifecycle.preview": "a look-up: what a run would do; see test_lifecycle_sweep.py",
    "retention.again": "a look-up, part of undo",
    "retention.due": "a look-up, part of sweep; see test_retention_set_policy.py",
    "retention.effective": "a look-up; see test_retention_set_policy.py",
    "retention.effective_all": "a look-up; see test_retention_set_policy.py",
    "retention.period": "writes an argument as it is read",
    "retention.refuse": "part of sweep; see test_lifecycle_sweep.py",
    "retention.refusals": "a look-up, part of sweep",
    "retention.seconds": "reads an argument",
    "retention.seed": "what a new site has; see test_retention_set_policy.py",
    "retention.trash_for": "a look-up, part of delete",
    "purge.scrub": "part of purge.sweep and erase.erase; see test_purge_sweep.py",
    "sessions.as_uuid": "reads an argument",
    "sessions.branch": "a look-up in a session at hand",
    "sessions.clean_metadata": "reads an argument",
    "sessions.clean_tags": "reads an argument",
    "sessions.tag_row": "part of tag, retag, change and import",
    "tokens.digest": "a hash",
    "tokens.find": "a look-up by the secret itself",
    "transfers.everything": "a look-up, part of the export job; see api/test_export.py",
    "transfers.file_of": "a look-up through the gate; see test_jobs_file.py",
    "vocabularies.clean": "part of purge.sweep and erase.erase; see search/test_vocabularies.py",
    "vocabularies.of_sessions": "a look-up, part of erase.erase",
    "working.finish": "the end of perform and run",
    "working.free": "a condition of perform and sweep",
    "working.hold": "the beginning of run",
    "working.is_inline": "part of cancel",
    "working.inline": "the middle of run",
}


def modules() -> list[str]:
    names = {path.stem for path in Path(chathistory.actions.__path__[0]).glob("*.py")}
    return sorted(names - {"__init__", "pipeline", "placing", "recovering", "removing", "unsaying"})


def public() -> dict[str, str]:
    """Return every public function of the actions and the module it stands in."""
    found = {}
    for name in modules():
        module = importlib.import_module(f"chathistory.actions.{name}")
        for member, value in vars(module).items():
            own = inspect.isfunction(value) and value.__module__ == module.__name__
            if own and not member.startswith("_"):
                found[f"{name}.{member}"] = name
    return found


def file_of(verb: str) -> Path:
    return HERE / ELSEWHERE.get(verb, f"test_{verb.replace('.', '_')}.py")


VERBS = sorted(set(public()) - set(HELPERS))


@pytest.mark.parametrize("verb", VERBS)
def test_it_has_its_five_cases(verb: str) -> None:
    path = file_of(verb)
    assert path.exists(), f"{verb} has no {path.name}"
    tree = ast.parse(path.read_text("utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    missing = [case for case in CASES if not any(n.startswith(f"test_{case}") for n in names)]
    assert not missing, f"{path.name} lacks: {', '.join(missing)}"


@pytest.mark.parametrize("verb", VERBS)
def test_its_file_calls_it(verb: str) -> None:
    module, name = verb.split(".")
    source = file_of(verb).read_text("utf-8")
    assert f"{module}.{name}" in source


def test_the_lists_here_name_nothing_that_is_gone() -> None:
    assert set(ELSEWHERE) | set(HELPERS) <= set(public())
