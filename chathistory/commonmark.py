"""Parsing CommonMark (with tables and strikethrough) with work that grows as the text does.

The parser looks for a link's end at every bracket, and asks of every line, for every block it
may continue, whether another begins. Of odd texts that is the square of their length, or near
to it: so it is counted, and a text that takes too much is not laid out, but shown as written.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.helpers import parseLinkDestination, parseLinkLabel, parseLinkTitle
from markdown_it.rules_block import StateBlock, blockquote
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

_FREE = 200_000  # steps that any text may take
_EACH = 10  # steps more for each of its characters: prose takes one or two
_LINE = 5  # steps that asking of a line takes
_CONTINUED = ["paragraph", "reference", "blockquote", "list"]  # by what may begin a quotation
_LEFT = "steps"


class TooOdd(Exception):
    """A text takes more work to be laid out than it is worth."""


def parser(**options: Any) -> MarkdownIt:
    """Return a parser whose work ``parse`` counts."""
    markdown = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
    helpers: Any = SimpleNamespace(
        parseLinkDestination=parseLinkDestination,
        parseLinkLabel=_label,
        parseLinkTitle=parseLinkTitle,
    )
    markdown.helpers = helpers
    markdown.block.ruler.at("blockquote", _quotation, {"alt": _CONTINUED})
    return markdown


def parse(markdown: MarkdownIt, text: str) -> list[Token]:
    """Return the tokens of a text. Raises TooOdd."""
    return markdown.parse(text, {_LEFT: _FREE + _EACH * len(text)})


def _spend(state: StateBlock | StateInline, steps: int) -> None:
    left = state.env[_LEFT] = state.env[_LEFT] - steps
    if left < 0:
        raise TooOdd


def _label(state: StateInline, start: int, disableNested: bool = False) -> int:  # noqa: N803  (the parser's)
    end = parseLinkLabel(state, start, disableNested)
    # Where there is no end, it was looked for up to that of the paragraph.
    _spend(state, (end if end >= 0 else state.posMax) - start)
    return end


def _quotation(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    _spend(state, _LINE)
    return blockquote(state, start, end, silent)
