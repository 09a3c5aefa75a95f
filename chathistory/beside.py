"""Processes of our own beside this one: a bare interpreter that imports one of our modules.

Neither Django nor anything that is installed is at hand there, so it is small and starts at once.
It talks by frames over its pipes, and ends when they do, however this process came to its end.
"""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen

_RUN = "import sys; sys.path.append(sys.argv[1]); from {0} import serve; serve(*sys.argv[2:])"


def start(module: str, *arguments: str) -> Popen[bytes]:
    """Run ``serve`` of a module with these arguments. Raises OSError."""
    root = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-I", "-S", "-c", _RUN.format(module), root, *arguments]
    # What is typed at the keyboard is meant for this process alone.
    return Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, start_new_session=True)


def stop(process: Popen[bytes]) -> None:
    """End a process and forget what it has to say."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # what was not sent yet stays unsaid
                continue
    process.wait()
