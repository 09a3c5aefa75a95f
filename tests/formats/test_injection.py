"""Whatever people write, what goes out does nothing: it runs, asks and reads nothing."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
import zipfile
from html.parser import HTMLParser
from typing import Any

import pytest
from markdown_it import MarkdownIt

from chathistory.formats.writers import bundle, html, pdf, shown
from tests.formats.payloads import ALL
from tests.formats.written import said, session, written

TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "ul", "li", "ol", "article"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "div", "time", "br", "hr", "a", "pre", "code"),
    *("blockquote", "em", "strong", "s", "span", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {
    *("class", "dir", "href", "rel", "title", "lang", "charset", "http-equiv", "content", "name"),
    *("datetime", "start", "align"),
}
WEB = re.compile(r"(https?://|mailto:)", re.I)
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202d\u202e]")


def hostile() -> dict[str, Any]:
    """Return a session in which every payload is said, and is everything else that it can be."""
    messages = [
        said(
            "user",
            payload,
            author=payload,
            metadata={"model": payload, "attachments": [payload, {"name": payload}]},
        )
        for payload in ALL
    ]
    return session(*messages, tags=ALL, workflow_type=ALL[0], title=" ".join(ALL))


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return hostile()


def test_there_are_enough() -> None:
    assert len(set(ALL)) >= 200


@pytest.mark.parametrize("form", ["json", "jsonl", "openai", "chatgpt"])
def test_json_says_what_was_said(made: dict[str, Any], form: str) -> None:
    data = written(form, made, made)
    if form in ("jsonl", "openai"):
        assert data.count(b"\n") == 2
        found = [json.loads(line) for line in data.split(b"\n")[:2]][1]["messages"]
        texts = [one["content"] for one in found]
    elif form == "json":
        texts = [one["content"] for one in json.loads(data)["sessions"][1]["messages"]]
    else:
        nodes = list(json.loads(data)[1]["mapping"].values())[1:]
        texts = [one["message"]["content"]["parts"][0] for one in nodes]
    assert texts == ALL


def test_no_cell_computes_and_each_row_is_one(made: dict[str, Any]) -> None:
    rows = list(csv.reader(io.StringIO(written("csv", made).decode(), newline="")))
    assert len(rows) == 1 + len(ALL)
    hidden = " \t\r\n\xa0\u200b\ufeff"
    for row in rows:
        assert len(row) == len(rows[0])
        for cell in row:
            assert not cell.lstrip(hidden).startswith(tuple("=+-@＝＋－＠")), cell
            assert not CONTROL.search(cell)


@pytest.mark.parametrize("form", ["text", "markdown", "html", "csv"])
def test_nothing_speaks_to_a_terminal(made: dict[str, Any], form: str) -> None:
    text = written(form, made).decode()
    assert not CONTROL.search(text.replace("\r\n", "\n"))


class Seen(HTMLParser):
    """Collects what is wrong with a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.counts: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in TAGS:
            self.wrong.append(tag)
        for name, value in attrs:
            if name not in ATTRIBUTES or (name == "href" and not WEB.match(value or "")):
                self.wrong.append(f"{tag} {name}={value}")

    def handle_comment(self, data: str) -> None:
        self.wrong.append(data)


def test_a_page_has_only_what_a_renderer_of_ours_makes(made: dict[str, Any]) -> None:
    page = written("html", made).decode()
    seen = Seen()
    seen.feed(page)
    assert seen.wrong == []
    assert (seen.counts["style"], seen.counts["title"], seen.counts["article"]) == (1, 1, len(ALL))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; style-src 'sha256-")


@pytest.mark.parametrize("form", ["html", "markdown", "text"])
@pytest.mark.parametrize("depth", [10, 19, 20, 21, 22, 49, 50, 51, 60, 61, 150, 900])
def test_nothing_is_lost_however_deep_it_stands(form: str, depth: int) -> None:
    assert b"found me" in written(form, session("> " * depth + "found me"))
    assert '"found me' in pdf.source(session("> " * depth + "found me")).replace("> ", "")
    assert b"found me" in written(form, session("- " * depth + "found me"))


def test_an_index_links_only_to_files_beside_it() -> None:
    entries = [
        (f"sessions/{bundle.name_of(session(title=one))}.md", shown.line(one), [shown.line(one)])
        for one in ALL
    ]
    seen = Seen()
    page = b"".join(html.index("All", entries)).decode()
    seen.feed(page)
    assert {one for one in seen.wrong if not one.startswith("a href=sessions/")} == set()


@pytest.mark.parametrize("payload", ALL)
def test_markdown_is_inert_whoever_renders_it(payload: str) -> None:
    parser = MarkdownIt("commonmark", {"html": True, "maxNesting": 200})
    parser.enable(["table", "strikethrough"])
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    document = written("markdown", session(said("user", payload, author=payload), title=payload))
    for token in parser.parse(document.decode()):
        for one in (token, *(token.children or ())):
            assert one.type not in ("html_block", "html_inline", "image"), one.content
            assert one.type != "link_open" or WEB.match(str(one.attrs["href"])), one.attrs


def test_markdown_keeps_its_messages_apart(made: dict[str, Any]) -> None:
    tokens = MarkdownIt("commonmark").parse(written("markdown", made).decode())
    heads = [tokens[at + 1].content for at, one in enumerate(tokens) if one.tag == "h2"][::2]
    assert sum(1 for head in heads if head.startswith("User")) >= len(ALL)


#: All that may stand in a source of typst outside of its literals.
CODE = re.compile(
    r"(?:(?:par|text|strong|emph|strike|link|raw|list|enum|table|table\.cell|table\.header|heading"
    r"|block|said|turned|ja|ko|quoted|line|rgb|luma|linebreak|lang|size|fill|weight|level|start"
    r"|columns|align|left|center|right|length|stroke|true|block|[0-9.]+(?:pt|%)?)(?![a-z])"
    r"|[\s(){}:,+#\[\]]|\"\")*"
)
LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')


@pytest.mark.parametrize("payload", ALL)
def test_typst_gets_nobodys_words_but_as_literals(payload: str) -> None:
    about = {"model": payload, "attachments": [payload]}
    source = pdf.source(
        session(
            said("user", payload, author=payload, metadata=about), title=payload, tags=[payload]
        )
    )
    head, _, rest = source.partition("\n#{\n")
    assert LITERAL.sub('""', head).count("\n") == pdf._head().count("\n")
    left = LITERAL.sub('""', rest)
    assert CODE.fullmatch(left), left
    for address in re.findall(r'link\("((?:[^"\\]|\\.)*)"', source):
        assert WEB.match(address)


@pytest.mark.parametrize("payload", ALL)
def test_names_in_zips_and_trees_lead_nowhere(payload: str) -> None:
    made = session(title=payload, workflow_type=payload)
    for path in (f"{bundle.name_of(made)}.txt", bundle.in_tree(payload, made, "txt")):
        for part in path.split("/"):
            assert part.strip("."), path
            assert len(part.encode()) <= 255, path
            assert all(one.isalnum() or one in "@.+-_" for one in part), path
            assert not part.startswith((".", "-", "~")), path
    files = [bundle.File(path, None, iter([b"x"]))]
    with zipfile.ZipFile(io.BytesIO(b"".join(bundle.zipped(files)))) as archive:
        assert archive.namelist() == [path]


_watched: list[str] | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched is not None and event.startswith(("open", "socket.", "subprocess.", "os.exec")):
        _watched.append(f"{event} {arguments[:1]}")


sys.addaudithook(_audit)


@pytest.mark.parametrize(
    "form", ["json", "jsonl", "openai", "markdown", "text", "html", "csv", "chatgpt"]
)
def test_nothing_is_opened_and_nobody_is_asked(made: dict[str, Any], form: str) -> None:
    global _watched
    written(form, made)  # what the libraries load at their first use
    _watched = []
    try:
        written(form, made)
        assert _watched == []
    finally:
        _watched = None
