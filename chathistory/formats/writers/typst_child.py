"""Sets documents by typst: a program of its own that ``typesetting`` runs.

It reads a length and a source, writes a length (-1 where typst refuses) and a PDF, and so on
until its input ends. It writes no file, has no network where the system lets it give that up, and
may read, besides the fonts, only its own empty folder.
"""

import ctypes
import json
import os
import resource
import struct
import sys
from typing import Any

LENGTH = struct.Struct(">q")
_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000


def main(given: dict[str, Any]) -> None:
    """Serve until the input ends. ``given`` has: path, folder, fonts, memory, seconds."""
    os.chdir(given["folder"])
    _leave_network()
    resource.setrlimit(resource.RLIMIT_AS, (given["memory"], given["memory"]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.path.insert(0, given["path"])
    import typst  # of the extra, and only here

    fonts = typst.Fonts(include_system_fonts=False, font_paths=given["fonts"])
    here = dict.fromkeys(("root", "package_path", "package_cache_path"), given["folder"])
    compiler = typst.Compiler(font_paths=fonts, ignore_system_fonts=True, **here)
    while header := sys.stdin.buffer.read(LENGTH.size):
        source = sys.stdin.buffer.read(*LENGTH.unpack(header))
        _allow_seconds(given["seconds"])
        try:
            answer: Any = compiler.compile(source, format="pdf", timestamp=0)
            length = len(answer)
        except (RuntimeError, ValueError):
            answer, length = b"", -1
        sys.stdout.buffer.write(LENGTH.pack(length) + answer)
        sys.stdout.buffer.flush()


def _leave_network() -> None:
    """Go where there is no network; a system that does not let us leaves only typst's promise."""
    unshare = getattr(ctypes.CDLL(None), "unshare", None)
    if unshare is not None and unshare(_NEW_NETWORK) != 0:
        unshare(_NEW_USER | _NEW_NETWORK)


def _allow_seconds(seconds: int) -> None:
    """End this process when the next document takes longer on all its processors together."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
