"""What Open WebUI hides in a message's text: `<details type="reasoning">` and its like.

A part is `<details type="…" done="true" …><summary>…</summary>…</details>`, what it says escaped
for HTML and, of reasoning, each line quoted with `>`. One without an end is left as it stands.
"""

from __future__ import annotations

import html
import re

from chathistory.formats import parts

_OPEN = re.compile(r"<details\b[^<>]*+>", re.IGNORECASE)
_CLOSE = "</details>"
_ATTRIBUTE = re.compile(r'(?<!\w)(\w++)="([^"]*+)"')
_SUMMARY = re.compile(r"\s*<summary>[^<]*</summary>", re.IGNORECASE)
_QUOTE = re.compile(r"^> ?", re.MULTILINE)
_HIDDEN = ("reasoning", "tool_calls", "code_interpreter")


def taken_out(text: str) -> tuple[str, list[parts.Block]]:
    """Return the text without what is hidden in it, and that as blocks."""
    kept: list[str] = []
    blocks: list[parts.Block] = []
    done, last = 0, text.rfind(_CLOSE)
    for found in _OPEN.finditer(text):
        start, behind = found.span()
        if start < done:
            continue
        if behind > last:
            break
        about = {key: html.unescape(value) for key, value in _ATTRIBUTE.findall(found[0])}
        if about.get("type") not in _HIDDEN:
            continue
        end = text.find(_CLOSE, behind)
        kept.append(text[done:start])
        blocks += _blocks(about, text[behind:end])
        done = end + len(_CLOSE)
    if not blocks:
        return text, []
    return "".join((*kept, text[done:])).strip(), blocks


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
