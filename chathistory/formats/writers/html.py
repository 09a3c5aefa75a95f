"""A web page in one file: no script, nothing remote, light and dark, and fit to be printed.

Its own content security policy forbids the rest, whoever opens it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from html import escape
from typing import Any
from urllib.parse import quote

from pygments.formatters.html import HtmlFormatter

from chathistory import render

from . import shown

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1d22; --paper: #fff; --sunken: #f3f3ef;
  --faint: #5f646e; --line: #dcdcd6; --accent: #2457c5; }
body { max-width: 48rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; background: var(--paper);
  color: var(--ink); overflow-wrap: anywhere;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; }
a { color: var(--accent); }
.facts, .about, .rest { color: var(--faint); font-size: .85rem; }
.facts { padding: 0; list-style: none; }
article { margin: 1.25rem 0; padding: .25rem 1rem; border-inline-start: .2rem solid var(--line); }
article.user { border-color: var(--accent); background: var(--sunken); }
article h2 { margin: .5rem 0 0; font-size: 1rem; }
.about { margin: 0; }
.body { overflow-x: auto; }
.body p { white-space: pre-line; }
.body :is(p, li, h1, h2, h3, h4, h5, h6, td, th), h1, h2, li { unicode-bidi: plaintext; }
.body h1, .body h2, .body h3 { font-size: 1.1rem; }
pre { padding: .75rem; overflow-x: auto; background: var(--sunken); direction: ltr; }
article.user pre { background: var(--paper); }
pre, code { font: .875rem/1.45 ui-monospace, "Cascadia Mono", "Noto Sans Mono", monospace; }
table { border-collapse: collapse; }
th, td { padding: .25rem .6rem; border: 1px solid var(--line); }
blockquote { margin-inline: 0; padding-inline-start: .8rem;
  border-inline-start: .2rem solid var(--line); }
"""
_DARK = """
:root { --ink: #e8e9ec; --paper: #1e2126; --sunken: #272b32; --faint: #a3a9b4; --line: #353a43;
  --accent: #8ab0ff; }
"""
_PRINT = """
body { max-width: none; padding: 0; font-size: 10.5pt; }
article { border-inline-start-width: .1rem; break-inside: auto; }
article h2, h1 { break-after: avoid; }
.body { overflow: visible; }
pre { white-space: pre-wrap; overflow: visible; }
"""
_END = "</main>\n</body>\n</html>\n"


def write(sessions: Iterable[shown.Session]) -> Iterator[bytes]:
    """Yield a page for a session; of several one page after the other."""
    for session in sessions:
        for piece in _session(session):
            yield piece.encode()


def index(title: str, entries: Iterable[tuple[str, str, Sequence[str]]]) -> Iterator[bytes]:
    """Yield a page that lists files: the path of each, its title, and what is said of it."""
    yield (_begin(title) + "<ol>\n").encode()
    for path, name, facts in entries:
        about = escape(" · ".join(facts))
        link = f'<a href="{quote(path)}">{escape(name)}</a>' if path else escape(name)
        yield f'<li>{link} <span class="about">{about}</span></li>\n'.encode()
    yield f"</ol>\n{_END}".encode()


def _session(session: shown.Session) -> Iterator[str]:
    yield _begin(shown.title(session))
    facts = (f"<li>{escape(name)}: {escape(value)}</li>" for name, value in shown.facts(session))
    yield f'<ul class="facts">{"".join(facts)}</ul>\n'
    path, others = shown.branch(session)
    for message in shown.said(session, path):
        yield _message(message)
    yield f'<p class="rest">{shown.rest(others)}</p>\n{_END}' if others else _END


def _message(message: shown.Message) -> str:
    stamp = message.get("timestamp")
    time = f'<time datetime="{escape(stamp)}">{shown.moment(stamp)}</time>' if stamp else ""
    notes = "".join(f"<br>{escape(note)}" for note in shown.notes(message))
    kind = "user" if message.get("role") == "user" else "other"
    body = render.to_html(shown.content(message), is_apart=True)
    return (
        f'<article class="{kind}">\n<h2>{escape(shown.speaker(message))}</h2>\n'
        f'<p class="about">{time}{notes}</p>\n'
        f'<div class="body" dir="auto">{body}</div>\n</article>\n'
    )


def _begin(title: str) -> str:
    style = _styles()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n"
        f'<h1 dir="auto">{escape(title)}</h1>\n'
    )


def _colors(style: str) -> str:
    made: Any = HtmlFormatter(style=style)
    return str(made.get_style_defs(".body pre"))


@cache
def _styles() -> str:
    light, dark = _colors("default"), _colors("github-dark")
    # What is printed is dark on white, whatever the screen is.
    return (
        f"{_STYLE}{light}\n@media screen and (prefers-color-scheme: dark) {{{_DARK}{dark}}}\n"
        f"@media print {{{_PRINT}}}\n"
    )
