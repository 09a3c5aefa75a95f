"""Text to safe HTML: Markdown, highlighted code, nothing active, nothing remote."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import Any

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from chathistory import commonmark

_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote"),
    *("pre", "code", "span", "div", "em", "strong", "s", "a"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {
    "a": {"href", "title"},
    "span": {"class"},
    "div": {"class"},
    "code": {"class"},
    "ol": {"start", "dir"},
    "ul": {"dir"},
    "blockquote": {"dir"},
    "th": {"align"},
    "td": {"align"},
}
_SCHEME = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_DEEPEST = 50  # blocks within blocks; of what is deeper a parser would leave out the words
_COLORED = 8_000  # characters of code in colors, in one piece; of smaller pieces it is more
_SLOW, _SLOWEST = ("cs", "c#", "csharp", "aspx-cs"), 2  # these take the cube
_LANGUAGE = re.compile(r"[\w+#.-]{1,40}")


def to_html(content: str, *, is_apart: bool = False) -> SafeString:
    """Return CommonMark (with tables and strikethrough) as HTML that is safe to show.

    Raw HTML stays text, images become links or vanish, links open nothing by themselves. What is
    to be shown ``is_apart`` from this site has no links without a scheme: nobody knows where they
    would lead from there, perhaps to a file.
    """
    html = nh3.clean(
        _laid_out(content) or f"<pre>{escape(content)}</pre>",
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        attribute_filter=_absolute if is_apart else None,
    )
    return mark_safe(html)  # noqa: S308  (nh3 has just cleaned it)


def _laid_out(content: str) -> str | None:
    """Return HTML, None of what is nested too deeply or too odd."""
    markdown = _markdown()
    try:
        tokens = commonmark.parse(markdown, content)
    except commonmark.TooOdd:
        return None
    if any(token.level >= _DEEPEST for token in tokens):
        return None
    _limit_colors(tokens)
    return str(markdown.renderer.render(tokens, markdown.options, {}))


def _limit_colors(tokens: list[Token]) -> None:
    """Leave the code plain that would take too long: some languages take its length's square."""
    left = _COLORED**2
    for token in tokens:
        if token.type == "fence" and token.info.strip():
            slowness = _SLOWEST if token.info.split()[0].lower() in _SLOW else 1
            left -= (len(token.content) * slowness) ** 2
            token.info = token.info if left >= 0 else ""


def _absolute(_tag: str, attribute: str, value: str) -> str | None:
    return None if attribute == "href" and not _SCHEME.match(value) else value


@cache
def _markdown() -> MarkdownIt:
    markdown = commonmark.parser(html=False, highlight=_highlight, maxNesting=_DEEPEST + 1)
    for cell in ("th_open", "td_open"):
        markdown.add_render_rule(cell, _cell)
    for block in ("bullet_list_open", "ordered_list_open", "blockquote_open"):
        markdown.add_render_rule(block, _block)
    return markdown


def _block(self: Any, tokens: list[Token], at: int, options: Any, env: Any) -> str:
    """Let bullets and bars stand on the side where the text begins."""
    tokens[at].attrs["dir"] = "auto"
    return str(self.renderToken(tokens, at, options, env))


def _cell(self: Any, tokens: list[Token], at: int, options: Any, env: Any) -> str:
    """Align a cell by attribute: a strict content security policy refuses inline style."""
    style = str(tokens[at].attrs.pop("style", ""))
    if style.startswith("text-align:"):
        tokens[at].attrs["align"] = style.removeprefix("text-align:")
    return str(self.renderToken(tokens, at, options, env))


def _highlight(code: str, language: str, _attributes: str) -> str:
    if not _LANGUAGE.fullmatch(language):
        return ""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return ""
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))
