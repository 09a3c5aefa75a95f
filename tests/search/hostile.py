"""Random and hostile queries: ``python -m tests.search.hostile N`` reads so many.

Each is read, and then again from its own text, or refused with InvalidQuery at a character of it.
"""

from __future__ import annotations

import random
import sys

from chathistory.exceptions import InvalidQuery
from chathistory.search.query import parse
from chathistory.search.tree import Node

#: What queries are made of, and what other languages are.
PIECES = [
    *("a", "fox", "Löwe", "中国", "foo_bar", "don't", "http://a.b/c?d=e#f", "C++", "v1.2.3"),
    *(" ", "  ", "\n", "\t", "\x1c", "\u00a0", "\u2028", "\u200b", "\ufeff", "", "\u00ad"),
    *('"', '""', "'", "(", ")", "()", "((((", "))))", "-", "--", "*", "**", ":", "=", "^", "~"),
    *(" OR ", "OR", "or", " AND ", " NOT ", "NEAR(", "OR(", ")OR", " OR OR ", "-OR"),
    *("role:", "role:user", "tag:", 'tag:"', "meta:", "meta:k=", 'meta:"k"=', "k=v", "=v"),
    *("before:", "after:2026", "on:2026-13", "on:0001-01-01", "on:9999-12-31", "is:", "is:pinned"),
    *("in:title", "has:code", "state:deleted", "state:idle", "session:", "workflow:tutor"),
    *("session:00000000-0000-0000-0000-000000000007", "content:", "rowid:1", "{t}:"),
    *("\0", "\ud800", "\udfff", "\u0301", "\u202e", "½", "ﷺ", "ß", "İ", "ﬁ", "🎉", "ー", "々", "ﾞ"),
    *("'; DROP TABLE chathistory_message; --", "%s", "%", "\\", "{}", "<script>", "${x}", "x" * 99),
]


def read(query: str) -> Node | None:
    """Return a query's tree, read from its own text too; None where it is refused as it should."""
    tree, refused = None, None
    try:
        tree = parse(query)
    except InvalidQuery as error:
        refused = error
    assert refused is None or 0 <= refused.position <= len(query), query
    if tree is None:
        return None
    assert parse(str(tree)) == tree, query
    return tree


def attack(count: int, seed: int) -> tuple[int, int]:
    """Read ``count`` queries; return how many were read and how many refused."""
    dice = random.Random(seed)
    refused = sum(read(_query(dice)) is None for _ in range(count))
    return count - refused, refused


def _query(dice: random.Random) -> str:
    length = dice.choice((1, 3, 8, 8, 20, 200))
    if dice.random() < 0.2:
        return "".join(chr(dice.randrange(0x110000)) for _ in range(length))
    made = [dice.choice(PIECES) for _ in range(length)]
    return ("" if dice.random() < 0.5 else " ").join(made)


if __name__ == "__main__":
    print("{:,} read, {:,} refused".format(*attack(int(sys.argv[1]), seed=7)))
