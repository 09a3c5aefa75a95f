"""Pure functions on what people say: limits, titles, previews, facts about the content."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from .conf import settings
from .exceptions import Invalid, LimitExceeded

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
TITLE_CHARACTERS = 50
PREVIEW_CHARACTERS = 160

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*$", re.MULTILINE)
_LINK = re.compile(r"https?://[^\s<>\"'`)\]}]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_LINKS = 100


def clean(content: Any, *, field: str = "content") -> str:
    """Return ``content`` as it was said.

    Raises Invalid for what is no text, is empty, or holds NUL or lone surrogates, and
    LimitExceeded beyond MAX_MESSAGE_LENGTH characters.
    """
    if not isinstance(content, str):
        raise Invalid(f"Text is needed, not {type(content).__name__}.", field=field)
    if not content.strip():
        raise Invalid("The text is empty.", field=field)
    check_length("Characters of a message", len(content), settings.MAX_MESSAGE_LENGTH, field)
    return check_characters(content, field)


def check_length(what: str, given: int, limit: int, field: str) -> None:
    """Raise LimitExceeded when ``given`` is more than ``limit``."""
    if given > limit:
        raise LimitExceeded(what, limit, given, field=field)


def check_characters(value: str, field: str) -> str:
    """Return ``value``. Raises Invalid for a NUL or a lone surrogate, with its position."""
    if "\0" in value:
        raise Invalid(f"A NUL character at position {value.index(chr(0))}.", field=field)
    if not value.isascii() and (found := _SURROGATE.search(value)):
        raise Invalid(f"A lone surrogate at position {found.start()}.", field=field)
    return value


def mend(value: str) -> str:
    """Return ``value`` with NULs and lone surrogates replaced by U+FFFD, for imported text."""
    if "\0" in value:
        value = value.replace("\0", "\ufffd")
    return value if value.isascii() else _SURROGATE.sub("\ufffd", value)


def clean_role(role: Any) -> str:
    """Return ``role``. Raises Invalid naming the roles there are."""
    if role not in ROLES:
        raise Invalid(f"Unknown role; one of: {', '.join(ROLES)}.", field="role")
    return str(role)


def clean_title(title: Any) -> str:
    """Return a title on one line. Raises Invalid or LimitExceeded."""
    if not isinstance(title, str) or not title.strip():
        raise Invalid("A title needs at least one character.", field="title")
    line = " ".join(check_characters(title, "title").split())
    check_length("Characters of a title", len(line), settings.MAX_TITLE_LENGTH, "title")
    return line


def clean_tag(name: Any) -> str:
    """Return a tag's name on one line. Raises Invalid or LimitExceeded."""
    if not isinstance(name, str) or not name.strip():
        raise Invalid("A tag needs at least one character.", field="tags")
    line = " ".join(check_characters(name, "tags").split())
    check_length("Characters of a tag", len(line), settings.MAX_TAG_LENGTH, "tags")
    return line


def shorten(value: str, limit: int) -> str:
    """Return one line of at most ``limit`` characters and ``...`` when cut.

    The cut is at a word boundary where one exists.
    """
    line = " ".join(value[: limit * 2].split())
    if len(line) <= limit < len(value):  # much of it is space
        line = " ".join(value[: limit * 20].split())
    if len(line) <= limit:
        return line
    cut = line[: limit + 1].rfind(" ")
    return line[: cut if cut > 0 else limit] + "..."


def title_from(content: str) -> str:
    """Return the automatic title of a session whose first user message says ``content``."""
    return shorten(content, TITLE_CHARACTERS)


def untitled(session: UUID) -> str:
    """Return the title of a session that nobody has said anything in."""
    return f"Chat {str(session)[-8:]}"


def preview_of(content: str) -> str:
    """Return the line that lists show under a title."""
    return shorten(content, PREVIEW_CHARACTERS)


def count_tokens(content: str) -> int:
    """Estimate LLM tokens: a quarter of the UTF-8 bytes, as OpenAI's rule of thumb has it."""
    size = len(content) if content.isascii() else len(content.encode("utf-8", "replace"))
    return (size + 3) // 4


def facts(content: str) -> dict[str, Any]:
    """Return what is known of a text: ``{characters, tokens[, code_blocks][, links]}``.

    ``code_blocks`` is ``[{language, lines}]``; ``links`` the first hundred addresses.
    """
    found: dict[str, Any] = {"characters": len(content), "tokens": count_tokens(content)}
    if ("```" in content or "~~~" in content) and (blocks := code_blocks(content)):
        found["code_blocks"] = blocks
    if "://" in content and (links := _LINK.findall(content)):
        distinct = dict.fromkeys(link.rstrip(".,;:!?") for link in links)
        found["links"] = list(distinct)[:_MAX_LINKS]
    return found


def strings(value: Any) -> Iterator[str]:
    """Yield every text within a JSON value, but not the names of its parts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)


def code_blocks(content: str) -> list[dict[str, Any]]:
    """Return the fenced blocks of CommonMark text as ``[{language, lines}]``."""
    blocks: list[dict[str, Any]] = []
    fence, language, start = "", "", 0
    for match in _FENCE.finditer(content):
        if not fence:
            fence, language, start = match[1], match[2].lower(), match.end()
        elif match[1][0] == fence[0] and len(match[1]) >= len(fence) and not match[2]:
            lines = content.count("\n", start, match.start()) - 1
            blocks.append({"language": language, "lines": max(lines, 0)})
            fence = ""
    return blocks
