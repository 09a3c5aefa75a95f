"""Markdown (CommonMark): the branch shown, as it was written, but inert whoever renders it.

What people said is Markdown already and stays so. Outside of code raw HTML becomes text, images
become links, and links that lead anywhere but to the web or to a mailbox become text; a fence
that was never closed is closed, so that it swallows nothing. That nothing active is left is then
checked by parsing it as a renderer would that lets everything through; what still is, is fenced,
and so is what would take too long to be checked.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

from chathistory import commonmark

from . import shown

_DEEPEST = 60  # blocks within blocks; what is deeper a parser leaves out, and we fence
_PASSES = 4  # what was defused may now be read otherwise, and is defused again
_SUSPECT = re.compile(r"<|!\[|\][(:\[]|```|~~~")
_PART = re.compile(
    r"(?P<escape>\\[!-/:-@\[-`{-~])|(?P<ticks>`+)|(?P<address><https?://[^\s<>`\\]*>)"
    r"|(?P<tag><(?=[A-Za-z/!?]))|(?P<image>!\[)|(?P<end>\]\()|(?P<label>\]:)"
)
_SAFE = re.compile(r"\][(:]\s*<?(?:https?://|mailto:)", re.IGNORECASE)
_DEFINED = re.compile(r"^(?:(?!\n)[\s>*+\-\d.)])*+\[[^\[\]\n]*+(?=\]:)", re.MULTILINE)
_TICKS = re.compile(r"`+")
_ADDRESS = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
_PIPE = re.compile(r"(?<!\\)(\|)")
_FENCE = re.compile(r"```|~~~")
_CLOSING = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*")


def write(sessions: Iterable[shown.Session]) -> Iterator[bytes]:
    """Yield each session, one below the other."""
    for session in sessions:
        for piece in _session(session):
            yield piece.encode()


def _session(session: shown.Session) -> Iterator[str]:
    yield f"# {plain(shown.title(session))}\n\n"
    yield "".join(f"- {name}: {plain(value)}\n" for name, value in shown.facts(session))
    path, others = shown.branch(session)
    for message in shown.said(session, path):
        yield f"\n## {plain(shown.speaker(message))}\n\n"
        notes = [shown.moment(message.get("timestamp")), *shown.notes(message)]
        yield "".join(f"*{plain(note)}*  \n" for note in notes if note)
        yield f"\n{inert(shown.content(message))}\n"
    if others:
        yield f"\n---\n\n*{shown.rest(others)}*\n"


def plain(text: str) -> str:
    """Return a line of text as Markdown that shows just that."""
    return _SPECIAL.sub(r"\\\1", text)


def inert(text: str) -> str:
    """Return Markdown that says the same and does nothing."""
    if _SUSPECT.search(text) is None:
        return text
    try:
        return _defanged(text)
    except commonmark.TooOdd:
        return _fenced(text)


def _defanged(text: str) -> str:
    found, before = _defused(text), text
    for _pass in range(_PASSES):
        if found == before:
            break
        found, before = _defused(found), found
    found = _closed(found)
    return found if _is_inert(found) else _fenced(text)


@cache
def _markdown() -> MarkdownIt:
    """Return a parser of blocks; what is in their words it leaves alone."""
    return commonmark.parser(html=False, maxNesting=_DEEPEST).disable("inline")


@cache
def _permissive() -> MarkdownIt:
    """Return a parser that sees everything active."""
    parser = commonmark.parser(html=True, maxNesting=_DEEPEST)
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    return parser


def _defused(text: str) -> str:
    lines = text.split("\n")
    found: list[str] = []
    at = 0
    stretches = _stretches(commonmark.parse(_markdown(), text), len(lines))
    for start, end, defuse in [*stretches, (len(lines), len(lines), _as_it_is)]:
        if start > at:
            found.append(_unit("\n".join(lines[at:start])))
        if end > start:
            found.append(defuse("\n".join(lines[start:end])))
        at = end
    return "\n".join(found)


def _stretches(tokens: list[Token], count: int) -> Iterator[tuple[int, int, Callable[[str], str]]]:
    """Yield the lines of each block that holds words, in order, and what defuses them."""
    kinds: dict[str, Callable[[str], str]]
    kinds = {"fence": _as_it_is, "code_block": _as_it_is, "tr_open": _row, "inline": _unit}
    at = 0
    for token in tokens:
        if token.type in kinds and token.map is not None:
            start, end = max(token.map[0], at), min(token.map[1], count)
            if start < end:
                yield start, end, kinds[token.type]
                at = end


def _as_it_is(code: str) -> str:
    return code


def _row(line: str) -> str:
    """Defuse a table's row cell by cell: no code reaches from one into another."""
    return "".join(_unit(cell) for cell in _PIPE.split(line))


def _unit(text: str) -> str:
    """Defuse what is parsed as one: a paragraph, a heading, a cell."""
    found: list[str] = []
    at, runs = 0, _runs(text)
    defined = {match.end() for match in _DEFINED.finditer(text)}
    while (match := _PART.search(text, at)) is not None:
        found.append(text[at : match.start()])
        at = _end_of_code(match, runs) if match["ticks"] else match.end()
        part = text[match.start() : at]
        found.append(f"\\{part}" if _is_active(match, defined) else part)
    return "".join([*found, text[at:]])


def _is_active(match: re.Match[str], defined: set[int]) -> bool:
    if match["end"] or (match["label"] and match.start() in defined):
        return _SAFE.match(match.string, match.start()) is None
    return bool(match["tag"] or match["image"])


def _runs(text: str) -> dict[int, list[int]]:
    """Return where runs of backticks begin, by their length."""
    runs: dict[int, list[int]] = {}
    for match in _TICKS.finditer(text):
        runs.setdefault(len(match[0]), []).append(match.start())
    return runs


def _end_of_code(ticks: re.Match[str], runs: dict[int, list[int]]) -> int:
    """Return where a code span ends; where it is none, where its backticks end."""
    length = len(ticks["ticks"])
    closing = runs.get(length, [])
    at = bisect_left(closing, ticks.end())
    return closing[at] + length if at < len(closing) else ticks.end()


def _closed(text: str) -> str:
    """Close a fence that was left open at the end."""
    if _FENCE.search(text) is None:
        return text
    tokens = commonmark.parse(_markdown(), text)
    last = tokens[-1] if tokens else None
    if last is None or last.type != "fence" or last.level or last.map is None:
        return text
    closing = _CLOSING.fullmatch(text.rstrip("\n").rsplit("\n", 1)[-1])
    is_closed = closing is not None and closing[1].startswith(last.markup)
    return text if is_closed and last.map[1] - last.map[0] > 1 else f"{text}\n{last.markup}"


def _is_inert(text: str) -> bool:
    for token in commonmark.parse(_permissive(), text):
        if token.level >= _DEEPEST - 1:
            return False
        for one in (token, *(token.children or ())):
            if one.type in ("html_block", "html_inline", "image"):
                return False
            if one.type == "link_open" and not _ADDRESS.match(str(one.attrGet("href") or "")):
                return False
    return True


def _fenced(text: str) -> str:
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
