"""What the pages' templates say of times, found words and chats."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from chathistory.search.find import Hit

register = template.Library()

_LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)?")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_MARKUP = re.compile(
    r"(?<!\\)(?:\[(?=[^\]]*$)|```\w*|\*\*|`|(?<!\w)\*(?=\S)|(?<=\S)\*(?!\w)|(?<!\S)(?:>|#{1,6}|\|)(?!\S))"
)


@register.simple_tag
def when(moment: datetime | str) -> SafeString:
    """Return a ``<time>``, which a script then tells in the reader's own zone."""
    value = parse_datetime(moment) if isinstance(moment, str) else moment
    if value is None:
        return format_html("")
    local = timezone.localtime(value)
    shown = f"{date_format(local, 'DATE_FORMAT')}, {date_format(local, 'TIME_FORMAT')}"
    zone = local.tzname()
    return format_html('<time datetime="{}">{} {}</time>', value.isoformat(), shown, zone)


@register.filter
def parts(hit: Hit) -> Iterator[tuple[str, bool]]:
    """Cut a hit's snippet into ``(text, whether it was looked for)``."""
    at = 0
    for start, end in hit.highlights:
        yield hit.snippet[at:start], False
        yield hit.snippet[start:end], True
        at = end
    yield hit.snippet[at:], False


@register.filter
def plain(preview: str) -> str:
    """Leave the commonest marks of Markdown out of a preview."""
    shown = _MARKUP.sub("", _LINK.sub(r"\1", preview))
    return " ".join(_ESCAPED.sub(r"\1", shown).split())
