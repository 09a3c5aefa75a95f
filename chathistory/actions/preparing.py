"""Drafts prepared beside the writer: on two cores an import takes what its writing takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from subprocess import Popen
from types import TracebackType
from typing import IO

from chathistory import beside, frames
from chathistory.search.prepare import Body, answers, ask
from chathistory.search.tokens import Keyed

from .pipeline import Draft


class Preparer:
    """Prepares drafts when asked to; after ``go_beside`` in a process of its own, in advance.

    Threads would not do: each short release of the interpreter costs them a whole switch.
    """

    def __init__(self, keyed: Keyed) -> None:
        self._keyed = keyed
        self._child: Popen[bytes] | None = None
        self._is_alone = False
        self._waiting: Sequence[Draft] | None = None

    def __enter__(self) -> Preparer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def go_beside(self) -> None:
        """Start the process, once; where none can be started, or it was killed, go on alone."""
        if self._child is None and not self._is_alone:
            try:
                self._child = beside.start("chathistory.search.prepare")
            except OSError:
                self._is_alone = True
                return
            self._tell(lambda pipe: frames.send(pipe, self._keyed.key))

    def begin(self, drafts: Sequence[Draft]) -> Callable[[], None]:
        """Return what is to be called before ``drafts`` are stored."""
        # What is asked comes back first: else both might wait for the other to read.
        self._collect()
        if self._child is None:
            return lambda: self.now(drafts)
        self._waiting = drafts
        self._tell(lambda pipe: ask(pipe, map(_asked, drafts)))
        return lambda: self._collect(drafts)

    def now(self, drafts: Sequence[Draft]) -> None:
        """Prepare ``drafts`` in this process."""
        for draft in drafts:
            draft.prepare(self._keyed)

    def _collect(self, wanted: Sequence[Draft] | None = None) -> None:
        """Take in what the process was asked, if that is what is wanted."""
        drafts = self._waiting
        if drafts is None or (wanted is not None and wanted is not drafts):
            return
        self._waiting = None
        try:
            self._take(drafts)
        except EOFError:  # it was killed: nothing is lost but time
            self._stop()
            self.now(drafts)

    def _take(self, drafts: Sequence[Draft]) -> None:
        if self._child is None or self._child.stdout is None:
            raise EOFError
        for draft, answer in zip(drafts, answers(self._child.stdout), strict=True):
            draft.codec, draft.packed, draft.index = answer
            draft.count()

    def _tell(self, tell: Callable[[IO[bytes]], None]) -> None:
        if self._child is not None and self._child.stdin is not None:
            try:
                tell(self._child.stdin)
            except OSError:
                self._stop()

    def _stop(self) -> None:
        self._is_alone = True
        if self._child is not None:
            beside.stop(self._child)
            self._child = None


def _asked(draft: Draft) -> Body:
    return draft.body.pack(), not draft.deleted_at
