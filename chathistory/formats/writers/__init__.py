"""From our session objects to bytes, streaming: each format's name, and what writes it.

A session object is what ``formats.native`` describes; its `messages` may be any iterable that can
be gone through more than once, and may know its own tree (`links`). What each format keeps and
what it does not stands in docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from chathistory.exceptions import Invalid
from chathistory.formats import native

from . import chatgpt, html, markdown, openai, pdf, plain, table, typesetting

__all__ = ["WRITERS", "Write", "Writer", "chosen", "content_type_of"]

Write = Callable[[Iterable[dict[str, Any]]], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Writer:
    """One format. ``write`` yields a file of all sessions given, or, if ``is_single``, of one."""

    name: str
    description: str
    suffix: str
    content_type: str
    write: Write
    is_single: bool = False
    #: Gives a ``write`` that is cheaper when it is called often.
    shared: Callable[[], AbstractContextManager[Write]] | None = None

    def begun(self) -> AbstractContextManager[Write]:
        """Return what writes many files, one after the other."""
        return self.shared() if self.shared else nullcontext(self.write)


_ALL = (
    Writer("json", "JSON, complete", "json", "application/json", native.write),
    Writer("jsonl", "JSON Lines, complete", "jsonl", "application/x-ndjson", native.write_lines),
    Writer("openai", "OpenAI messages, JSON Lines", "jsonl", "application/x-ndjson", openai.write),
    Writer("markdown", "Markdown", "md", "text/markdown; charset=utf-8", markdown.write, True),
    Writer("text", "Plain text", "txt", "text/plain; charset=utf-8", plain.write, True),
    Writer("html", "Web page", "html", "text/html; charset=utf-8", html.write, True),
    Writer("pdf", "PDF", "pdf", "application/pdf", pdf.write, True, pdf.shared),
    Writer("csv", "Table (CSV)", "csv", "text/csv; charset=utf-8", table.write),
    Writer("chatgpt", "ChatGPT's own shape", "json", "application/json", chatgpt.write),
)
WRITERS: dict[str, Writer] = {writer.name: writer for writer in _ALL}


def chosen(name: str) -> Writer:
    """Return the writer of a format.

    Raises Invalid, which lists the known, or names the extra that this one needs.
    """
    if name not in WRITERS:
        known = ", ".join(WRITERS)
        raise Invalid(f"Unknown format; one of: {known}.", field="format")
    if name == "pdf":
        typesetting.require()
    return WRITERS[name]


def content_type_of(name: str) -> str:
    """Return the content type of a file that one of our writers left under this name."""
    suffix = name.rpartition(".")[2]
    types = {writer.suffix: writer.content_type for writer in _ALL}
    return types.get(suffix, "application/zip" if suffix == "zip" else "application/octet-stream")
