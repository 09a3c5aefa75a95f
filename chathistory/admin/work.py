"""What the site does by itself, in the admin: jobs, leases, tokens and retention."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from chathistory import records
from chathistory.actions import retention
from chathistory.models import Job, Lease, RetentionPolicy, Seeded, Token

from .base import ReadOnlyAdmin, opened
from .forms import PolicyForm


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
        return opened(records.open_job, job, "arguments")

    @admin.display(description=_("result"))
    def opened_result(self, job: Job) -> str:
        """Return the result or error as JSON."""
        return opened(records.open_job, job, "result")


@admin.register(Lease)
class LeaseAdmin(ReadOnlyAdmin):
    """Who alone does something, and until when."""

    related = ()
    list_display = ("name", "holder", "until")


@admin.register(Seeded)
class SeededAdmin(ReadOnlyAdmin):
    """Which beat entries were made, and are not made again."""

    related = ()
    list_display = ("name",)


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
        *("trash_for", "pinned_too", "confirmed", "refused_at"),
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
