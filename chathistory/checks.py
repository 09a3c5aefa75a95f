"""System checks: what is wrong with a site's settings, each with an id and a hint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings as host
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connections, router
from django_cryptography.fields import EncryptedMixin

from chathistory import keyring, workflows
from chathistory.conf import settings
from chathistory.exceptions import MasterKeyError
from chathistory.models import Message
from chathistory.search.base import BACKENDS

_LOOPBACK = {"localhost", "127.0.0.1", "[::1]", "::1", ".localhost"}
_POSITIVE = (
    *("MAX_MESSAGE_LENGTH", "MAX_MESSAGES_PER_SESSION", "MAX_TITLE_LENGTH", "MAX_METADATA_BYTES"),
    *("MAX_TAG_LENGTH", "MAX_TAGS", "MAX_BULK", "MAX_JOBS", "MAX_IMPORT_BYTES", "SEARCH_BUDGET"),
    *("MAX_STREAMS", "MAX_UPLOAD_BYTES", "JOB_LEASE", "SEARCH_MEMORY"),
)


@register(Tags.security)
def demo_stays_at_home(**_kwargs: Any) -> list[CheckMessage]:
    """Signing in without a password is for one's own machine."""
    if not settings.DEMO:
        return []
    if host.DEBUG and host.ALLOWED_HOSTS and set(host.ALLOWED_HOSTS) <= _LOOPBACK:
        return []
    return [
        Error(
            "CHATHISTORY_DEMO lets anybody in who reaches this site.",
            hint="Set CHATHISTORY_DEMO to False, or DEBUG on and ALLOWED_HOSTS to loopback only.",
            id="chathistory.E001",
        )
    ]


@register()
def limits_are_numbers(**_kwargs: Any) -> list[CheckMessage]:
    """A limit is a whole number above 0."""
    return [
        Error(
            f"CHATHISTORY_{name} is {value!r}.",
            hint="Set it to a whole number above 0, or leave it out.",
            id="chathistory.E002",
        )
        for name in _POSITIVE
        if not isinstance(value := getattr(settings, name), int) or value < 1
    ]


@register()
def fonts_are_folders(**_kwargs: Any) -> list[CheckMessage]:
    """The fonts of PDFs lie in folders that are there."""
    given = settings.PDF_FONT_PATHS
    is_list = isinstance(given, list | tuple)
    wrong = [path for path in given if not Path(path).is_dir()] if is_list else [given]
    return [
        Error(
            f"CHATHISTORY_PDF_FONT_PATHS: {path!r} is no folder.",
            hint="List folders with fonts, or leave it out: the extra pdf brings fonts.",
            id="chathistory.E007",
        )
        for path in wrong
    ]


@register()
def workflows_are_whole(**_kwargs: Any) -> list[CheckMessage]:
    """Each workflow has a label and, if any, a responder that can be loaded."""
    found: list[CheckMessage] = []
    for name, fields in settings.WORKFLOWS.items():
        try:
            workflow = workflows.Workflow(name=name, **fields)
            if workflow.responder:
                workflow.load()
        except (TypeError, ImportError) as error:
            hint = "Give it label, icon, description and responder, a dotted path."
            found.append(Warning(f"Workflow {name!r}: {error}.", hint=hint, id="chathistory.W004"))
    return found


@register()
def cache_is_there(**_kwargs: Any) -> list[CheckMessage]:
    """The cache that opened pages are kept in is one of Django's."""
    if not settings.CACHE or settings.CACHE in host.CACHES:
        return []
    return [
        Error(
            f"CHATHISTORY_CACHE is {settings.CACHE!r}, which CACHES does not name.",
            hint=f"One of: {', '.join(host.CACHES)}; or leave it empty.",
            id="chathistory.E005",
        )
    ]


@register(Tags.security)
def search_backend_is_known(**_kwargs: Any) -> list[CheckMessage]:
    """Search looks in a place that there is."""
    if settings.SEARCH_BACKEND in BACKENDS:
        return []
    return [
        Error(
            f"CHATHISTORY_SEARCH_BACKEND is {settings.SEARCH_BACKEND!r}.",
            hint=f"One of: {', '.join(BACKENDS)}; after a change run `manage.py migrate`.",
            id="chathistory.E006",
        )
    ]


@register(Tags.models)
def no_bare_encrypt(
    app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """``encrypt()`` pickles, and signs with SECRET_KEY: our rows must never use it."""
    return [
        Error(
            f"{model.__name__}.{field.name} uses django_cryptography's encrypt().",
            hint="Use chathistory.fields.SealedField.",
            id="chathistory.E003",
        )
        for model in apps.get_app_config("chathistory").get_models()
        for field in model._meta.get_fields()
        if isinstance(field, EncryptedMixin)
    ]


@register(Tags.database)
def database_keeps_promises(
    databases: Sequence[str] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """SQLite needs the settings that our promises were measured with."""
    alias = router.db_for_write(Message)
    if alias not in (databases or ()):
        return []
    link = connections[alias]
    found: list[CheckMessage] = []
    if link.settings_dict.get("ATOMIC_REQUESTS"):
        hint = "Turn it off: an answer streams for seconds, and would hold the write lock."
        found.append(Warning("ATOMIC_REQUESTS is on.", hint=hint, id="chathistory.W001"))
    if link.vendor == "sqlite":
        found += _sqlite(link)
    return found + _master_key(alias)


def _sqlite(link: Any) -> list[CheckMessage]:
    with link.cursor() as cursor:
        has = {name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in _PRAGMAS}
    lacking = [
        f"{name} is {has[name]}, not {want}" for name, want in _PRAGMAS.items() if has[name] != want
    ]
    if link.transaction_mode != "IMMEDIATE":
        lacking.append(f"transaction_mode is {link.transaction_mode}, not IMMEDIATE")
    if link.settings_dict["OPTIONS"].get("timeout", 5) < 20:
        lacking.append("timeout is under 20 seconds")
    hint = "See README: the settings of SQLite that nothing is lost or locked with."
    return [Warning(f"SQLite: {one}.", hint=hint, id="chathistory.W002") for one in lacking]


_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "temp_store": 2}


def _master_key(alias: str) -> list[CheckMessage]:
    table = "chathistory_datakey"
    try:
        if table in connections[alias].introspection.table_names():
            keyring.verify_master()
    except MasterKeyError as error:
        hint = "Put the key back: without it nothing opens, and nothing may be written."
        return [Error(str(error), hint=hint, id="chathistory.E004")]
    except DatabaseError as error:
        return [Warning(f"The keys could not be checked: {error}.", id="chathistory.W003")]
    return []
