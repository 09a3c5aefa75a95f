"""What a search costs tells nothing of what strangers own: the work is counted, not timed.

On SQLite every step of its machine is counted, on PostgreSQL every row that it fetches; and on
both the statements and the messages opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from chathistory.actions import sessions
from chathistory.search.asked import Asked
from chathistory.search.find import search
from chathistory.search.generations import TABLE

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("emptied", "backend")]

QUERIES = [
    *("zebra", "lion", "the", '"the zebra"', "zebra -lion", "zebra OR lion", "zeb*", "nowhere"),
    *("role:user", "zebra on:2026", "after:2000", "is:pinned", "tag:work", "meta:key=value"),
    *("has:code", "in:title zebra", "workflow:tutor", "-zebra role:user"),
]
if connection.vendor == "sqlite":  # PostgreSQL walks a small table of sessions for it
    QUERIES.append("is:shared")
OPTIONS: list[dict[str, Any]] = [{"group": "session", "facets": True}, {"sort": "relevance"}]
_FETCHED = """
SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_xact_user_tables
WHERE relname LIKE 'chathistory%'
"""


class Work:
    """What was done: steps of the database or rows fetched, statements, messages opened."""

    def __init__(self) -> None:
        self.steps = self.statements = self.opened = 0

    def told(self) -> tuple[int, int, int]:
        return self.steps, self.statements, self.opened


@contextmanager
def counted(work: Work) -> Iterator[None]:
    connection.ensure_connection()
    with CaptureQueriesContext(connection) as queries, _steps(work):
        yield
    work.statements = len(queries)


@contextmanager
def _steps(work: Work) -> Iterator[None]:
    if connection.vendor == "postgresql":
        before = _fetched()
        yield
        work.steps = _fetched() - before
        return

    def step() -> int:
        work.steps += 1
        return 0

    connection.connection.set_progress_handler(step, 1)
    try:
        yield
    finally:
        connection.connection.set_progress_handler(None, 1)


def _fetched() -> int:
    with connection.cursor() as cursor:
        cursor.execute(_FETCHED)
        return int(cursor.fetchone()[0])


def settle() -> None:
    """Let the database read by its indexes, as it does where there is much, whatever it holds."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for other in ("seqscan", "hashjoin", "mergejoin"):
                cursor.execute(f"SET LOCAL enable_{other} = off")
            cursor.execute("SET LOCAL jit = off")  # it takes what that makes dear for large
            cursor.execute("SELECT gin_clean_pending_list('chathistory_index_t')")
            return
        for table in ("chathistory_fts", "chathistory_fts_title"):
            cursor.execute(f"INSERT INTO {table}({table}) VALUES ('optimize')")  # noqa: S608


@pytest.fixture
def emptied(db: None) -> None:
    """Tables without what other tests left: PostgreSQL plans by dead rows and by counts, too.

    Until the test ends nobody else counts them either.
    """
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor)
        own = [name for name in names if name.startswith("chathistory_") and name != TABLE]
        cursor.execute(f"TRUNCATE {', '.join(own)} CASCADE")


@pytest.fixture
def measure(monkeypatch: Any) -> Callable[[Any], dict[str, tuple[int, int, int]]]:
    """Do every query and say what each took."""
    opened = Asked._open
    done: list[Any] = []

    def noted(*args: Any) -> Any:
        done.append(args)
        return opened(*args)

    monkeypatch.setattr(Asked, "_open", noted)

    def run(user: Any) -> dict[str, tuple[int, int, int]]:
        settle()
        found = {}
        for query in QUERIES:
            for more in OPTIONS:
                search(user, query, **more)  # keys are read once
                done.clear()
                work = Work()
                with counted(work), transaction.atomic():
                    search(user, query, **more)
                work.opened = len(done)
                found[f"{query} {more}"] = work.told()
        return found

    return run


def fill(talk: Any, user: Any, count: int) -> None:
    for number in range(count):
        more = {"title": f"the zebra {number}", "metadata": {"key": "value"}}
        session = talk("the zebra", "a lion and the zebra ```code```", user=user, **more)
        sessions.change(session, user, tags=["work"], pinned=True)


def test_it_is_the_same_whatever_strangers_own(alice, charlie, talk, measure):
    fill(talk, charlie, 3)
    fill(talk, alice, 1)
    before = measure(charlie)
    fill(talk, alice, 12)
    after = measure(charlie)
    assert after == before
    assert sum(opened for _, _, opened in after.values())


def test_it_is_the_same_for_who_owns_nothing(alice, charlie, talk, measure):
    fill(talk, alice, 1)
    before = measure(charlie)
    fill(talk, alice, 12)
    after = measure(charlie)
    assert after == before
    assert not any(opened for _, _, opened in after.values())


def test_it_is_the_same_whatever_else_is_owned_by_whom_one_may_read(
    alice, charlie, talk, invite, measure, backend
):
    """Beyond the grant: by the index's own postings of the owner, which the threat model names."""
    if backend == "memory":
        pytest.skip("an owner's index is made of all that is theirs")
    invite(talk("the heron"), charlie)
    before = {q: told for q, told in measure(charlie).items() if q.startswith(("role", "nowhere"))}
    fill(talk, alice, 12)
    after = {q: told for q, told in measure(charlie).items() if q in before}
    assert {q: told[1:] for q, told in after.items()} == {q: t[1:] for q, t in before.items()}
