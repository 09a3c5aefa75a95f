"""PDF: every script in its order, no glyph missing, and a child that can do nothing else."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import pypdfium2 as pdfium
import pytest
from pypdf import PdfReader
from pypdf.generic import ContentStream

from chathistory import spool
from chathistory.exceptions import Invalid, LimitExceeded, Unavailable
from chathistory.formats.writers import chosen, typesetting
from tests.formats.payloads import ALL
from tests.formats.written import branching, said, session, written

ARABIC = "مرحبا بالعالم هذا نص عربي طويل"
HEBREW = "שלום עולם זה טקסט בעברית"
SCRIPTS = (
    "你好，世界。这是中文。",
    "日本語のテキストです。",
    "한국어 텍스트입니다.",
    "Ελληνικά Русский",
    "ภาษาไทย",
)
EMOJI = "🎉 👩‍👩‍👧‍👦 🇩🇪 👍🏽 ✅"
MIXED = f"""# Heading

A **bold** line with [a link](https://example.org/a?b=1&c=2), `code` and ~~gone~~.

{ARABIC}

{HEBREW}

{" ".join(SCRIPTS)}

Emoji: {EMOJI}

1. one
2. two
   - עברית בתוך רשימה

> مقتبس

| a | b | c |
|:--|:-:|--:|
| 1 | **2** | 中文 |

```python
def f(x):
    return "中文" + x  # a comment
```

{"x" * 400}
"""


def read(*sessions: dict[str, Any]) -> PdfReader:
    return PdfReader(io.BytesIO(written("pdf", *sessions)))


def text_of(reader: PdfReader) -> str:
    return "\n".join(page.extract_text() for page in reader.pages)


def glyphs(reader: PdfReader) -> Iterator[int]:
    """Yield the number of every glyph that is drawn; 0 is the box for what no font has."""
    for page in reader.pages:
        for operands, operator in ContentStream(page.get_contents(), reader).operations:
            if operator in (b"Tj", b"TJ"):
                (shown,) = operands
                for part in shown if operator == b"TJ" else [shown]:
                    if not isinstance(part, int | float):
                        data = getattr(part, "original_bytes", part)
                        yield from (data[at] << 8 | data[at + 1] for at in range(0, len(data), 2))


@pytest.fixture(scope="module")
def mixed() -> PdfReader:
    return read(session(MIXED, said("assistant", MIXED, author="بوت"), title="Mixed 混合 مختلط"))


def test_every_script_is_there_in_its_order(mixed: PdfReader) -> None:
    text = text_of(mixed)
    for wanted in (*SCRIPTS, "return", "# a comment", "Heading"):
        assert wanted in text


def test_lines_from_right_to_left_are_copied_as_they_are_read() -> None:
    lines = [ARABIC, HEBREW, "لا إله إلا الله في الأول", "السلام عليكم ورحمة الله"]
    made = written("pdf", session("\n\n".join(lines), said("assistant", "x", author="بوت")))
    text = pdfium.PdfDocument(made)[0].get_textpage().get_text_range()
    for line in lines:
        assert line in text
    assert "2025-01-14 10:30" in text.partition("بوت")[2]


def test_no_glyph_is_missing(mixed: PdfReader) -> None:
    drawn = list(glyphs(mixed))
    assert len(drawn) > 1_000
    assert 0 not in drawn


def test_links_lead_to_the_web_and_nothing_else_can_be_done(mixed: PdfReader) -> None:
    hostile = read(session(*ALL))
    assert addresses(mixed) == ["https://example.org/a?b=1&c=2"] * 2
    assert all(re.match(r"(https?://|mailto:)", one) for one in addresses(hostile))
    for reader in (mixed, hostile):
        root = reader.trailer["/Root"]
        assert not {"/OpenAction", "/AA", "/Names", "/AcroForm"} & set(root)


def test_an_address_too_long_for_typst_is_words_alone() -> None:
    long, fits = (f"https://example.org/{'a' * count}" for count in (9_000, 1_900))
    reader = read(session(f"[a heron]({long}) ![a tern]({long}) [a gull]({fits}) <{long}>"))
    assert addresses(reader) == [fits]
    text = text_of(reader)
    assert "a heron" in text
    assert "a tern" in text


def addresses(reader: PdfReader) -> list[str]:
    found = []
    for page in reader.pages:
        for one in page.get("/Annots") or ():
            annotation = one.get_object()
            assert annotation["/Subtype"] == "/Link"
            assert annotation["/A"]["/S"] == "/URI"
            found.append(str(annotation["/A"]["/URI"]))
    return found


def test_it_says_what_other_branches_hold_back() -> None:
    text = text_of(read(branching()))
    assert "The second answer." in text
    assert "The first answer." not in text
    assert "1 message stands on other branches" in text


def test_sessions_are_one_document_each_by_one_child(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    start = typesetting.Typesetter._start
    monkeypatch.setattr(
        typesetting.Typesetter, "_start", lambda self: started.append(1) or start(self)
    )
    with chosen("pdf").begun() as write:
        made = [b"".join(write([session(text)])) for text in ("One", "Two", "Three")]
    assert [text_of(PdfReader(io.BytesIO(one))).count("Two") for one in made] == [0, 1, 0]
    assert len(started) == 1


def test_the_same_gives_the_same() -> None:
    assert written("pdf", session("x")) == written("pdf", session("x"))


@pytest.mark.parametrize(
    "source",
    [
        '#read("/etc/passwd")',
        '#read("../../../../etc/passwd")',
        '#image("/etc/hostname")',
        '#import "@preview/cetz:0.3.0": *',
        '#import "@local/x:0.1.0": *',
        "#panic()",
    ],
)
def test_even_a_source_of_somebody_elses_reads_nothing(source: str) -> None:
    with typesetting.Typesetter() as setter, pytest.raises(Unavailable, match="typst refused"):
        setter.set(source.encode())


def test_a_document_that_takes_too_long_or_too_much_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = b"#for i in range(3000) { for j in range(9000) { let x = calc.sin(i * j) } }"
    monkeypatch.setattr(typesetting, "_SECONDS", 1)
    with typesetting.Typesetter() as setter:
        with pytest.raises(Unavailable, match="more time or memory"):
            setter.set(slow)
        assert setter.set(b"Hello").startswith(b"%PDF")  # by another child
    monkeypatch.setattr(typesetting, "_MEMORY", 1 << 30)
    large = b'#let x = "x" * 100000000\n#let y = x.clusters()'
    with typesetting.Typesetter() as setter, pytest.raises(Unavailable):
        setter.set(large)
    monkeypatch.setattr(typesetting, "MAX_SOURCE", 10)
    with typesetting.Typesetter() as setter, pytest.raises(LimitExceeded):
        setter.set(b"more than ten")


def test_nothing_is_left_behind() -> None:
    before = set(spool.folder().iterdir())
    with typesetting.Typesetter() as setter:
        setter.set(b"Hello")
        (folder,) = set(spool.folder().iterdir()) - before
        assert list(folder.iterdir()) == []
        child = setter._child
        assert child is not None
    assert set(spool.folder().iterdir()) == before
    assert child.returncode is not None


def test_other_fonts_can_be_named(settings: Any, tmp_path: Any) -> None:
    settings.CHATHISTORY_PDF_FONT_PATHS = [tmp_path]
    assert typesetting._fonts() == [str(tmp_path)]
    assert text_of(read(session("Latin only"))).count("Latin only") == 1


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typesetting, "find_spec", lambda name: None)
    with pytest.raises(Invalid, match=r"pip install django-chathistory\[pdf\]"):
        chosen("pdf")
