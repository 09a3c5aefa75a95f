"""Coverage-guided fuzzing of the readers: `python -m tests.faults.fuzz READER EXECUTIONS`.

READER is the name of a format, or `any`: whatever the content tells, archives too. It begins with
the small files of `tests/formats/kinds.py` and the real ones beside the project, where there are
any, and ends with a line of figures; what fails is shown, with the input that did it kept in the
folder named. Each execution must end within a second of work, and all within 512 MB, in chats, in
problems or in a refusal. Needs `atheris`, which is for Linux.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.mutants import mutant

SECONDS = 1.0
MEGABYTES = 512
_LONGEST = 1 << 15  # bytes of an input that is made: what is long is slow, not new
_REAL = {
    "chatgpt": ("librechat/chatgpt-*.json", "polylogue/schemas/chatgpt/representatives/s*.json"),
    "claude": ("polylogue/schemas/claude-ai/representatives/s*.json",),
    "openwebui": ("openwebui/*.json",),
    "librechat": ("librechat/librechat-*.json",),
    "chatbotui": ("librechat/chatbotui-*.json",),
}


class Slow(AssertionError):
    """It took longer than it may."""


@dataclass
class Tally:
    """What came of the executions."""

    executions: int = 0
    chats: int = 0
    problems: int = 0
    refusals: int = 0
    slowest: float = 0.0

    def __str__(self) -> str:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        return (
            f"{self.executions:,} executions: {self.chats:,} chats, {self.problems:,} problems, "
            f"{self.refusals:,} refusals; slowest {self.slowest * 1000:.0f} ms, {memory} MB"
        )


def seeds(reader: str) -> list[bytes]:
    """Return the files that fuzzing a reader begins with."""
    from tests.formats import kinds
    from tests.formats.samples import FIXTURES, zipped

    if reader == "any":
        files = [file for every in kinds.FILES.values() for file in every]
        archive = zipped({"conversations-000.json": files[2], "export_manifest.json": b"[]"})
        return [*files, archive, zipped({"a.jsonl": files[1], "b.json": files[0]})]
    found = [path for glob in _REAL.get(reader, ()) for path in sorted(FIXTURES.glob(glob))]
    return [*kinds.FILES[reader], *(path.read_bytes() for path in found)]


def run(reader: str, data: bytes, tally: Tally) -> None:
    """Read `data` once and hold what comes of it to what every reader promises."""
    from chathistory.formats import FormatError, Transcript, read

    name = None if reader == "any" else reader
    began = time.process_time()
    try:
        for result in read(io.BytesIO(data), format_name=name):
            if isinstance(result, Transcript):
                tally.chats += 1
                _check(result)
            else:
                tally.problems += 1
                assert result.reason
                assert result.where
    except FormatError:
        tally.refusals += 1
    took = time.process_time() - began
    tally.executions += 1
    tally.slowest = max(tally.slowest, took)
    if took > SECONDS:
        raise Slow(f"{took:.1f} s for {len(data):,} bytes")


def _check(chat: Any) -> None:
    """A sound tree, parents first, of known roles, that our JSON can hold."""
    from chathistory.formats import native
    from chathistory.formats.base import ROLES

    seen: set[str | None] = {None}
    for turn in chat.turns:
        assert turn.parent in seen, "a parent stands behind its child"
        assert turn.id not in seen, "an id is there twice"
        assert turn.role in ROLES
        assert isinstance(turn.content, str)
        seen.add(turn.id)
    assert chat.head in seen, "the head is none of the turns"
    assert isinstance(chat.id, str)
    assert chat.id
    assert chat.title is None or isinstance(chat.title, str)
    written = native.transcript_to_dict(chat)
    assert json.loads(json.dumps(written, allow_nan=False))["messages"] is not None


def _shortened(data: bytes) -> bytes:
    """A large file's shape, with less in it."""
    if len(data) <= _LONGEST:
        return data
    return json.dumps(_smaller(json.loads(data.decode("utf-8-sig")))).encode()


def _smaller(value: Any) -> Any:
    if isinstance(value, list):
        return [_smaller(item) for item in value[:2]]
    if isinstance(value, dict):
        return {key: _smaller(item) for key, item in value.items()}
    return value[:60] if isinstance(value, str) else value


@contextlib.contextmanager
def _corpus(reader: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for number, data in enumerate(seeds(reader)):
            (Path(folder) / f"seed-{number}").write_bytes(_shortened(data))
        yield Path(folder)


def main(reader: str, executions: int) -> None:
    """Fuzz one reader so many times."""
    import atheris

    with atheris.instrument_imports(include=["chathistory.formats"]):
        import chathistory.formats  # noqa: F401
    tally = Tally()
    for data in seeds(reader):
        run(reader, data, tally)
    assert tally.chats, "no seed is a chat"

    def change(data: bytes, longest: int, seed: int) -> bytes:
        dice = random.Random(seed)
        made = mutant(data, dice) if dice.random() < 0.7 else atheris.Mutate(data, len(data) + 64)
        return bytes(made[:longest])

    def once(data: bytes) -> None:
        run(reader, data, tally)
        if tally.executions >= executions:  # at its own end it would neither print nor tidy up
            print(f"{reader}: {tally}", flush=True)
            shutil.rmtree(folder)
            os._exit(0)

    with _corpus(reader) as folder:
        options = [f"-max_len={_LONGEST}", f"-rss_limit_mb={MEGABYTES}", "-timeout=20"]
        options += [f"-artifact_prefix={tempfile.gettempdir()}/fuzz-{reader}-", "-verbosity=0"]
        atheris.Setup([sys.argv[0], *options, str(folder)], once, custom_mutator=change)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
