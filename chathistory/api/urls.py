"""The API's addresses, each with or without a slash at its end."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, re_path

from . import backups, exports, jobs, messages, others, schema, sessions

app_name = "chathistory-api"

_UUID = "[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}"
_SESSION = rf"sessions/(?P<session_id>{_UUID})"
_BACKUP = rf"backups/(?P<backup_id>{_UUID})"
_JOB = rf"jobs/(?P<job_id>{_UUID})"


def _at(path: str, view: Any, name: str) -> URLPattern:
    found: URLPattern = re_path(rf"^{path}/?$", view.as_view(), name=name)
    return found


urlpatterns = [
    re_path("^$", others.RootView.as_view(), name="root"),
    _at("sessions", sessions.SessionsView, "sessions"),
    _at("sessions/bulk", sessions.BulkView, "bulk"),
    _at(_SESSION, sessions.SessionView, "session"),
    _at(f"{_SESSION}/messages", messages.MessagesView, "messages"),
    _at(f"{_SESSION}/hits", others.HitsView, "hits"),
    _at(f"{_SESSION}/reply", messages.ReplyView, "reply"),
    _at(f"{_SESSION}/export", exports.ExportView, "export"),
    _at(f"{_SESSION}/fork", sessions.ForkView, "fork"),
    _at(f"{_SESSION}/pin", sessions.PinView, "pin"),
    _at(f"{_SESSION}/archive", sessions.ArchiveView, "archive"),
    _at(f"{_SESSION}/resume", sessions.ResumeView, "resume"),
    _at(f"{_SESSION}/restore", sessions.RestoreView, "restore"),
    _at(rf"messages/(?P<message_id>{_UUID})", messages.MessageView, "message"),
    _at("search", others.SearchView, "search"),
    _at("import", others.ImportView, "import"),
    _at("jobs", jobs.JobsView, "jobs"),
    _at(_JOB, jobs.JobView, "job"),
    _at(f"{_JOB}/cancel", jobs.CancelView, "cancel"),
    _at(f"{_JOB}/events", jobs.EventsView, "job-events"),
    _at(f"{_JOB}/file", jobs.FileView, "job-file"),
    _at("backups", backups.BackupsView, "backups"),
    _at(_BACKUP, backups.BackupView, "backup"),
    _at(f"{_BACKUP}/verify", backups.VerifyView, "backup-verify"),
    _at("workflows", others.WorkflowsView, "workflows"),
    _at("tags", others.TagsView, "tags"),
    _at("healthz", others.HealthzView, "healthz"),
    _at("schema", schema.SchemaView, "schema"),
    _at("docs", schema.DocsView, "docs"),
    re_path("", others.NothingView.as_view()),
]
