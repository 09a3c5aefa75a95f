"""Drafts prepared beside the writer: on two cores an import takes what its writing takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import current_process, get_context
from types import TracebackType

from chathistory.search.prepare import Prepared, prepare
from chathistory.search.tokens import Keyed

from .pipeline import Draft


class Preparer:
    """Prepares drafts when asked to; after ``go_beside`` in a process of its own, in advance.

    Threads would not do: each short release of the interpreter costs them a whole switch.
    """

    def __init__(self, keyed: Keyed) -> None:
        self._keyed = keyed
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Preparer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def go_beside(self) -> None:
        """Start the process, once; a worker process may not have children and goes on alone."""
        if self._pool is None and not current_process().daemon:
            self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def begin(self, drafts: Sequence[Draft]) -> Callable[[], None]:
        """Return what is to be called before ``drafts`` are stored."""
        if self._pool is None:
            return lambda: self.now(drafts)
        bodies = [draft.body.pack() for draft in drafts]
        texts = ["" if draft.deleted_at else draft.body.content for draft in drafts]
        try:
            found = self._pool.submit(prepare, self._keyed.key, bodies, texts)
        except BrokenProcessPool:
            return lambda: self.now(drafts)
        return lambda: self._take(drafts, found)

    def now(self, drafts: Sequence[Draft]) -> None:
        """Prepare ``drafts`` in this process."""
        for draft in drafts:
            draft.prepare(self._keyed)

    def _take(self, drafts: Sequence[Draft], found: Future[list[Prepared]]) -> None:
        try:
            prepared = found.result()
        except BrokenProcessPool:  # it was killed: nothing is lost but time
            self.now(drafts)
            return
        for draft, (codec, packed, index) in zip(drafts, prepared, strict=True):
            draft.codec, draft.packed, draft.index = codec, packed, index
            draft.count()
