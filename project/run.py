"""`make run`: brings the demo site up to date and becomes the supervisor of its processes."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections

HERE = Path(__file__).resolve().parent


def main(port: int) -> None:
    """Serve on 127.0.0.1:`port` until TERM or Ctrl+C."""
    refuse_taken(port)
    prepare_environment(port)
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("chat_demo")
    connections.close_all()
    print(f"\nOpen http://127.0.0.1:{port}/chat/ (Ctrl+C stops the site)\n", flush=True)
    append_to_stdout()
    become_supervisor()


def refuse_taken(port: int) -> None:
    """Exit at once if another program listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            sys.exit(f"Port {port}: {error.strerror}. Choose another: make run PORT=8001")


def prepare_environment(port: int) -> None:
    """Set what this process and those it becomes read from the environment."""
    os.umask(0o077)
    defaults = {
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "DEBUG": "1",
        "CHATHISTORY_DEMO": "1",
        "SESSION_COOKIE_NAME": f"sessionid_{port}",
    }
    os.environ.update({**defaults, **os.environ, "PORT": str(port)})
    os.environ["CHATHISTORY_HOME"] = str(settings.CHATHISTORY_HOME)
    # Programs that keep temporary files of their own keep them in the site's folder.
    os.environ["TMPDIR"] = settings.FILE_UPLOAD_TEMP_DIR
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    (settings.CHATHISTORY_HOME / "run").mkdir(exist_ok=True)


def append_to_stdout() -> None:
    """Reopen stdout, so that the processes' lines do not overwrite each other in a file."""
    try:
        again = os.open("/dev/stdout", os.O_WRONLY | os.O_APPEND)
    except OSError:
        sys.exit("Standard output must be a terminal, a file or a pipe.")
    os.dup2(again, 1)
    os.close(again)


def become_supervisor() -> None:
    """Replace this process by supervisord, which stops everything when it is stopped."""
    command = [sys.executable, "-m", "supervisor.supervisord", "-n"]
    command += ["-c", str(HERE / "supervisord.conf")]
    command += ["-u", "root"] if os.geteuid() == 0 else []
    os.execv(sys.executable, command)  # noqa: S606 - there is no shell to want


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
