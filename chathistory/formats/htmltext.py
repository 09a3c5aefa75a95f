"""The words of a piece of HTML, one line for each of its blocks; nothing in it is obeyed."""

from __future__ import annotations

import html
import re

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*+)[^<>]*+>")
_ROWS = frozenset(
    {"p", "div", "br", "pre", "ul", "ol", "table", "tr", "blockquote", "hr"}
    | {"h1", "h2", "h3", "h4", "h5", "h6"}
)
_EMPTY_LINES = re.compile(r"\n(?:[ \t]*+\n)+")


def words(text: str) -> str:
    """Return what the HTML says, without its tags; list items begin with a hyphen."""
    plain = html.unescape(_TAG.sub(_mark, text))
    return _EMPTY_LINES.sub("\n\n", plain).strip()


def _mark(tag: re.Match[str]) -> str:
    name = tag[2].lower()
    if name == "li":
        return "" if tag[1] else "\n- "
    if name in ("td", "th"):
        return "\t" if tag[1] else ""
    return "\n" if name in _ROWS else ""
