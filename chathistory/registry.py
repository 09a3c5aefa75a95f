"""Where each floor hangs up what the site is to do by itself.

A job kind is a function that long work calls; a beat entry runs one from time to time; a purge
hook removes what hangs on a session or a message that goes for good; a start-up check looks at
one thing before anybody is served. Modules of ``actions`` register when the app is ready.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Work(Protocol):
    """What a job's function is given."""

    #: The Account the job belongs to; the system's own for what beat starts.
    account: Any
    #: What was asked for, as JSON.
    arguments: dict[str, Any]

    def step(self, done: int, total: int | None = None) -> None:
        """Say how far the work is. Raises what stops it: cancelled, or taken over by another."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job. Its function may run twice, and returns JSON."""

    name: str
    function: Callable[[Any], Any]
    #: Whether people may ask for it.
    public: bool
    #: The arguments that people may give.
    takes: frozenset[str] = frozenset()
    #: Raises what is wrong with them.
    check: Callable[[dict[str, Any]], object] | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """A job kind that starts every so many seconds, unless the admin says otherwise."""

    kind: str
    every: int
    description: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What one start-up check saw."""

    name: str
    ok: bool
    detail: str = ""


KINDS: dict[str, Kind] = {}
BEATS: dict[str, Beat] = {}
PURGES: list[Callable[..., None]] = []
STARTS: list[Callable[[], Finding]] = []


def job(
    name: str,
    *,
    public: bool = False,
    takes: Iterable[str] = (),
    check: Callable[[dict[str, Any]], object] | None = None,
) -> Callable[[F], F]:
    """Register a function as a kind of job."""

    def register(function: F) -> F:
        KINDS[name] = Kind(name, function, public, frozenset(takes), check)
        return function

    return register


def beat(kind: str, every: int, description: str) -> None:
    """Let the system start a kind of job every so many seconds."""
    BEATS[kind] = Beat(kind, every, description)


def on_purge(hook: F) -> F:
    """Register ``hook(op, session, messages)``, called in the purge's transaction.

    ``messages`` are the rows that go, all of the session's in the end; the session row itself
    goes last.
    """
    PURGES.append(hook)
    return hook


def at_start(check: F) -> F:
    """Register a check of a few milliseconds, whatever the size of the data."""
    STARTS.append(check)
    return check
