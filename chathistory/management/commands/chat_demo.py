"""`chat_demo`: the demo account and a few chats to look at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from chathistory.actions import exchange
from chathistory.conf import settings
from chathistory.formats.base import Transcript, Turn

NAME = "demo"
CHATS = Path(__file__).resolve().parent.parent / "demo"
_TURN = re.compile(r"^=== (user|assistant)( again)?\n", re.MULTILINE)
_PACE = timedelta(minutes=2)


class Command(BaseCommand):
    """Makes the account and its chats; repeated, it adds nothing."""

    help = (
        "Make the account `demo`, which has no password, and about a dozen chats in it. "
        "Repeated, it adds nothing. Example: manage.py chat_demo"
    )

    def handle(self, *_args: Any, **_options: Any) -> str:
        """Make what is missing and tell how to sign in; what was thrown away stays there."""
        chats = [transcript(path) for path in sorted(CHATS.glob("*.md"))]
        report = exchange.import_transcripts(demo_user(), chats)
        return f"The account `{NAME}` has its chats ({report.count('new')} new). {_how()}"


def _how() -> str:
    if settings.DEMO:
        return "To sign in, open /chat/ and choose “Continue as demo”."
    return f"To sign in, give it a password: manage.py changepassword {NAME}"


def demo_user() -> Any:
    """Return the demo person, made without a password when there is none."""
    people = get_user_model()._default_manager
    field = get_user_model().USERNAME_FIELD
    found = people.filter(**{field: NAME}).first()
    if found is None:
        found = get_user_model()(**{field: NAME})
        found.set_unusable_password()
        found.save()
    if found.is_active and not getattr(found, "is_staff", False):
        return found
    raise CommandError(f"There is an account `{NAME}` already, and it is no ordinary one.")


def transcript(path: Path) -> Transcript:
    """Read one chat: lines `name: value`, an empty line, then turns that begin with `===`."""
    head, _, rest = path.read_text(encoding="utf-8").partition("\n\n")
    facts = dict(line.split(": ", 1) for line in head.splitlines())
    started = _started(facts["started"])
    turns = list(_turns(rest, started))
    return Transcript(
        origin="demo",
        id=path.stem,
        where=path.name,
        title=facts.get("title"),
        workflow=facts["workflow"],
        created=started,
        updated=turns[-1].created,
        turns=turns,
        head=turns[-1].id,
        tags=facts["tags"].split(", ") if "tags" in facts else [],
        pinned=facts.get("pinned") == "yes",
    )


def _started(value: str) -> datetime:
    """Return the moment that `3 days 14:05` ago names."""
    days, _, clock = value.split()
    hour, minute = map(int, clock.split(":"))
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=int(days)) + timedelta(hours=hour, minutes=minute)


def _turns(text: str, started: datetime) -> Iterator[Turn]:
    """Yield the turns, two minutes apart; `again` answers the same question once more."""
    _, *parts = _TURN.split(text)
    parent = last = None
    for number in range(len(parts) // 3):
        role, again, content = parts[3 * number : 3 * number + 3]
        parent = parent if again else last
        last = str(number + 1)
        yield Turn(last, parent, role, content.strip(), created=started + number * _PACE)
