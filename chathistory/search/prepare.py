"""What can be done to a message before it is written, and needs neither rows nor Django.

A large import does it in a process of its own, so that the writer never waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from chathistory import crypto

from .tokens import Keyed

#: Codec and packed body, then the tokens by spaces.
Prepared = tuple[int, bytes, str]

_keyed = lru_cache(maxsize=1)(Keyed)


def prepare(key: bytes, bodies: Sequence[bytes], texts: Sequence[str]) -> list[Prepared]:
    """Return each body packed, and the tokens of its text under an owner's search key.

    An empty text is one that is not to be found.
    """
    keyed = _keyed(key)
    return [
        (*crypto.pack(body), keyed.of_text(text)) for body, text in zip(bodies, texts, strict=True)
    ]
