"""Chats in the admin: accounts, sessions, what was said, and what hangs on them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from chathistory import policy, records
from chathistory.models import (
    Account,
    Change,
    DataKey,
    Message,
    Revision,
    Session,
    Share,
    Tag,
)

from .base import ReadOnlyAdmin, opened


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """Owners."""

    related = ("user",)
    list_display = ("uuid", "user", "seq", "at", "created_at", "erase_asked_at", "erased_at")
    search_fields = ("uuid",)


@admin.register(Session)
class SessionAdmin(ReadOnlyAdmin):
    """Conversations."""

    content = ("opened_title", "opened_preview", "opened_metadata", "opened_tags")
    list_display = (
        "uuid",
        "owner",
        "workflow",
        "state",
        "message_count",
        "last_activity",
        "damaged",
    )
    list_filter = ("state",)
    search_fields = ("uuid",)

    @admin.display(description=_("title"))
    def opened_title(self, session: Session) -> str:
        """Return the title."""
        return opened(records.title_of, session)

    @admin.display(description=_("preview"))
    def opened_preview(self, session: Session) -> str:
        """Return the line under the title."""
        return opened(records.preview_of, session)

    @admin.display(description=_("metadata"))
    def opened_metadata(self, session: Session) -> str:
        """Return the metadata as JSON."""
        return opened(records.metadata_of, session)

    @admin.display(description=_("tags"))
    def opened_tags(self, session: Session) -> str:
        """Return the names of the tags."""
        tags = session.tags.all()
        return ", ".join(opened(records.tag_name, tag, session.account) for tag in tags)


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    """What was said."""

    content = ("opened_text", "opened_rest")
    related = ("account", "session")
    list_display = ("uuid", "session", "seq", "role", "status", "length", "created_at")
    search_fields = ("uuid",)

    @admin.display(description=_("text"))
    def opened_text(self, message: Message) -> str:
        """Return the text."""
        return opened(lambda: _body(message).content)

    @admin.display(description=_("blocks, metadata and raw item"))
    def opened_rest(self, message: Message) -> str:
        """Return what else came with the text, as JSON."""

        def rest() -> dict[str, Any]:
            body = _body(message)
            return {"blocks": body.blocks, "metadata": body.metadata, "raw": body.raw}

        return opened(rest)


@admin.register(Revision)
class RevisionAdmin(ReadOnlyAdmin):
    """Earlier texts."""

    content = ("opened_text",)
    related = ("account", "message")
    list_display = ("uuid", "message", "revision", "said_at", "replaced_at")
    search_fields = ("uuid",)

    @admin.display(description=_("text"))
    def opened_text(self, revision: Revision) -> str:
        """Return the text."""
        return opened(lambda: records.open_revision(revision, revision.message.session).content)


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin):
    """The journal."""

    content = ("opened_before",)
    related = ("account", "actor")
    list_display = ("seq", "owner", "at", "actor", "op", "table", "row")

    @admin.display(description=_("what it replaced"))
    def opened_before(self, change: Change) -> str:
        """Return the fields before the change, as JSON."""
        return opened(_before, change)


@admin.register(DataKey)
class DataKeyAdmin(ReadOnlyAdmin):
    """Which keys there are; never the keys."""

    related = ("account", "session")
    list_display = ("purpose", "version", "owner", "session", "created_at", "retired_at")


@admin.register(Tag)
class TagAdmin(ReadOnlyAdmin):
    """Labels."""

    secrets = ("digest",)
    content = ("opened_name",)
    list_display = ("uuid", "owner", "created_at")
    search_fields = ("uuid",)

    @admin.display(description=_("name"))
    def opened_name(self, tag: Tag) -> str:
        """Return the name."""
        return opened(records.tag_name, tag, tag.account)


@admin.register(Share)
class ShareAdmin(ReadOnlyAdmin):
    """Grants."""

    related = ("account", "session", "grantee", "group")
    list_display = ("uuid", "session", "grantee", "group", "allowed", "expires_at")
    search_fields = ("uuid",)

    @admin.display(description=_("verbs"))
    def allowed(self, share: Share) -> str:
        """Return the verbs by name."""
        return ", ".join(policy.names(share.verbs))


def _body(message: Message) -> records.Body:
    return records.open_body(message, message.session)


def _before(change: Change) -> Any:
    session = None
    if change.session is not None:
        session = Session.objects.filter(uuid=change.session, account=change.account).first()
    return records.open_before(change, session)
