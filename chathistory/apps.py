"""The app."""

from __future__ import annotations

import pkgutil
from contextlib import suppress
from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed
from django.conf import settings as host
from django.db import router
from django.db.models.signals import post_migrate, pre_delete
from django.utils.translation import gettext_lazy as _


class ChatHistoryConfig(AppConfig):
    """Chat history."""

    name = "chathistory"
    verbose_name = _("Chat history")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register what registers itself, and fill what migrations leave empty."""
        from chathistory import actions, checks  # the models must be loaded first
        from chathistory.tasks import seeds

        assert checks  # noqa: S101  (imported for what it registers)
        for module in pkgutil.iter_modules(actions.__path__):
            import_module(f"{actions.__name__}.{module.name}")
        post_migrate.connect(_make_index, sender=self)
        pre_delete.connect(_erase_person, sender=host.AUTH_USER_MODEL)
        post_migrate.connect(seeds.seed, sender=self)
        post_migrate.connect(_seed_policy, sender=self)


def _make_index(using: str, **_kwargs: Any) -> None:
    from chathistory import health
    from chathistory.exceptions import MasterKeyError
    from chathistory.models import Message  # the models must be loaded first
    from chathistory.search import upkeep
    from chathistory.search.base import index

    if router.db_for_write(Message) != using:
        return
    index().create()
    if not Message.objects.using(using).exists():
        index().clear()
    elif health.schema().ok:
        with suppress(MasterKeyError):  # the start of the site tells of it, and of what lags
            upkeep.settle()


def _seed_policy(using: str, apps: Any = installed, **_kwargs: Any) -> None:
    from chathistory.actions import retention  # the models must be loaded first
    from chathistory.models import RetentionPolicy

    there = "retentionpolicy" in apps.all_models["chathistory"]
    if there and router.db_for_write(RetentionPolicy) == using:
        retention.seed()


def _erase_person(instance: Any, **_kwargs: Any) -> None:
    from chathistory.actions import erase  # the models must be loaded first
    from chathistory.models import Account

    account = Account.objects.filter(user=instance).first()
    if account is not None:
        erase.ask(account)
