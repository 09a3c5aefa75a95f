"""Titles, previews, limits and facts about a text."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chathistory import text
from chathistory.exceptions import Invalid, LimitExceeded


@given(st.text(max_size=400))
def test_a_title_is_one_line_of_at_most_fifty_characters_on_a_word_boundary(content):
    line, title = " ".join(content.split()), text.title_from(content)
    cut = title.removesuffix("...") if title != line else title
    assert len(cut) <= text.TITLE_CHARACTERS
    assert "\n" not in title
    assert line.startswith(cut)
    if title != line:
        assert line[len(cut)] == " " or " " not in line[: text.TITLE_CHARACTERS + 1]


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ("Short", "Short"),
        ("x" * 50, "x" * 50),
        ("x" * 51, "x" * 50 + "..."),
        ("a" * 30 + " " + "b" * 30, "a" * 30 + "..."),
        ("a" * 50 + " b", "a" * 50 + "..."),
        ("\n two\t words\n", "two words"),
        ("好" * 60, "好" * 50 + "..."),
        ("word " * 500_000, ("word " * 10).strip() + "..."),
    ],
)
def test_titles(content, title):
    assert text.title_from(content) == title


def test_an_untitled_session_is_named_by_the_end_of_its_id():
    assert text.untitled(UUID("01900000-0000-7000-8000-0000deadbeef")) == "Chat deadbeef"


@given(st.text(st.characters() | st.sampled_from("\0\ud800\udfff"), max_size=50))
def test_what_was_mended_is_accepted_and_nothing_else_is_touched(content):
    mended = text.mend(content)
    assert text.check_characters(mended, "content") == mended
    assert len(mended) == len(content)
    kept = [b for a, b in zip(content, mended, strict=True) if a not in "\0" and a == b]
    assert len(kept) == sum(c != "\0" and not "\ud800" <= c <= "\udfff" for c in content)


@given(st.text(min_size=1).filter(str.strip))
def test_what_is_clean_is_returned_as_it_was_said(content):
    try:
        assert text.clean(content) == content
    except Invalid:
        assert "\0" in content


def test_the_length_limit_is_exact_and_names_itself(settings):
    settings.CHATHISTORY_MAX_MESSAGE_LENGTH = 5
    assert text.clean("12345") == "12345"
    with pytest.raises(LimitExceeded) as refused:
        text.clean("123456")
    assert refused.value.data == {
        "what": "Characters of a message",
        "limit": 5,
        "given": 6,
        "field": "content",
    }


@pytest.mark.parametrize(
    ("content", "blocks"),
    [
        ("```python\na\nb\n```", [("python", 2)]),
        ("```\n```", [("", 0)]),
        ("~~~js title=x\n```\nx\n~~~", [("js", 2)]),
        ("````md\n```py\nx\n```\n````", [("md", 3)]),
        ("   ```C++\nx\n   ```\n```c#\ny\n```", [("c++", 1), ("c#", 1)]),
        ("    ```py\nindented, so it is no fence", []),
        ("inline ``` is no fence ```", []),
        ("```never closed\nx", []),
    ],
)
def test_code_blocks_are_told_with_their_language_and_lines(content, blocks):
    found = [(block["language"], block["lines"]) for block in text.code_blocks(content)]
    assert found == blocks


def test_facts_name_links_once_without_the_sentence_around_them():
    content = "See https://a.example/x?y=1, (https://b.example/z). https://a.example/x?y=1!"
    assert text.facts(content)["links"] == ["https://a.example/x?y=1", "https://b.example/z"]
    assert "links" not in text.facts("ftp://x and http: //y")
    assert len(text.facts(" ".join(f"http://x/{n}" for n in range(300)))["links"]) == 100


@given(st.text(max_size=200))
def test_tokens_are_a_quarter_of_the_bytes_rounded_up(content):
    size = len(content.encode())
    assert size / 4 <= text.count_tokens(content) < size / 4 + 1
