"""The Django admin: every row to look at, none to change.

What people wrote shows only with ``chathistory.read_content``, opened, in the detail view.
Lists read no sealed column and count no further than they page.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import ForeignKey, QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from . import policy, records
from .actions import accounts, backup, jobs, retention
from .exceptions import ChatHistoryError
from .fields import SealedField
from .forms import PolicyForm
from .models import (
    Account,
    Backup,
    Change,
    DataKey,
    Job,
    Lease,
    Message,
    RetentionPolicy,
    Revision,
    Session,
    Share,
    Tag,
    Token,
)

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Any]
    _Pages = Paginator[Any]
else:
    _Admin = admin.ModelAdmin
    _Pages = Paginator

READ_CONTENT = "chathistory.read_content"
_COUNTED = 10_000


class BoundedPaginator(_Pages):
    """Counts only as far as the admin pages."""

    @cached_property
    def count(self) -> int:
        """Return how many rows there are, at most 10,000."""
        rows = self.object_list
        return rows[:_COUNTED].count() if isinstance(rows, QuerySet) else len(rows)


class ReadOnlyAdmin(_Admin):
    """Rows to look at. ``secrets`` never show; ``content`` needs the permission."""

    #: Columns besides the sealed ones that no one is shown.
    secrets: ClassVar[tuple[str, ...]] = ()
    #: Methods that open what a person wrote.
    content: ClassVar[tuple[str, ...]] = ()
    #: Foreign keys that lists show and methods follow.
    related: ClassVar[tuple[str, ...]] = ("account",)

    actions: Any = None
    ordering = ("-pk",)
    sortable_by = ()
    list_per_page = 50
    show_full_result_count = False
    paginator = BoundedPaginator

    class Media:
        css: ClassVar = {"all": ["chathistory/css/admin.css"]}

    @admin.display(description=_("owner"))
    def owner(self, row: Any) -> str:
        """Return whose row it is, by name where the user is there."""
        account = row.account
        return "" if account is None else str(account.user or account)

    def has_add_permission(self, request: HttpRequest, *_args: Any) -> bool:
        """Refuse: rows are born in verbs."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: rows change in verbs."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: rows go in verbs."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return rows with what is shown of their neighbours, and nothing sealed."""
        users = ["account__user"] if "account" in self.related else []
        rows = super().get_queryset(request).select_related(*self.related, *users)
        return rows.defer(*_sealed(self.model), *self._sealed_neighbours())

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find a row by its whole uuid; that is what the search box takes."""
        if not search_term:
            return queryset, False
        try:
            return queryset.filter(uuid=UUID(search_term.strip())), False
        except ValueError:
            return queryset.none(), False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return the plain columns, and the opened ones for whoever may read them."""
        hidden = {"id", *self.secrets}
        plain = [
            field.name
            for field in self.model._meta.fields
            if field.name not in hidden and not isinstance(field, SealedField)
        ]
        may_read = request.user.has_perm(READ_CONTENT)
        return [*plain, *(self.content if may_read else ())]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return all that is shown."""
        return self.get_fields(request, obj)

    def _sealed_neighbours(self) -> list[str]:
        keys = [self.model._meta.get_field(name) for name in self.related]
        return [
            f"{key.name}__{name}"
            for key in keys
            if isinstance(key, ForeignKey)
            for name in _sealed(key.related_model)
        ]


def _sealed(model: Any) -> list[str]:
    return [field.name for field in model._meta.fields if isinstance(field, SealedField)]


def _opened(read: Callable[..., Any], *rows: Any) -> str:
    """Return what ``read`` opens as text, or why it does not open."""
    try:
        found = read(*rows)
    except ChatHistoryError as error:
        return f"[{error.code}] {error}"
    if isinstance(found, str):
        return found
    return "" if found is None else json.dumps(found, ensure_ascii=False, indent=2, default=str)


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """Owners."""

    related = ("user",)
    list_display = ("uuid", "user", "seq", "at", "created_at")
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
        return _opened(records.title_of, session)

    @admin.display(description=_("preview"))
    def opened_preview(self, session: Session) -> str:
        """Return the line under the title."""
        return _opened(records.preview_of, session)

    @admin.display(description=_("metadata"))
    def opened_metadata(self, session: Session) -> str:
        """Return the metadata as JSON."""
        return _opened(records.metadata_of, session)

    @admin.display(description=_("tags"))
    def opened_tags(self, session: Session) -> str:
        """Return the names of the tags."""
        tags = session.tags.all()
        return ", ".join(_opened(records.tag_name, tag, session.account) for tag in tags)


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
        return _opened(lambda: _body(message).content)

    @admin.display(description=_("blocks, metadata and raw item"))
    def opened_rest(self, message: Message) -> str:
        """Return what else came with the text, as JSON."""

        def rest() -> dict[str, Any]:
            body = _body(message)
            return {"blocks": body.blocks, "metadata": body.metadata, "raw": body.raw}

        return _opened(rest)


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
        return _opened(lambda: records.open_revision(revision, revision.message.session).content)


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin):
    """The journal."""

    content = ("opened_before",)
    related = ("account", "actor")
    list_display = ("seq", "owner", "at", "actor", "op", "table", "row")

    @admin.display(description=_("what it replaced"))
    def opened_before(self, change: Change) -> str:
        """Return the fields before the change, as JSON."""
        return _opened(_before, change)


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
        return _opened(records.tag_name, tag, tag.account)


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


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Long work."""

    content = ("opened_arguments", "opened_result")
    list_display = ("uuid", "owner", "kind", "state", "shown_progress", "attempts", "created_at")
    list_filter = ("state", "kind")
    search_fields = ("uuid",)

    @admin.display(description=_("progress"))
    def shown_progress(self, job: Job) -> str:
        """Return a bar, or how much was done where nobody knows of how much."""
        if not job.total:
            return f"{job.progress:,}"
        bar = '<progress value="{}" max="{}"></progress> {} %'
        return format_html(bar, job.progress, job.total, 100 * job.progress // job.total)

    @admin.display(description=_("arguments"))
    def opened_arguments(self, job: Job) -> str:
        """Return the arguments as JSON."""
        return _opened(records.open_job, job, "arguments")

    @admin.display(description=_("result"))
    def opened_result(self, job: Job) -> str:
        """Return the result or error as JSON."""
        return _opened(records.open_job, job, "result")


@admin.register(Lease)
class LeaseAdmin(ReadOnlyAdmin):
    """Who alone does something, and until when."""

    related = ()
    list_display = ("name", "holder", "until")


@admin.register(Token)
class TokenAdmin(ReadOnlyAdmin):
    """API tokens; of the secret not even the hash."""

    secrets = ("digest",)
    list_display = ("uuid", "owner", "scopes", "created_at", "expires_at", "revoked_at")
    search_fields = ("uuid",)


@admin.register(RetentionPolicy)
class RetentionPolicyAdmin(ReadOnlyAdmin):
    """How long what is kept. A tag's policy is its owner's: to look at only."""

    form = PolicyForm
    related = ("account", "tag")
    list_display = (
        *("uuid", "workflow", "account", "tag", "idle_after", "archive_after", "delete_after"),
        *("trash_for", "pinned_too", "confirmed"),
    )
    search_fields = ("uuid",)

    def has_add_permission(self, request: HttpRequest, *_args: Any) -> bool:
        """Let in whoever may set policies."""
        return request.user.has_perm(retention.PERMISSION)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let in whoever may set policies."""
        tagged = obj is not None and obj.tag_id is not None
        return not tagged and request.user.has_perm(retention.PERMISSION)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return the form's fields, or all columns to whoever may only look."""
        may_set = self.has_change_permission(request, obj)
        return list(PolicyForm.base_fields) if may_set else super().get_fields(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Keep the scope of a policy that there is."""
        if not self.has_change_permission(request, obj):
            return self.get_fields(request, obj)
        return [] if obj is None else ["workflow", "account"]

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the form of whoever asks."""
        form: Any = super().get_form(request, *args, **kwargs)
        form.user = request.user
        return form

    def save_model(self, *_args: Any, **_kwargs: Any) -> None:
        """Do nothing: the form's verb has saved it."""


@admin.register(Backup)
class BackupAdmin(ReadOnlyAdmin):
    """What there is to restore from, when it was last read through and last restored."""

    actions = ("verify", "back_up_now")
    list_display = (
        *("at", "kind", "owner", "number", "megabytes", "verified_at", "drilled_at", "chain"),
    )
    list_filter = ("kind",)
    search_fields = ("uuid",)

    @admin.display(description=_("size"))
    def megabytes(self, row: Backup) -> str:
        """Return the container's size."""
        return filesizeformat(row.size)

    def has_back_up_permission(self, request: HttpRequest) -> bool:
        """Tell who may make and verify backups of the whole site."""
        return request.user.has_perm("chathistory.add_backup")

    @admin.action(description=_("Verify: read from end to end"), permissions=["back_up"])
    def verify(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        """Verify each of the chosen, and name those that are damaged."""
        for row in rows.exclude(kind=Backup.Kind.ARCHIVE):
            try:
                backup.verify(row, request.user)
            except ChatHistoryError as error:
                self.message_user(request, f"{row.name}: {error}", messages.ERROR)
            else:
                self.message_user(request, _("%s is whole.") % row.name)

    @admin.action(description=_("Back up the whole site now"), permissions=["back_up"])
    def back_up_now(self, request: HttpRequest, _rows: QuerySet[Any]) -> None:
        """Queue a full backup."""
        job = jobs.enqueue(accounts.system(), "backup.full", {})
        self.message_user(request, _("Queued as job %s.") % job.uuid)


def _body(message: Message) -> records.Body:
    return records.open_body(message, message.session)


def _before(change: Change) -> Any:
    session = None
    if change.session is not None:
        session = Session.objects.filter(uuid=change.session, account=change.account).first()
    return records.open_before(change, session)
