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
_LANGUAGE = re.compile(r"[\w+#.-]{1,40}")


def to_html(content: str, *, is_apart: bool = False) -> SafeString:
    """Return CommonMark (with tables and strikethrough) as HTML that is safe to show.

    Raw HTML stays text, images become links or vanish, links open nothing by themselves. What is
    to be shown ``is_apart`` from this site has no links without a scheme: nobody knows where they
    would lead from there, perhaps to a file.
    """
    markdown = _markdown()
    tokens = markdown.parse(content)
    dirty = markdown.renderer.render(tokens, markdown.options, {})
    if any(token.level >= _DEEPEST for token in tokens):
        dirty = f"<pre>{escape(content)}</pre>"
    html = nh3.clean(
        dirty,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        attribute_filter=_absolute if is_apart else None,
    )
    return mark_safe(html)  # noqa: S308  (nh3 has just cleaned it)


def _absolute(_tag: str, attribute: str, value: str) -> str | None:
    return None if attribute == "href" and not _SCHEME.match(value) else value


@cache
def _markdown() -> MarkdownIt:
    options = {"html": False, "highlight": _highlight, "maxNesting": _DEEPEST + 1}
    markdown = MarkdownIt("commonmark", options).enable(["table", "strikethrough"])
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
