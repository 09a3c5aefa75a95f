"""Eight real processes append to one session at once; then the books are compared.

    python -m tests.faults.appenders [COUNT] [DATABASE_URL]

COUNT messages a process (1,000), on SQLite in a temporary folder unless an address is given, on
PostgreSQL in a database of its own. Prints what each process was acknowledged and what is there;
exit status 0 only if both agree, seq is dense and no process met an error.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

PROCESSES = 8
ROOT = Path(__file__).parents[2]
CHECK = """
from chathistory.models import Account, Change, Message, Session
acknowledged = open(0).read().split()
rows = list(Message.objects.order_by("seq").values_list("uuid", "seq", "changed"))
changes = list(Change.objects.order_by("seq").values_list("seq", flat=True))
session, account = Session.objects.get(), Account.objects.get()
checks = {
    "ids acknowledged once": len(set(acknowledged)) == len(acknowledged),
    "ids equal the rows": sorted(acknowledged) == sorted(str(row[0]) for row in rows),
    "seq is dense": [row[1] for row in rows] == list(range(1, len(rows) + 1)),
    "the session counts them": session.last_seq == session.message_count == len(rows),
    "the journal is dense": changes == list(range(1, account.seq + 1)),
    "two changes each": len(changes) == 1 + 2 * len(rows),
}
print(f"{len(rows)} rows", *(f"{name}: {is_so}" for name, is_so in checks.items()), sep="\\n  ")
raise SystemExit(not all(checks.values()))
"""
SET_UP = """
from django.contrib.auth.models import User
from chathistory.actions import sessions
print(sessions.create(User.objects.create_user("alice"), "tutor").uuid)
"""
APPEND = """
import sys
from django.contrib.auth.models import User
from chathistory.actions import messages
from chathistory.models import Session
user, session = User.objects.get(), Session.objects.select_related("account__user").get()
for n in range(int(sys.argv[1])):
    print(messages.append(session, user, "user", f"message {n} of {sys.argv[2]}").uuid, flush=True)
"""
START = "import django; django.setup()\n"


def main(count: int, url: str) -> int:
    """Run it all and say how it went."""
    with tempfile.TemporaryDirectory() as home, database(url) as address:
        environment = os.environ | {
            "CHATHISTORY_HOME": home,
            "DATABASE_URL": address,
            "DJANGO_SETTINGS_MODULE": "project.settings",
        }
        python = [sys.executable, "-c"]
        run = {"env": environment, "cwd": ROOT, "text": True}
        migrate = "from django.core.management import call_command; call_command('migrate', '-v0')"
        subprocess.run([*python, START + migrate + SET_UP], check=True, capture_output=True, **run)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        arguments = [[*python, START + APPEND, str(count), str(n)] for n in range(PROCESSES)]
        writers = [subprocess.Popen(one, **pipes, **run) for one in arguments]
        said = [writer.communicate() for writer in writers]
        for number, (out, problem) in enumerate(said):
            print(f"process {number}: {len(out.split())} acknowledged {problem[-300:]}".rstrip())
        acknowledged = "\n".join(out for out, _ in said)
        checked = subprocess.run([*python, START + CHECK], input=acknowledged, check=False, **run)
        complete = all(len(out.split()) == count and not problem for out, problem in said)
        return checked.returncode or int(not complete)


@contextmanager
def database(url: str) -> Iterator[str]:
    """Make an empty database beside the one of a PostgreSQL address; SQLite needs none."""
    if not url.startswith("postgres"):
        yield url
        return
    import psycopg  # not needed for SQLite

    name = f"appenders_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as link:
        link.execute(f"CREATE DATABASE {name}")
        try:
            yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        finally:
            link.execute(f"DROP DATABASE {name} WITH (FORCE)")


if __name__ == "__main__":
    given = [*sys.argv[1:], *["1000", os.environ.get("DATABASE_URL", "")][len(sys.argv) - 1 :]]
    sys.exit(main(int(given[0]), given[1]))
