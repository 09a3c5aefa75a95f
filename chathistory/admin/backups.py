"""Backups in the admin: what there is, making and proving more, and going back to a time."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from chathistory import ids, records
from chathistory.actions import accounts, backup, jobs, working
from chathistory.exceptions import ChatHistoryError
from chathistory.models import Backup, Job

from .base import ReadOnlyAdmin
from .forms import RestoreForm


@admin.register(Backup)
class BackupAdmin(ReadOnlyAdmin):
    """What there is to restore from, when it was last read through and last restored."""

    actions = ("verify",)
    change_list_template = "admin/chathistory/backup/change_list.html"
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

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the list, and above it what this person may do."""
        may = {"may_back_up": self.has_back_up_permission(request), "may_restore": _may(request)}
        return super().changelist_view(request, {**may, **(extra_context or {})})

    def get_urls(self) -> list[Any]:
        """Add the pages that make a backup and go back to a time."""
        site = self.admin_site.admin_view
        pages = [
            path("now/", site(require_POST(self.back_up_now)), name="chathistory_backup_now"),
            path("restore/", site(self.choose), name="chathistory_backup_restore"),
            path("restore/<uuid:job>/", site(self.follow), name="chathistory_backup_restoring"),
        ]
        return [*pages, *super().get_urls()]

    def back_up_now(self, request: HttpRequest) -> HttpResponse:
        """Queue a full backup."""
        if not self.has_back_up_permission(request):
            raise PermissionDenied
        job = jobs.enqueue(accounts.system(), "backup.full", {})
        self.message_user(request, _("Queued as job %s.") % job.uuid)
        return redirect("admin:chathistory_backup_changelist")

    def choose(self, request: HttpRequest) -> HttpResponse:
        """Ask for the time and whose chats, then queue a preview."""
        _check(request)
        form = RestoreForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            return _queue({**form.wanted(), "by": request.user.pk, "dry_run": True})
        oldest = Backup.objects.exclude(kind=Backup.Kind.ARCHIVE).order_by("at").first()
        media = self.media + form.media
        context = {"title": _("Restore to a time"), "form": form, "media": media, "oldest": oldest}
        return self._page(request, "restore", context)

    def follow(self, request: HttpRequest, job: UUID) -> HttpResponse:
        """Show what a restore would do, or how far it is; a preview can be carried out."""
        _check(request)
        row = Job.objects.filter(uuid=job, kind="restore").select_related("account").first()
        if row is None:
            raise Http404
        asked = records.open_job(row, "arguments") or {}
        may_go_on = bool(asked.get("dry_run")) and row.state == Job.State.DONE
        if request.method == "POST" and may_go_on:
            return _queue({**asked, "by": request.user.pk, "dry_run": False}, preview=row)
        if request.method == "POST":
            said = _("Only a preview that is done can be carried out.")
            self.message_user(request, said, messages.ERROR)
            return _follow(row.uuid)
        users = get_user_model()._default_manager
        is_dry, outcome = bool(asked.get("dry_run")), jobs.outcome_of(row)
        context = {
            "title": _("Preview of a restore") if is_dry else _("Restore"),
            "job": row,
            "asked": asked,
            "at": datetime.fromisoformat(asked["at"]) if asked else None,
            "person": users.filter(pk=asked.get("user") or 0).first(),
            "is_open": row.state in working.OPEN,
            "may_go_on": may_go_on,
            **outcome,
            "counts": _counts(outcome.get("result") or {}),
        }
        return self._page(request, "restoring", context)

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, f"admin/chathistory/backup/{name}.html", context)


def _may(request: HttpRequest) -> bool:
    return bool(request.user.is_active and getattr(request.user, "is_superuser", False))


def _check(request: HttpRequest) -> None:
    if not _may(request):
        raise PermissionDenied


def _queue(arguments: dict[str, Any], preview: Job | None = None) -> HttpResponse:
    """Queue a restore, and follow it; what carries out a preview is queued once."""
    uuid = ids.derived_id(preview.uuid, "restore") if preview else ids.new_id()
    with suppress(IntegrityError):  # an earlier request has queued it
        jobs.enqueue(accounts.system(), "restore", arguments, uuid=uuid)
    return _follow(uuid)


def _follow(uuid: UUID) -> HttpResponse:
    return redirect("admin:chathistory_backup_restoring", job=uuid)


def _counts(report: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Return of each table how many rows it had, and has."""
    then, now = (report.get("counts", {}).get(one, {}) for one in ("then", "now"))
    return [(name.replace("_", " "), then.get(name, 0), now[name]) for name in now]
