"""What people of many scripts expect to find, and not to find."""

from __future__ import annotations

import pytest

from chathistory.search.find import search

#: For each script texts, each with what finds it and what does not.
TABLE: dict[str, list[tuple[str, list[str], list[str]]]] = {
    "latin": [
        ("Café au lait, naïve résumé", ["cafe", "CAFÉ", "cafe\u0301", "naive", "resume"], ["caf"]),
        ("Straße nach Süden", ["strasse", "STRASSE", "STRAẞE", "suden"], ["strase", "str"]),
        ("smørrebrød and Łódź, Đà Nẵng", ["smorrebrod", "lodz", "da nang"], ["smrrebrd"]),
        ("Œuvre complète, Æsir, Þór", ["oeuvre", "aesir", "thor", "œuvre"], ["uvre"]),
        ("ﬁne ﬂow of oﬃces", ["fine", "flow", "offices"], ["ﬁ", "ne"]),
        ("Tiếng Việt rất đẹp", ["tieng viet", "đẹp", "dep", '"tiếng việt"'], ["viets"]),
        ("Silben\u00adtrennung", ["silbentrennung", "Silben\u00adtrennung"], ["silben"]),
        ("don\u2019t panic", ["don't", "don\u2019t"], ["do", "dont"]),
    ],
    "turkish": [
        ("İstanbul'da yağmur", ["istanbul", "ISTANBUL", "İSTANBUL", "yagmur"], ["stanbul"]),
        ("Isparta ve ılık IŞIK", ["ısparta", "isparta", "ilik", "ışık", "isik"], ["lık"]),
    ],
    "greek": [
        ("ΟΔΥΣΣΕΥΣ και Πηνελόπη", ["οδυσσευς", "Οδυσσεύς", "πηνελοπη"], ["οδυσσ", "πηνελ"]),
        ("ο λόγος", ["λογος", "ΛΟΓΟΣ", "λόγοσ"], ["λογου"]),
    ],
    "cyrillic": [
        ("Ёлка и ёжик", ["елка", "ЁЛКА", "ежик"], ["ел", "ёж"]),
        ("мой дом", ["мой", "МОЙ", "дом"], ["мои", "до"]),
        ("Київ і їжак", ["київ", "КИЇВ", "їжак"], ["киів", "іжак"]),
        ("за\u0301мок", ["замок"], ["замки"]),
    ],
    "armenian": [("Բարեւ աշխարհ", ["բարեւ", "բարև", "ԱՇԽԱՐՀ"], ["բար", "աշխար"])],
    "georgian": [("გამარჯობა მსოფლიო", ["გამარჯობა", "ᲒᲐᲛᲐᲠᲯᲝᲑᲐ"], ["გამარ", "მსოფლიოს"])],
    "hebrew": [
        ("שָׁלוֹם עולם", ["שלום", "שָׁלוֹם", "עולם"], ["שלומ", "עול"]),
        ("צה״ל בן־גוריון", ['צה"ל', "צה״ל", "גוריון", "בן-גוריון"], ["צהל", "גור"]),
    ],
    "arabic": [
        ("كِتَابٌ جميل", ["كتاب", "كِتَاب", "جميل"], ["كتب", "جمي"]),
        ("مـــرحبا بكم", ["مرحبا", "مرحـبا"], ["مرحب"]),
        ("أحمد إلى آخر", ["احمد", "أحمد", "الى", "اخر"], ["حمد"]),
        ("مدرسة ومستشفى", ["مدرسه", "مدرسة", "ومستشفي"], ["مدرس"]),
        ("سنة ٢٠٢٤", ["2024", "٢٠٢٤", "سنة"], ["2025", "٢٠٢"]),
        ("می\u200cخواهم کتاب", ["می\u200cخواهم", "كتاب", "میخواهم"], ["خواهم"]),
    ],
    "devanagari": [
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"], ["नमस", "दुन"]),
        ("हिन्दी में ज़रूर लिखो", ["हिन्दी", "जरूर", "ज़रूर", '"हिन्दी में"'], ["हिन्द", "जरा"]),
        ("वर्ष २०२४", ["2024", "२०२४"], ["वर"]),
    ],
    "bengali": [("বাংলা ভাষা", ["বাংলা", "ভাষা"], ["বাং", "ভাষ"])],
    "tamil": [("தமிழ் மொழி", ["தமிழ்", "மொழி"], ["தமி", "மொழ"])],
    "chinese": [
        (
            "我喜欢中国菜和日本料理",
            ["中", "中国", "中国菜", "日本料理", "喜欢 料理", '"中国菜"', "我喜欢中国菜和日本料理"],
            ["菜日", "国中", "中国人", "美", "中国料理"],
        ),
        ("我用Python写go语言教程", ["python", "go", "Go语言", "写go", '"go"'], ["pyth", "用go"]),
        ("葛\U000e0100城市，２０２４年", ["葛城", "葛\U000e0100城", "2024", "2024年"], ["2023年"]),
        ("版本 3.14发布", ["3.14", "发布", "3.14发布"], ["4.13", "发行"]),
    ],
    "japanese": [
        (
            "東京タワーへ行きました",
            ["東京", "タワー", "行き", "ﾀﾜｰ", "東京タワー"],
            ["京都", "たわー"],
        ),
        ("ｶﾞﾗｽとパンフレット", ["ガラス", "ｶﾞﾗｽ", "ハ\u309aンフレット"], ["カラス", "ハン"]),
        ("人々の心・ラーメン", ["人々", "ラーメン", "心"], ["人人", "心ラ"]),
    ],
    "korean": [
        ("안녕하세요 세계", ["안녕", "세계", "하세요", "안"], ["안하", "계세", "녕안"]),
        ("\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165", ["한국어", "한국"], ["한자", "국한"]),
    ],
    "thai": [
        ("ฉันกินข้าวแล้วที่บ้าน", ["ข้าว", "กินข้าว", "บ้าน", '"แล้วที่"'], ["ที", "ข้าวผัด", "บาน"]),
        ("ทำงานปี๒๕๖๗", ["ทำงาน", "2567", "๒๕๖๗"], ["งานทำ", "256"]),
    ],
    "lao": [("ຂ້ອຍຮັກປະເທດລາວ", ["ປະເທດ", "ລາວ", "ຮັກ"], ["ລາວຮັກ", "ໄທ"])],
    "khmer": [("ខ្ញុំស្រឡាញ់ភាសាខ្មែរ", ["ភាសា", "ខ្មែរ"], ["ខ្មែរភាសា", "ថៃ"])],
    "burmese": [("မြန်မာဘာသာ", ["မြန်မာ", "ဘာသာ"], ["ဘာသာမြန်"])],
    "emoji": [
        ("I ❤️ this 🎉🎉", ["❤", "❤️", "🎉", "🎉🎉", '"this 🎉"'], ["🎈", "🎉🎉🎉", "💔"]),
        ("well done👍🏽!", ["👍", "👍🏽", "👍🏿", "done", "done👍"], ["👎"]),
        ("our 👨‍👩‍👧 family", ["👨‍👩‍👧", "👩", "👧", '"our 👨‍👩‍👧"'], ["👦", "👨‍👩‍👦", "👨👩"]),
        ("from 🇩🇪🇫🇷 with love", ["🇩🇪", "🇫🇷"], ["🇪🇫", "🇮🇹"]),
    ],
    "code": [
        ("call snake_case_name()", ["snake_case_name", "snake", "SNAKE_CASE_NAME"], ["snak"]),
        ("new XMLHttpRequest", ["xmlhttprequest", "http", "XML", "XMLHttpRequest"], ["mlh", "htt"]),
        ("rawHeaderValue = 1", ["rawHeaderValue", "header", "raw value"], ["head", "raw_header"]),
        ("import os.path.join", ["os.path", "os.path.join", "path"], ["path.os", "os.join"]),
        ("I like C++ and C#", ["C++", "c#", "c", '"like C++"'], ["C+++d", "F#", '"like C"']),
        ("a plain C compiler", ["c", "C", '"plain c"'], ["c++", "c#"]),
        ("for (i = 0; i++)", ["i++", "i"], ["j++", "ii"]),
        ("released v1.2.3 today", ["v1.2.3", "2.3"], ["v1.3.2", "v1.2.30", "1.2"]),
        ("see /usr/local/bin/python3", ["/usr/local", "local/bin", "python3"], ["usr/bin"]),
        ("C:\\Users\\ann\\x.txt", ["users\\ann", "x.txt", "ann"], ["ann\\users"]),
        ("https://example.com/a/b?c=d#e", ["example.com", "https://example.com/a", "c=d"], ["d=c"]),
        ("mail ann.lee@example.org", ["ann.lee@example.org", "example.org"], ["bob@example.org"]),
        ("commit 9f86d081884c", ["9f86d081884c", "9F86D081884C", "9f86*"], ["9f86", "d081"]),
        ("use --dry-run=true", ["dry-run", "dry-run=true"], ["run-dry"]),
        (
            "__init__ of kebab-case",
            ["__init__", "init", "kebab-case"],
            ["case-kebab", "kebab_case"],
        ),
    ],
}
ROWS = [
    pytest.param(text, query, expected, id=f"{script}-{query!a}-{ascii(text)[:20]}")
    for script, texts in TABLE.items()
    for text, finds, misses in texts
    for expected, queries in ((1, finds), (0, misses))
    for query in queries
]


def test_the_table_is_large_enough_and_a_third_of_it_must_not_match():
    missing = [row for row in ROWS if row.values[2] == 0]
    assert len(TABLE) >= 14
    assert len(ROWS) >= 180
    assert len(missing) * 3 >= len(ROWS)


@pytest.mark.parametrize(("text", "query", "expected"), ROWS)
def test_a_text_is_found_as_people_expect(alice, talk, text, query, expected):
    talk(f"- {text}.", title="x")
    for sort in ("newest", "relevance"):
        hits = search(alice, query, sort=sort).hits
        assert len(hits) == expected
        assert all(hit.highlights for hit in hits)
