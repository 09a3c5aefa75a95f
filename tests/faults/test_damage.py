"""A damaged chain is refused by name; ``python -m tests.faults.damage`` goes through all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User

from tests.faults import damage


@pytest.mark.django_db(transaction=True)
def test_every_way_is_refused_and_nothing_changes(alice: User, tmp_path: Path, settings) -> None:
    settings.CHATHISTORY_HOME = tmp_path
    lines = list(damage.damage(tmp_path, alice, every=211, commands=5))
    assert len(lines) == 8
