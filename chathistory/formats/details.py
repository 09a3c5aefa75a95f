"""What Open WebUI hides in a message's text: `<details type="reasoning">` and its like.

A part is `<details type="…" done="true" …><summary>…</summary>…</details>`, what it says escaped
for HTML and, of reasoning, each line quoted with `>`. One without an end is left as it stands, and
so is what stands in fenced code, for that shows what somebody wrote.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from chathistory.formats import parts

_MARK = re.compile(
    r"^ {0,3}(?P<fence>`{3,}+(?=[^`\n]*+$)|~{3,}+)|<details\b[^<>]*+>", re.IGNORECASE | re.MULTILINE
)
_CLOSE = "</details>"
_ATTRIBUTE = re.compile(r'(?<!\w)(\w++)="([^"]*+)"')
_SUMMARY = re.compile(r"\s*<summary>[^<]*</summary>", re.IGNORECASE)
_QUOTE = re.compile(r"^> ?", re.MULTILINE)
_HIDDEN = ("reasoning", "tool_calls", "code_interpreter")


def taken_out(text: str) -> tuple[str, list[parts.Block]]:
    """Return the text without what is hidden in it, and that as blocks."""
    kept: list[str] = []
    blocks: list[parts.Block] = []
    done = 0
    for about, start, behind, end in _hidden(text):
        kept.append(text[done:start])
        blocks += _blocks(about, text[behind:end])
        done = end + len(_CLOSE)
    if not blocks:
        return text, []
    return "".join((*kept, text[done:])).strip(), blocks


def _hidden(text: str) -> Iterator[tuple[dict[str, str], int, int, int]]:
    """Yield each part's attributes, where it begins, and where what it says begins and ends."""
    at, last = 0, text.rfind(_CLOSE)
    while (found := _MARK.search(text, at)) and found.end() <= last:
        start, at = found.span()
        if fence := found["fence"]:
            at = _behind_code(text, at, fence)
            continue
        about = {key: html.unescape(value) for key, value in _ATTRIBUTE.findall(found[0])}
        if about.get("type") in _HIDDEN:
            end = text.find(_CLOSE, at)
            yield about, start, at, end
            at = end + len(_CLOSE)


def _behind_code(text: str, at: int, fence: str) -> int:
    """Return where fenced code ends: as long a fence later, or never (CommonMark 4.5)."""
    ends = re.compile(rf"^ {{0,3}}{fence[0]}{{{len(fence)},}}+[ \t\r]*+$", re.MULTILINE)
    found = ends.search(text, at)
    return found.end() if found else len(text)


def _blocks(about: dict[str, str], inside: str) -> list[parts.Block]:
    summary = _SUMMARY.match(inside)
    said = html.unescape(inside[summary.end() if summary else 0 :]).strip()
    if about["type"] == "reasoning":
        return [parts.reasoning(_QUOTE.sub("", said))]
    call = parts.tool_call(
        about.get("name") or about["type"], about.get("arguments"), about.get("id")
    )
    answers = list(filter(None, (about.get("result") or about.get("output"), said)))
    return [call, *(parts.tool_result(answer, about.get("id")) for answer in answers)]
