"""What a query finds: words, phrases, what must not be there, newest first or best first."""

from __future__ import annotations

import pytest

from chathistory import records
from chathistory.search.find import search
from tests.search import brute

pytestmark = pytest.mark.usefixtures("backend")

SAID = (
    "The quick brown fox jumps over the lazy dog",
    "A fox is quick, and brown too",
    "Café au lait, s'il vous plaît; naïve résumé",
    "我喜欢中国菜和日本料理",
    "def parse_http_header(rawHeaderValue): return XMLHttpRequest",
    "Don't panic: e.g. run `foo-bar --baz=1` at 3.14%",
    "Foo™ Bar costs 20℃ № 5 … and 5€",
    "Straße, ΣΊΣΥΦΟΣ and İstanbul; ﬁne ﬂow",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0434\u043e\u043c \u05e9\u05dc\u05d5\u05dd 안녕하세요",
    "the the the fox",
    "snake_case_name and kebab-case-name and path/to/file.py",
    "x" * 300 + " tail",
)
FINDS = {
    "fox": 3,
    "FOX": 3,
    "quick brown": 2,
    '"quick brown"': 1,
    "fox -lazy": 2,
    'fox -"quick brown"': 2,
    "cafe": 1,
    "CAFÉ": 1,
    "cafe\u0301": 1,
    "plait naive": 1,
    "中国": 1,
    "国": 1,
    "中国菜": 1,
    "菜日": 0,
    "日本料理 喜欢": 1,
    "fox -中国": 3,
    "header": 1,
    "http": 1,
    "xmlhttprequest": 1,
    "rawHeaderValue": 1,
    "parse_http_header": 1,
    "don't": 1,
    "foo-bar": 2,
    "foo -bar": 0,
    '"Foo Bar"': 2,
    "3.14": 1,
    "strasse": 1,
    "σίσυφος": 1,
    "istanbul": 1,
    "fine flow": 1,
    "नमस्ते": 1,
    "안녕": 1,
    "case -kebab": 0,
    "file.py": 1,
    '"№ 5"': 1,
    "x" * 300: 1,
    "nothing": 0,
    "fo": 0,
}


@pytest.fixture
def chats(talk) -> None:
    for at in range(0, len(SAID), 4):
        talk(*SAID[at : at + 4], title=f"Chat {at}")


@pytest.mark.usefixtures("chats")
@pytest.mark.parametrize(("query", "count"), FINDS.items())
def test_a_query_finds_what_it_should(alice, query, count):
    hits = search(alice, query).hits
    assert [hit.message.place for hit in hits] == sorted(
        (hit.message.place for hit in hits), reverse=True
    )
    assert len(hits) == count


@pytest.mark.usefixtures("chats")
@pytest.mark.parametrize("said", SAID)
def test_every_text_is_found_by_itself_and_by_each_of_its_words(alice, said):
    for query in (f'"{said}"', *said.replace("--", "").split()):
        if any(character.isalnum() for character in query):
            texts = [
                records.open_body(hit.message, hit.session).content
                for hit in search(alice, query.lstrip("-")).hits
            ]
            assert said in texts


@pytest.mark.usefixtures("chats")
@pytest.mark.parametrize("query", [query for query in FINDS if query.isascii()])
def test_it_finds_what_a_scan_of_the_opened_texts_finds(alice, query):
    assert [hit.message.uuid for hit in search(alice, query).hits] == brute.found(alice, query)


def test_what_holds_more_of_it_is_ranked_first(alice, talk):
    talk("fox " * 8, "one fox among very many other words " + "filler " * 60, "a fox, a quick fox")
    best = search(alice, "quick fox", sort="relevance").hits
    assert [hit.message.seq for hit in best] == [3]
    ranked = search(alice, "fox", sort="relevance").hits
    assert [hit.message.seq for hit in ranked] == [1, 3, 2]
    assert [hit.score for hit in ranked] == sorted((h.score for h in ranked), reverse=True)


def test_a_rare_word_weighs_more_than_a_common_one(alice, talk):
    for _ in range(30):
        talk("the goat")
    talk("lion lion lion lion lion and the")
    talk("the the the the the and lion")
    best = search(alice, "the lion", sort="relevance").hits[0]
    said = records.open_body(best.message, best.session).content
    assert said == "lion lion lion lion lion and the"


def test_titles_are_found_too(alice, talk):
    named, other = talk("nothing", title="Zebra crossing"), talk("zebra")
    answer = search(alice, "zebra")
    assert {row.uuid for row in answer.titles} == {named.uuid, other.uuid}
    assert [row.uuid for row in search(alice, '"zebra crossing"').titles] == [named.uuid]
    assert [row.uuid for row in search(alice, "zebra -crossing").titles] == [other.uuid]
