"""The app."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import router
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class ChatHistoryConfig(AppConfig):
    """Chat history."""

    name = "chathistory"
    verbose_name = _("Chat history")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, and make the search index wherever tables are made."""
        from chathistory import checks  # the models must be loaded first

        assert checks  # noqa: S101  (imported for what it registers)
        post_migrate.connect(_make_index, sender=self)


def _make_index(using: str, **_kwargs: Any) -> None:
    from chathistory.models import Message  # the models must be loaded first
    from chathistory.search.base import index

    if router.db_for_write(Message) != using:
        return
    index().create()
    if not Message.objects.using(using).exists():
        index().clear()
