"""Showing: the end of a long chat against a short one, a deep page of a list against the first."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from statistics import median
from typing import Any

from .site import person, site
from .table import Row, interleaved, timed

TITLE = "Showing the end of a chat, and a page of the list"
LONG, SHORT = 10_000, 50
DEPTH, PAGE = 50_000, 20
TIMES = 60  # calls of one measure in one round


def rows() -> list[Row]:
    """Return the table's rows."""
    with site():
        return [_ends(), _pages()]


def _ends() -> Row:
    from chathistory.actions import exchange  # needs the site
    from chathistory.formats.base import Transcript

    from .sharegpt import texts

    owner = person("talker")
    said = list(islice(texts(), SHORT))
    chats = [
        Transcript("bench", str(size), workflow="tutor", turns=_turns(said, size))
        for size in (LONG, SHORT)
    ]
    report = exchange.import_transcripts(owner, chats)
    read = [_reader(owner, str(outcome.session_id)) for outcome in report.outcomes]
    shown = [[message["content"] for message in one()["messages"]] for one in read]
    assert shown == [said, said], "both chats must end in the same fifty messages"
    long, short = interleaved(*[_measure(one) for one in read])
    return Row("last 50 of 10,000 / last 50 of 50", long, "ms", 1.3, short)


def _turns(said: list[str], size: int) -> list[Any]:
    from chathistory.formats.base import Turn  # needs the site

    return [
        Turn(str(n), str(n - 1) if n else None, "user", said[n % len(said)]) for n in range(size)
    ]


def _reader(owner: Any, session: str) -> Callable[[], Any]:
    """Return what the API does for one chat: sign-in excepted, all of it, JSON included."""
    from rest_framework.test import APIRequestFactory, force_authenticate  # needs the site

    from chathistory.api.sessions import SessionView

    view = SessionView.as_view()

    def read() -> Any:
        request = APIRequestFactory().get("/", headers={"accept": "application/json"})
        force_authenticate(request, owner)
        answer = view(request, session_id=session)
        answer.render()
        assert answer.status_code == 200
        return answer.data

    return read


def _pages() -> Row:
    from chathistory import listing  # needs the site
    from chathistory.actions import exchange
    from chathistory.formats.base import Transcript, Turn

    from .sharegpt import transcripts

    owner = person("collector")
    times = [chat.created for chat in islice(transcripts(), 10_000)]
    chats = [
        Transcript(
            "bench", str(n), created=times[n % 10_000], turns=[Turn("1", None, "user", "Hi")]
        )
        for n in range(DEPTH + 10 * PAGE)
    ]
    exchange.import_transcripts(owner, chats)
    seen, cursor = 0, None
    while seen < DEPTH:
        page = listing.page(owner, limit=listing.MAX_LIMIT, cursor=cursor)
        seen, cursor = seen + len(page.sessions), page.cursor
    assert cursor is not None

    def deep() -> Any:
        return listing.page(owner, limit=PAGE, cursor=cursor)

    def first() -> Any:
        return listing.page(owner, limit=PAGE)

    assert len(deep().sessions) == len(first().sessions) == PAGE
    far, near = interleaved(_measure(deep), _measure(first))
    return Row("list depth 50,000 / first page", far, "ms", 1.3, near)


def _measure(call: Callable[[], object]) -> Callable[[], float]:
    return lambda: median(timed([call] * TIMES))
