"""The contract suite: what asks for ``backend`` runs with each that the database can have.

Which are three: keyed tokens at rest in SQLite or in PostgreSQL, whichever the tests run on, and
a process's own memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chathistory.search import memory
from chathistory.search.base import BACKENDS


@pytest.fixture(params=BACKENDS)
def backend(request: Any, settings: Any) -> Iterator[str]:
    """Where search looks."""
    settings.CHATHISTORY_SEARCH_BACKEND = request.param
    memory.forget()
    yield request.param
    memory.forget()
