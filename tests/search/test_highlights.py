"""Snippets show where the words are."""

from __future__ import annotations

import pytest

from chathistory.search.find import search
from chathistory.search.matcher import SNIPPET
from chathistory.search.tokens import fold


def marked(user, query: str) -> list[list[str]]:
    return [[hit.snippet[a:b] for a, b in hit.highlights] for hit in search(user, query).hits]


@pytest.mark.parametrize(
    ("said", "query", "words"),
    [
        ("A fox, a Fox and a foxglove", "fox", ["fox", "Fox"]),
        ("Un café noir", "cafe", ["café"]),
        ("the quick brown fox", '"quick brown"', ["quick", "brown"]),
        ("call parse_header now", "header", ["parse_header"]),
        ("🎉🎉 party 🎉 fox", "fox party", ["party", "fox"]),
        ("Straße und Strasse", "strasse", ["Straße", "Strasse"]),
        ("我喜欢中国菜", "中国", ["中国"]),
        ("我喜欢中国菜,中国茶", "中国", ["中国", "中国"]),
        ("quick fox; the quick brown fox", '"quick brown"', ["quick", "brown"]),
        ("of C++ and C", "c++", ["C++"]),
        ("done👍🏽 and 👨‍👩‍👧", "👍", ["👍🏽"]),
        ("done👍🏽 and 👨‍👩‍👧", "👩", ["👨‍👩‍👧"]),
        ("ฉันกินข้าวแล้ว", "ข้าว", ["ข้าว"]),
        ("ทำงานที่บ้าน", "บ้าน", ["บ้าน"]),
        ("とｶﾞﾗｽと", "ガラス", ["ｶﾞﾗｽ"]),
        ("我用Python写", "python", ["Python"]),
        ("我用Python写", "写", ["写"]),
        ("אמר שָׁלוֹם", "שלום", ["שָׁלוֹם"]),
        ("हिन्दी में", "हिन्दी", ["हिन्दी"]),
        ("东" * 400 + "中国" + "西" * 400, "中国", ["中国"]),
    ],
)
def test_they_point_at_the_words(alice, talk, said, query, words):
    talk(said)
    assert marked(alice, query) == [words]


def test_a_word_deep_in_a_long_text_is_shown(alice, talk):
    talk("filler " * 5_000 + "a fox at last " + "filler " * 5_000)
    (hit,) = search(alice, "fox").hits
    assert [hit.snippet[a:b] for a, b in hit.highlights] == ["fox"]
    assert hit.snippet.startswith("…")
    assert hit.snippet.endswith("…")
    assert len(hit.snippet) <= SNIPPET + 2


@pytest.mark.parametrize("before", [0, 1, 52, 53, 54, 160, 161, 1_000])
@pytest.mark.parametrize("filler", ["x", "é ", "🎉"])
def test_offsets_hold_wherever_the_word_stands(alice, talk, before, filler):
    talk(f"{filler * before} zébra {filler * 200}")
    (hit,) = search(alice, "zebra").hits
    assert [fold(hit.snippet[a:b]) for a, b in hit.highlights] == ["zebra"]
