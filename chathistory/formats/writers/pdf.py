"""PDF, set by typst: the branch shown, with code, tables, lists and links, in every script.

The source is code throughout, and what people said is in it only as string literals and as
arguments of ``raw``: typst never reads it as its own language.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from chathistory import commonmark

from . import shown, typesetting

_HEAD = """
#set page(paper: "a4", margin: (x: 2cm, y: 2.2cm), numbering: "1 / 1")
#set text(font: FONTS, size: 10pt, hyphenate: false)
#set par(leading: 0.62em, spacing: 0.9em)
#set heading(outlined: false, bookmarked: false)
#show heading: set text(size: 11pt)
#show heading: set block(above: 1em, below: 0.6em)
#show raw: set text(font: MONO, size: 8.5pt)
#show raw.where(block: true): it => block(
  fill: luma(245), inset: 7pt, radius: 3pt, width: 100%, align(left, { set text(dir: ltr); it }))
#show link: set text(fill: rgb("#2457c5"))
#set table(stroke: 0.5pt + luma(200), inset: 5pt)
#let quoted(it) = block(
  width: 100%, inset: (x: 8pt, y: 2pt), stroke: (x: 1pt + luma(205)), text(fill: luma(70), it))
#let turned(it) = { set text(dir: rtl, kerning: false); it }
#let ja(it) = { set text(font: JAPANESE, lang: "ja"); it }
#let ko(it) = { set text(font: KOREAN, lang: "ko"); it }
#let said(who, about, color, body) = {
  block(above: 1.4em, below: 0.5em, sticky: true, {
    strong(who); h(0.8em); box(text(size: 8pt, fill: luma(110), about)) })
  block(width: 100%, inset: (left: 8pt), stroke: (left: 1.5pt + color), body)
}
"""
# In Amiri a glyph is one letter, also where two join, for what copies a PDF's text turns it glyph
# by glyph. Noto draws dots apart, and most others have one for lam with alef. (No kerning: it is
# taken for spaces.)
_SCRIPTS = (
    "Amiri",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
)
_MARKS = ("Noto Emoji", "Noto Sans Symbols")
_FONTS: dict[str, tuple[str, ...]] = {
    place: ("Noto Sans", *_SCRIPTS, f"Noto Sans CJK {where}", *_MARKS)
    for place, where in (("FONTS", "SC"), ("JAPANESE", "JP"), ("KOREAN", "KR"))
}
_FONTS["MONO"] = ("DejaVu Sans Mono", *_FONTS["FONTS"])
_JAPANESE = re.compile("[\u3040-\u30ff\u31f0-\u31ff]")
_KOREAN = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
_LONG_WORD = re.compile("[!-~\u00a1-\u024f]{25,}")
_LONG_CODE = re.compile("[!-~\u00a1-\u024f]{86,}")
_RUNS = {_LONG_WORD: 12, _LONG_CODE: 85}
_DEEPEST = 20  # blocks within blocks
_WIDEST = 100  # columns
_STRONG = ("L", "R", "AL")
_LANGUAGE = re.compile(r"[\w+#.-]{1,40}")
_WEB = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_LONGEST_LINK = 2_000  # characters; typst refuses a document in which a link has more than 8,000
_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"})
_WRAPPERS = {"em": "emph", "strong": "strong", "s": "strike"}
_COLORS = {"user": "#2457c5"}


def write(sessions: Iterable[shown.Session]) -> Iterator[bytes]:
    """Yield a document for each session."""
    with shared() as write_one:
        yield from write_one(sessions)


@contextmanager
def shared() -> Iterator[typesetting.Write]:
    """Give a ``write`` whose every call asks the same process."""
    with typesetting.Typesetter() as setter:
        yield lambda sessions: (setter.set(source(session).encode()) for session in sessions)


def source(session: shown.Session) -> str:
    """Return what typst is given."""
    return "".join(_source(session))


def _source(session: shown.Session) -> Iterator[str]:
    title = shown.title(session)
    yield f"#set document(title: {literal(title)}, date: none)\n"
    yield _head()
    yield "#{\n"
    yield _turned(title, f"block(text(size: 17pt, weight: 700, {words(title)}))")
    for name, value in shown.facts(session):
        yield f"\ntext(size: 8.5pt, fill: luma(90), {words(f'{name}: {value}')})\nlinebreak()"
    path, others = shown.branch(session)
    for message in shown.said(session, path):
        yield f"\n{_message(message)}"
    if others:
        yield f"\npar(emph({words(shown.rest(others))}))"
    yield "\n}\n"


@cache
def _head() -> str:
    head = _HEAD
    for place, names in _FONTS.items():
        head = head.replace(place, _list(names))
    return head


def _message(message: shown.Message) -> str:
    about = " · ".join(
        filter(None, [shown.moment(message.get("timestamp")), *shown.notes(message)])
    )
    color = _COLORS.get(message.get("role") or "", "#b9bcc4")
    who = words(shown.speaker(message))
    return f'said({who}, {words(about)}, rgb("{color}"), {body(shown.content(message))})'


def literal(text: str) -> str:
    """Return a text as a string literal of typst: the only way somebody's words go in."""
    return f'"{shown.clean(text).translate(_ESCAPES)}"'


def words(text: str) -> str:
    """Return content that shows a text."""
    return f"text({literal(_breakable(text, _LONG_WORD))})"


def _breakable(text: str, run: re.Pattern[str]) -> str:
    """Return a text whose overlong words may be broken: else they would run off the page."""
    size = _RUNS[run]

    def broken(match: re.Match[str]) -> str:
        found = match[0]
        return "\u200b".join(found[at : at + size] for at in range(0, len(found), size))

    return run.sub(broken, text)


def _turned(text: str, code: str) -> str:
    """Return a block that reads in the direction of its text's first letter."""
    first = next((kind for kind in map(unicodedata.bidirectional, text) if kind in _STRONG), "L")
    return _variant(text, f"turned({code})" if first != "L" else code)


def _variant(text: str, code: str) -> str:
    """Return a block whose ideographs are drawn as where its language is written."""
    if _JAPANESE.search(text):
        return f"ja({code})"
    return f"ko({code})" if _KOREAN.search(text) else code


def _list(names: Iterable[str]) -> str:
    return f"({', '.join(map(literal, names))},)"


def _block(statements: list[str]) -> str:
    """Return content of these statements, one after the other."""
    return "{\n" + "\n".join(statements) + "\n}" if statements else "[]"


@cache
def _markdown() -> MarkdownIt:
    return commonmark.parser(html=False, maxNesting=_DEEPEST + 2)


def body(text: str) -> str:
    """Return Markdown as content."""
    try:
        tokens = commonmark.parse(_markdown(), text)
    except commonmark.TooOdd:
        return _as_written(text)
    if any(token.level > _DEEPEST for token in tokens) or _is_too_wide(tokens):
        return _as_written(text)
    for token in tokens:
        if token.children is not None:
            # Emphasis may be as deep as a text is long: the tree is to be of blocks only.
            token.meta, token.children = {"words": token.children}, None
    return _blocks(SyntaxTreeNode(tokens))


def _is_too_wide(tokens: list[Token]) -> bool:
    """Tell whether a table has more columns than a page has room for."""
    columns = 0
    for token in tokens:
        columns = 0 if token.type == "tr_open" else columns + (token.type == "th_open")
        if columns > _WIDEST:
            return True
    return False


def _as_written(text: str) -> str:
    """Return the lines of a text that is too deep, too wide or too odd to be laid out."""
    return _block([f"{_turned(line, words(line))}\nlinebreak()" for line in text.split("\n")])


def _blocks(node: SyntaxTreeNode) -> str:
    return _block([_one(child) for child in node.children])


def _one(node: SyntaxTreeNode) -> str:
    """Return a block of a document."""
    make = _MAKERS.get(node.type)
    return make(node) if make else _blocks(node)


def _paragraph(node: SyntaxTreeNode) -> str:
    return _blocks(node) if node.hidden else _turned(_first_words(node), f"par({_blocks(node)})")


def _heading(node: SyntaxTreeNode) -> str:
    level = int(node.tag[1:])
    return _turned(_first_words(node), f"heading(level: {level}, {_blocks(node)})")


def _bullets(node: SyntaxTreeNode) -> str:
    items = ", ".join(_blocks(child) for child in node.children)
    return _turned(_first_words(node), f"list({items})")


def _numbers(node: SyntaxTreeNode) -> str:
    items = ", ".join(_blocks(child) for child in node.children)
    start = int(node.attrs.get("start", 1))
    return _turned(_first_words(node), f"enum(start: {start}, {items})")


def _quote(node: SyntaxTreeNode) -> str:
    return _turned(_first_words(node), f"quoted({_blocks(node)})")


def _rule(_node: SyntaxTreeNode) -> str:
    return "line(length: 100%, stroke: 0.5pt + luma(180))"


def _code(node: SyntaxTreeNode) -> str:
    language = node.info.split()[0] if node.info.split() else ""
    given = f", lang: {literal(language)}" if _LANGUAGE.fullmatch(language) else ""
    code = literal(_breakable(node.content.rstrip("\n"), _LONG_CODE))
    return _variant(node.content, f"raw({code}, block: true{given})")


def _table(node: SyntaxTreeNode) -> str:
    head, *rest = [row for part in node.children for row in part.children]
    cells = ", ".join(_cell(cell) for cell in head.children)
    others = ", ".join(_cell(cell) for row in rest for cell in row.children)
    return f"table(columns: {len(head.children)}, table.header({cells}), {others})"


def _cell(node: SyntaxTreeNode) -> str:
    side = str(node.attrs.get("style", "")).removeprefix("text-align:")
    given = f"align: {side}, " if side in ("left", "center", "right") else ""
    found = _blocks(node)
    return f"table.cell({given}{f'strong({found})' if node.type == 'th' else found})"


def _first_words(node: SyntaxTreeNode) -> str:
    return next((one.content for one in node.walk() if one.type == "inline"), "")


def _line(node: SyntaxTreeNode) -> str:
    """Return words, each with all that is true of it: so however deep they stand, this is flat."""
    parts: list[str] = []
    styles: list[str] = []
    targets: list[str] = []
    for token in node.meta["words"]:
        name = token.type.rsplit("_", 1)[0]
        if token.type == "link_open":
            targets.append(str(token.attrGet("href") or ""))
        elif token.type == "link_close":
            targets.pop()
        elif token.nesting > 0:
            styles.append(name)
        elif token.nesting < 0:
            styles.remove(name)
        else:
            parts.append(_leaf(token, styles, targets))
    return _turned(node.content, _block(parts))


def _leaf(token: Token, styles: list[str], targets: list[str]) -> str:
    if token.type in ("softbreak", "hardbreak"):
        return "linebreak()"
    is_code = token.type == "code_inline"
    found = f"raw({literal(token.content)})" if is_code else words(token.content)
    target = targets[-1] if targets else ""
    if token.type == "image":
        target = target or str(token.attrGet("src") or "")
    for style, function in _WRAPPERS.items():
        found = f"{function}({found})" if style in styles else found
    is_link = _WEB.match(target) and len(target) <= _LONGEST_LINK
    return f"link({literal(target)}, {found})" if is_link else found


_MAKERS: dict[str, Callable[[SyntaxTreeNode], str]] = {
    "paragraph": _paragraph,
    "heading": _heading,
    "bullet_list": _bullets,
    "ordered_list": _numbers,
    "blockquote": _quote,
    "hr": _rule,
    "fence": _code,
    "code_block": _code,
    "table": _table,
    "inline": _line,
}
