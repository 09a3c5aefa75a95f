"""Reader of Google Takeout's My Activity of Gemini Apps, as JSON: one record a question.

A record is `{header, title: "Prompted …", time, products[], safeHtmlItem[{html}], subtitles[{name,
url}], imageFile, attachedFiles}`, newest first. Nothing tells which records were one chat, so each
becomes a chat of its own: the question, and each answer under it (several were made again). What
is no question ("Created …", "Used …") comes in as a system message, its title as it stands. Names
are in the account's language. Google does not document it; from readers of real exports.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

from chathistory.formats import htmltext, loose, parts
from chathistory.formats.base import Malformed, Transcript, Turn
from chathistory.formats.parts import Said
from chathistory.formats.times import from_epoch

_ASKED = re.compile(r"(?:Prompted with:|Asked (?:Gemini|Bard):|Prompted|Asked|Said)\s+")
_DID = re.compile(
    r"(?:Created|Used|Added|Gave|Selected|Shared|Deleted|Viewed|Edited|Pinned|Renamed|Exported)\s"
)
_TITLE = 80  # characters
_LONG = 1_000
_FILE = "-  "  # what the name of a file begins with among the subtitles


def recognises(value: Any, header: dict[str, Any]) -> bool:
    """Tell whether `value` is a record of what was asked of Gemini."""
    if not isinstance(value, dict):
        return False
    texts = (value.get("header"), value.get("title"))
    said = all(isinstance(text, str) for text in texts)
    return said and "time" in value and _is_gemini(value)


def _is_gemini(value: dict[str, Any]) -> bool:
    products = value.get("products")
    named = [value.get("header"), *(products if isinstance(products, list) else [])]
    return any(isinstance(one, str) and re.search("gemini|bard", one, re.I) for one in named)


def read(value: Any, where: str) -> Transcript:
    """Return one record; Malformed names the field that is not as it must be."""
    value = loose.need_object(value, where)
    title = loose.text(value.get("title"))
    if title is None or not _is_gemini(value):
        wrong = "is missing" if title is None else "is of another product than Gemini"
        raise Malformed(f"{where}.title", wrong)
    time = from_epoch(value.get("time"))
    question = _question(value, title)
    answers = [_answer(at, html) for at, html in enumerate(_answers(value, where))]
    for turn in (question, *answers):
        turn.created = time
    return Transcript(
        origin="gemini",
        id=loose.digest([value.get("time"), title]),
        title=textwrap.shorten(question.content[:_LONG], _TITLE, placeholder="...") or None,
        created=time,
        updated=time,
        turns=[question, *answers],
        metadata=loose.chat_about("gemini", question.raw or {}),
        where=where,
    )


def _question(value: dict[str, Any], title: str) -> Turn:
    said = Said(_ASKED.sub("", title, count=1) if _ASKED.match(title) else title)
    said.blocks += [parts.attachment(name) for name in _files(value)]
    who = "system" if _DID.match(title) and not value.get("safeHtmlItem") else "user"
    raw = {key: item for key, item in value.items() if key != "safeHtmlItem"}
    return loose.turn("question", None, who, said, raw)


def _files(value: dict[str, Any]) -> list[str]:
    named = [loose.text(one.get("name")) or "" for one in loose.listed(value.get("subtitles"))]
    names = [name.removeprefix(_FILE) for name in named if name.startswith(_FILE)]
    attached = value.get("attachedFiles")
    names += [name for name in attached if isinstance(name, str)] if type(attached) is list else []
    image = loose.text(value.get("imageFile"))
    return [*names, *([image] if image and not names else [])]


def _answers(value: dict[str, Any], where: str) -> list[dict[str, Any]]:
    given = value.get("safeHtmlItem")
    return [] if given is None else loose.objects(given, f"{where}.safeHtmlItem")


def _answer(index: int, item: dict[str, Any]) -> Turn:
    html = loose.text(item.get("html")) or loose.text(item.get("htmlValue")) or ""
    said = Said(htmltext.words(html))
    return loose.turn(f"answer-{index}", "question", "assistant", said, item)
