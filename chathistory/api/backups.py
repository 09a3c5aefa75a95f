"""``backups``: what there is to restore from."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from chathistory import represent
from chathistory.actions import backup, jobs
from chathistory.models import Backup

from . import serializers
from .base import View
from .jobs import job_json

_SHOWN = 100


def _json(row: Backup) -> dict[str, Any]:
    return {
        "id": str(row.uuid),
        "kind": row.kind,
        "name": row.name,
        "session_id": str(row.session) if row.session else None,
        "whole_site": row.account_id is None,
        "backup_time": represent.moment(row.at),
        "created_at": represent.moment(row.created_at),
        "size": row.size,
        "verified_at": represent.moment(row.verified_at),
        "drilled_at": represent.moment(row.drilled_at),
    }


class BackupsView(View):
    """Backups you may see: your own, and the site's if you look after it."""

    @extend_schema(operation_id="backups_list", responses=serializers.BackupList)
    def get(self, request: Request) -> Response:
        """Answer the newest hundred."""
        rows = backup.visible_to(request.user).order_by("-pk")[:_SHOWN]
        return Response({"backups": [_json(row) for row in rows]})

    @extend_schema(operation_id="backups_create", request=None, responses={202: serializers.JobOut})
    def post(self, request: Request) -> Response:
        """Queue an archive of all your chats; the job says when it can be fetched."""
        return Response(job_json(jobs.ask(request.user, "backup", {})), status=202)


class BackupView(View):
    """One backup."""

    @extend_schema(operation_id="backups_read", responses=serializers.BackupOut)
    def get(self, request: Request, backup_id: UUID) -> Response:
        """Answer what is known of it."""
        return Response(_json(backup.reach(request.user, backup_id)))


class VerifyView(View):
    """Read a backup from end to end."""

    @extend_schema(operation_id="backups_verify", request=None, responses=serializers.BackupOut)
    def post(self, request: Request, backup_id: UUID) -> Response:
        """Verify it now; 409 ``damaged`` names what is wrong."""
        row = backup.reach(request.user, backup_id)
        return Response(_json(backup.verify(row, request.user)))
